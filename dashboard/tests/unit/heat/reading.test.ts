import { expect, test } from "vitest";
import { columnOf } from "../../../src/heat/columns";
import { clockText, layoutOf, priceTicks, timeTicks } from "../../../src/heat/layout";
import { noteOf, sentence } from "../../../src/heat/note";
import { readingAt, rowsOf, summary } from "../../../src/heat/reading";
import { Scene } from "../../../src/heat/scene";
import { START, heat } from "./world";
import type { Given } from "./world";

const GIVEN: Given = {
  bids: { 90: "2.50000001", 70: "4.00000000" },
  asks: { 110: "3.00000000" },
  covered: ["80.00000000", "130.00000000"],
  exchanges: ["binance", "kraken"],
  missing: [
    { exchange: "okx", reason: "sequence_gap" },
    { exchange: "mexc", reason: "not_listed" },
  ],
};

function scene(given: Given = GIVEN): Scene {
  const made = new Scene({ tick: 500, stored: 1_000 }, 8, "10.00000000");
  made.camera.width = 400;
  made.camera.height = 300;
  made.tick(START + 2_000);
  made.put(columnOf(heat(0, given)), true);
  made.tick(START + 2_000);
  return made;
}

test("the crosshair reads all digits, from how many exchanges, and who is not in the sum", () => {
  const read = readingAt(scene(), START + 100, 9.7);
  expect(read.bid).toEqual({ text: "2.50000001", exchanges: 1, price: "90" });
  expect(read).toMatchObject({
    ask: null,
    prices: "90 – 100",
    state: "",
    moment: "2026-01-02 00:00:00.000 UTC",
    missing: ["okx: sequence gap"],
    exchanges: 2,
  });
  expect(sentence(read)).toBe("90 – 100, bid 2.50000001");
});

test("empty, unknown, a lower bound, a hole, what is loading and what is to come are told apart", () => {
  const found = scene();
  const state = (time: number, bucket: number): string => readingAt(found, START + time, bucket).state;
  expect(state(0, 10)).toBe("empty: zero at every exchange in the sum");
  expect(state(0, 20)).toBe("unknown: outside of what was sent");
  expect(state(0, 7)).toBe("at least: not all exchanges sent this price");
  expect(state(-5_000, 10)).toBe("loading");
  expect(state(1_500, 10)).toBe("still to come");
  found.putHole(START / 500 - 10, START / 500 - 8, { reason: "not_kept" });
  expect(state(-5_000, 10)).toBe("no longer kept");
  expect(readingAt(scene({ exchanges: [] }), START, 10).state).toBe("blind: no exchange in the sum");
});

test("what has not happened yet in a replay is not read, though live has told it", () => {
  const found = scene();
  found.tick(START - 5_000);
  expect(readingAt(found, START, 9.7)).toMatchObject({ bid: null, best: "", state: "still to come" });
});

test("a bucket size that was another then is named", () => {
  const found = scene();
  found.put(columnOf(heat(1_000, { size: "5.00000000" })), false);
  expect(readingAt(found, START + 1_000, 10).state).toBe("stored with bucket size 5");
});

test("a column as a table has all its cells, highest price first", () => {
  expect(rowsOf(columnOf(heat(0, GIVEN)))).toEqual([
    { price: "110", bid: "", ask: "3", exchanges: 1 },
    { price: "90", bid: "2.50000001", ask: "", exchanges: 1 },
    { price: "70", bid: "4", ask: "", exchanges: 1 },
  ]);
});

test("the summary says price, walls, who is missing and the newest gap", () => {
  const said = summary(scene(), "BTCUSDT");
  expect(said).toContain("best bid and ask 100.00 / 110.00");
  expect(said).toContain("largest bids 4 at 70");
  expect(said).toContain("2 of 3 exchanges in the sum");
  expect(said).toContain("missing okx: sequence gap");
  const empty = new Scene({ tick: 500, stored: 1_000 }, 8, "10.00000000");
  expect(summary(empty, "BTCUSDT")).toBe("BTCUSDT: no order book is known of this time yet.");
});

test("above the picture stands what is lacking, and what is done about it", () => {
  const empty = new Scene({ tick: 500, stored: 1_000 }, 8, "10.00000000");
  const idle = { state: "idle" } as const;
  expect(noteOf(idle, empty, null, true)).toContain("server's time");
  expect(noteOf(idle, empty, START, true)).toContain("No order book has come yet");
  expect(noteOf({ state: "waiting", text: "no answer", retryMs: 4_200 }, empty, START, true)).toBe(
    "History: no answer. Asked again in 5 s.",
  );
  expect(noteOf(idle, scene(), START, true)).toBe("");
});

test("prices that jump ten times are followed, and what was before is still there", () => {
  const found = scene();
  found.put(columnOf(heat(500, { bids: { 1_000: "1.00000000" }, asks: { 1_010: "1.00000000" } })), true);
  found.tick(START + 2_500);
  expect(Math.abs(found.camera.bucketAt(150) - 101)).toBeLessThan(2);
  expect(found.ring.holds(found.camera.bucketAt(300), found.camera.bucketAt(0))).toBe(true);
  expect(readingAt(found, START, 9).bid?.text).toBe("2.50000001");
});

test("zoomed out, what is whole is taken along, and what is not is left to history", () => {
  const found = scene();
  for (let ms = 500; ms <= 4_500; ms += 500) found.put(columnOf(heat(ms, GIVEN)), true);
  while (found.camera.zoom.period < 2_000) found.camera.zoomTime(-1, 0);
  found.tick(START + 5_000);
  const slot = START / 2_000;
  expect(found.timeline.columnAt(slot)?.ticks).toBe(2);
  expect(found.timeline.isKnown(slot - 1)).toBe(false);
});

test("the plot leaves room for axes and lanes, on a phone too", () => {
  for (const [width, height, ratio] of [
    [1_600, 900, 1],
    [375, 380, 3],
  ] as const) {
    const found = layoutOf(width, height, ratio, 10);
    expect(found.plotWidth).toBeGreaterThan(0.7 * width * ratio);
    expect(found.plotHeight).toBeGreaterThanOrEqual(150 * ratio);
    expect(found.axisTop + 22 * ratio).toBeLessThanOrEqual(height * ratio + 2);
  }
});

test("ticks of the axes are round and not too near", () => {
  expect(priceTicks(64_003, 64_110, 20)).toEqual([64_020, 64_040, 64_060, 64_080, 64_100]);
  expect(priceTicks(0.91, 1.32, 0.1).map((price) => price.toFixed(1))).toEqual(["1.0", "1.1", "1.2", "1.3"]);
  const { times, stepMs } = timeTicks(START + 1, START + 60_000, 9_000);
  expect(stepMs).toBe(10_000);
  expect(times.map((time) => clockText(time, stepMs))).toEqual([
    "00:00:10",
    "00:00:20",
    "00:00:30",
    "00:00:40",
    "00:00:50",
    "00:01:00",
  ]);
});
