import { expect, test } from "vitest";
import { Clock, millis } from "../../src/data/clock";

test("the time of the server counts, whatever the browser's clock says", () => {
  let at = 5_000;
  const clock = new Clock(() => at);
  expect(clock.now()).toBeNull();
  clock.sample(1_000_000);
  at += 250;
  expect(clock.now()).toBe(1_000_250);
});

test("a message that was long on its way does not put the clock back", () => {
  let at = 0;
  const clock = new Clock(() => at);
  clock.sample(1_000_000);
  at = 1_000;
  clock.sample(1_000_100); // 900 ms late
  expect(clock.now()).toBeCloseTo(1_001_000, 0);
});

test("after a sleep in which the monotonic clock stood, the next message sets it right", () => {
  const clock = new Clock(() => 0);
  clock.sample(1_000_000);
  clock.sample(4_600_000);
  expect(clock.now()).toBe(4_600_000);
});

test("heartbeats that wait behind others on a slow network do not make old data look new", () => {
  let at = 0;
  const clock = new Clock(() => at);
  clock.sample(1_000_000, true);
  for (at = 30_000; at < 60_000; at += 1_000) clock.sample(1_000_000 + at - 20_000);
  expect(Math.abs(clock.now()! - 1_060_000)).toBeLessThan(50);
});

test("a server whose clock was set back is believed at the next connection", () => {
  let at = 0;
  const clock = new Clock(() => at);
  clock.sample(9_000_000, true);
  at = 1_000;
  clock.sample(5_000_000, true);
  expect(clock.now()).toBe(5_000_000);
});

test("microseconds of a time are kept", () => {
  expect(millis("2026-01-02T03:04:05.500250Z")).toBe(Date.UTC(2026, 0, 2, 3, 4, 5) + 500.25);
});
