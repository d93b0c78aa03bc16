import { describe, expect, test } from "vitest";
import type { State } from "../../src/replay/player";
import { beside } from "../../src/replay/gaps";
import { lengthText, nextSpeed, speedText, timeText, typedTime, windowOf } from "../../src/replay/span";
import { note, word } from "../../src/replay/words";

const MINUTE = 60_000;
const NOW = Date.parse("2026-01-02T03:04:05.250Z");

describe("the slider's window", () => {
  test("is the time before now, while that holds the position", () => {
    expect(windowOf(5 * MINUTE, NOW, null)).toEqual({ from: NOW - 5 * MINUTE, to: NOW });
    expect(windowOf(5 * MINUTE, NOW, NOW - 4 * MINUTE)).toEqual({ from: NOW - 5 * MINUTE, to: NOW });
  });

  test("grows to hold a position, and goes to one of long ago", () => {
    expect(windowOf(5 * MINUTE, NOW, NOW - 20 * MINUTE).from).toBe(NOW - 60 * MINUTE);
    const month = NOW - 30 * 24 * 60 * MINUTE;
    const far = windowOf(5 * MINUTE, NOW, month);
    expect([month - far.from, far.to - month]).toEqual([2.5 * MINUTE, 2.5 * MINUTE]);
  });
});

test("speeds go up to full speed and down to a tenth", () => {
  expect(nextSpeed(1, 1)).toBe(2);
  expect(nextSpeed(1000, 1)).toBe(0);
  expect(nextSpeed(0, 1)).toBe(0);
  expect(nextSpeed(0, -1)).toBe(1000);
  expect(nextSpeed(0.1, -1)).toBe(0.1);
  expect([speedText(10), speedText(0)]).toEqual(["× 10", "at full speed"]);
});

test("times are UTC, shown and typed", () => {
  expect(timeText(NOW)).toBe("2026-01-02 03:04:05.250 UTC");
  expect(typedTime("2026-01-02 03:04:05.250 UTC")).toBe(NOW);
  expect(typedTime(" 2026-01-02T03:04 ")).toBe(Date.parse("2026-01-02T03:04:00Z"));
  expect(typedTime("yesterday")).toBeNull();
  expect(typedTime("2026-13-02 03:04")).toBeNull();
});

test("lengths are told by their two largest units", () => {
  expect([250, 9_400, 250_000, 7_500_000, 90_000_000].map(lengthText)).toEqual([
    "250 ms",
    "9 s",
    "4 min 10 s",
    "2 h 5 min",
    "1 d 1 h",
  ]);
});

test("the next gap is the one that begins later, the one before ends earlier", () => {
  const marks = [
    { from: 10, to: 20, name: "first" },
    { from: 30, to: 40, name: "second" },
  ];
  expect(beside(marks, 10, 1)?.name).toBe("second");
  expect(beside(marks, 35, -1)?.name).toBe("first");
  expect(beside(marks, marks[0]!.to, -1)?.name).toBe("first");
  expect(beside(marks, 30, 1)).toBeNull();
});

describe("words", () => {
  const state = (name: State["name"], more: Partial<State> = {}): State => ({
    name,
    position: 0,
    speed: 10,
    problem: null,
    link: null,
    missing: [],
    ...more,
  });

  test("say that it is a replay, and how fast", () => {
    expect(word(state("running"))).toBe("REPLAY × 10");
    expect(word(state("running", { speed: 0 }))).toBe("REPLAY at full speed");
    expect(word(state("still"))).toBe("REPLAY paused");
    expect(word(state("live"))).toBe("LIVE");
  });

  test("say what is missing, and what to do", () => {
    expect(note(state("running", { missing: ["trade before 03:00"] }))).toContain("trade before 03:00");
    expect(note(state("gone"))).toContain("deleted");
    expect(note(state("still"))).toBe("");
    expect(note(state("running", { link: "open" }))).toBe("");
    expect(note(state("running", { link: "waiting" }))).toContain("is away");
    expect(note(state("paused", { link: "silent" }))).toContain("may be old");
  });
});
