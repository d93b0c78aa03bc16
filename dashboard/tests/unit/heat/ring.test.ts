import { expect, test } from "vitest";
import {
  ABSENT,
  ASK,
  ASK_BOUND,
  BID,
  BID_BOUND,
  BLIND,
  GAP,
  OTHER,
  UNCOVERED,
  ZERO,
} from "../../../src/heat/codes";
import { columnOf } from "../../../src/heat/columns";
import { Ring } from "../../../src/heat/ring";
import { levelOf } from "../../../src/heat/scale";
import { Timeline } from "../../../src/heat/timeline";
import { START, heat } from "./world";
import type { Given } from "./world";

const pace = { tick: 500, stored: 1_000 };

/** Codes of the one column, highest price first: rows of `step` buckets of 10, 8 rows around price 100. */
function codes(given: Given, step = 1): number[] {
  const timeline = new Timeline(500, pace, 16);
  timeline.moveTo(START / 500 - 4);
  timeline.put(columnOf(heat(0, given)));
  const ring = new Ring(16, 8);
  ring.anchor(10, step, "10.00000000");
  ring.putAll(timeline);
  const place = ring.place(START / 500);
  return Array.from({ length: 8 }, (_, row) => ring.codes[row * 16 + place]!);
}

test("rows fall with the price: asks above, bids below, empty between", () => {
  // Row 0 holds 140 to 150, row 7 holds 70 to 80.
  expect(codes({ bids: { 90: "2.00000000" }, asks: { 110: "3.00000000", 140: "1.00000000" } })).toEqual([
    ASK | levelOf(1),
    ZERO,
    ZERO,
    ASK | levelOf(3),
    ZERO,
    BID | levelOf(2),
    ZERO,
    ZERO,
  ]);
});

test("beyond what was sent a cell is unknown, and volume there is a lower bound", () => {
  const found = codes({
    bids: { 70: "4.00000000", 90: "2.00000000" },
    asks: { 140: "1.00000000" },
    covered: ["80.00000000", "130.00000000"],
  });
  expect(found).toEqual([
    ASK_BOUND | levelOf(1),
    UNCOVERED,
    ZERO,
    ZERO,
    ZERO,
    BID | levelOf(2),
    ZERO,
    BID_BOUND | levelOf(4),
  ]);
});

test("a row of several buckets shows the largest, so that a wall stays", () => {
  // Rows of 20: row 3 holds 120 and 130, row 4 holds 100 and 110, row 5 holds 80 and 90.
  const found = codes({ bids: { 80: "7.00000000", 90: "2.00000000" }, asks: { 110: "3.00000000" } }, 2);
  expect(found[5]).toBe(BID | levelOf(7));
  expect(found.filter((code) => code !== ZERO)).toHaveLength(2);
});

test("a row is covered only if all its buckets are", () => {
  // 90 to 130 is known; rows of 20 beginning at 80: 80–100 is half known, 100–120 whole, 120–140 half.
  const found = codes({ covered: ["90.00000000", "130.00000000"] }, 2);
  expect(found.filter((code) => code === ZERO)).toHaveLength(1);
  expect(found.filter((code) => code === UNCOVERED)).toHaveLength(7);
});

test("of bid and ask in one bucket the larger is shown", () => {
  expect(codes({ bids: { 100: "2.00000000" }, asks: { 100: "3.00000000" } })[4]).toBe(ASK | levelOf(3));
  expect(codes({ bids: { 100: "3.00000000" }, asks: { 100: "2.00000000" } })[4]).toBe(BID | levelOf(3));
});

test("prices ten times as high lie outside the window until it is put around them", () => {
  const far = { bids: { 1000: "2.00000000" } };
  expect(codes(far).every((code) => code === ZERO)).toBe(true);
  const ring = new Ring(16, 8);
  ring.anchor(10, 1, "10.00000000");
  expect(ring.holds(96, 103)).toBe(false);
  ring.anchor(100, 1, "10.00000000");
  expect(ring.holds(97, 103)).toBe(true);
  expect(ring.bucketOf(ring.rowOf(100))).toBe(100);
});

test("nobody in the sum, another bucket size, a hole and what is not loaded are not zero", () => {
  expect(codes({ exchanges: [] })).toEqual(Array(8).fill(BLIND));
  expect(codes({ size: "5.00000000" })).toEqual(Array(8).fill(OTHER));
  const timeline = new Timeline(500, pace, 16);
  timeline.moveTo(100);
  timeline.putHole(101, 102, { reason: "not_stored" });
  const ring = new Ring(16, 8);
  ring.putAll(timeline);
  expect(ring.codes[ring.place(101)]).toBe(GAP);
  expect(ring.codes[ring.place(102)]).toBe(ABSENT);
});

test("slots that go round the ring's end are copied in two parts", () => {
  const ring = new Ring(16, 8);
  expect(ring.pieces(12, 20)).toEqual([
    { place: 12, slot: 12, count: 4 },
    { place: 0, slot: 16, count: 4 },
  ]);
  expect(ring.pieces(16, 20)).toEqual([{ place: 0, slot: 16, count: 4 }]);
  expect(ring.pieces(-2, 1).map((one) => one.place)).toEqual([14, 0]);
});

test("a column that is put again leaves nothing of the former one", () => {
  const timeline = new Timeline(500, pace, 16);
  const slot = START / 500;
  timeline.moveTo(slot - 4);
  const ring = new Ring(16, 8);
  ring.anchor(10, 1, "10.00000000");
  timeline.put(columnOf(heat(0, { asks: { 110: "9.00000000" } })));
  ring.put(timeline, slot);
  timeline.put(columnOf(heat(0, { asks: { 120: "1.00000000" } })));
  ring.put(timeline, slot);
  const rows = Array.from({ length: 8 }, (_, row) => ring.codes[row * 16 + ring.place(slot)]!);
  expect(rows.filter((code) => code !== ZERO)).toEqual([ASK | levelOf(1)]);
});
