import { expect, test } from "vitest";
import { amountText } from "../../../src/heat/amount";
import { columnOf, combined, isCrossed, lacking, placeOf } from "../../../src/heat/columns";
import type { Column } from "../../../src/heat/columns";
import { Timeline } from "../../../src/heat/timeline";
import { START, heat } from "./world";
import type { Given } from "./world";

const pace = { tick: 500, stored: 1_000 };
const FIRST = START / 500;

function timeline(period = 500, length = 32): Timeline {
  const made = new Timeline(period, pace, length);
  made.moveTo(START / period - 8);
  return made;
}

/** The volume of the bid at 100, as text; "" where there is none. */
function bidAt100(column: Column | null): string {
  if (!column) return "no column";
  const at = placeOf(column.bids, 10);
  return at < 0 ? "" : amountText({ whole: column.bids.whole[at]!, part: column.bids.part[at]! });
}

function tick(ms: number, volume: string, given: Given = {}): Column {
  return columnOf(heat(ms, { bids: { 100: volume }, ...given }));
}

/** All orders of these. */
function orders<T>(of: readonly T[]): T[][] {
  if (of.length < 2) return [[...of]];
  return of.flatMap((one, at) => orders(of.toSpliced(at, 1)).map((rest) => [one, ...rest]));
}

test("a stored tick is shown until the next stored one, where no tick between is known", () => {
  const found = timeline();
  expect(found.put(tick(0, "1.50000000"))).toEqual([FIRST, FIRST + 2]);
  expect([0, 1, 2].map((at) => bidAt100(found.columnAt(FIRST + at)))).toEqual(["1.5", "1.5", "no column"]);
});

test("history and live make the same picture in whichever order they come", () => {
  const live = [tick(500, "2.00000000"), tick(1_000, "3.00000000")];
  const stored = [tick(0, "1.00000000"), tick(1_000, "3.00000000"), tick(2_000, "5.00000000")];
  for (const order of orders([...live, ...stored])) {
    const found = timeline();
    for (const column of order) found.put(column);
    const shown = [0, 1, 2, 3, 4, 5].map((at) => bidAt100(found.columnAt(FIRST + at)));
    expect(shown).toEqual(["1", "2", "3", "3", "5", "5"]);
  }
});

test("longer slots hold each cell's largest volume of stored ticks alone, as history does", () => {
  const ticks = [0, 500, 1_000, 1_500, 2_000].map((ms, at) => tick(ms, `${[1, 90, 4, 80, 2][at]!}.00000000`));
  for (const order of orders(ticks)) {
    const found = timeline(5_000);
    for (const column of order) found.put(column);
    expect(bidAt100(found.columnAt(START / 5_000))).toBe("4");
    expect(found.columnAt(START / 5_000)!.ticks).toBe(3);
  }
});

test("a slot's history that comes again, or overlaps with live, changes nothing", () => {
  const found = timeline(5_000);
  found.put(tick(0, "4.00000000", { ticks: 5 }));
  found.put(tick(3_000, "2.00000000"));
  found.put(tick(0, "4.00000000", { ticks: 5 }));
  expect(bidAt100(found.columnAt(START / 5_000))).toBe("4");
  expect(found.columnAt(START / 5_000)!.ticks).toBe(5);
});

test("a longer slot lacks who was missing at any of its ticks, and knows what was known at all", () => {
  const one = columnOf(heat(0, { exchanges: ["kraken", "okx"], covered: ["50.00000000", "200.00000000"] }));
  const other = columnOf(
    heat(1_000, {
      exchanges: ["kraken"],
      missing: [{ exchange: "okx", reason: "stale" }],
      covered: ["60.00000000", null],
    }),
  );
  const whole = combined(one, other);
  expect(whole.exchanges).toEqual(["kraken"]);
  expect(lacking(whole)).toEqual([{ exchange: "okx", reason: "stale" }]);
  expect([whole.low, whole.high]).toEqual([6, 20]);
});

test("volumes that differ in the eighth decimal are not taken for equal", () => {
  const most = combined(tick(0, "70000000.00000001"), tick(1_000, "70000000.00000002"));
  expect(bidAt100(most)).toBe("70,000,000.00000002");
});

test("what has left the window is forgotten, its cells are not counted, and its place is free", () => {
  const found = timeline(500, 8);
  found.moveTo(FIRST);
  found.put(tick(500, "1.00000000"));
  expect(found.histogram.total).toBe(1);
  found.moveTo(FIRST + 5);
  expect(found.histogram.total).toBe(0);
  expect(found.columnAt(FIRST + 1)).toBeNull();
  expect(found.columnAt(FIRST + 9)).toBeNull();
  found.put(tick(500, "1.00000000"));
  expect(found.histogram.total).toBe(0);
});

test("memory stays the same however long it runs", () => {
  const found = timeline(500, 64);
  for (let at = 0; at < 1_000; at++) {
    found.moveTo(FIRST + at - 63);
    found.put(tick(at * 500, "1.00000000", { asks: { 110: "2.00000000" } }));
  }
  expect(found.histogram.total).toBe(2 * 64);
  expect(found.unknown(0, Infinity)).toEqual([]);
});

test("a hole is where nothing is known, and a column that comes after all fills it", () => {
  const found = timeline();
  found.put(tick(1_000, "1.00000000"));
  found.putHole(FIRST, FIRST + 5, { reason: "not_stored" });
  expect([0, 1, 2, 3, 4].map((at) => found.holeAt(FIRST + at)?.reason)).toEqual([
    "not_stored",
    "not_stored",
    undefined,
    undefined,
    "not_stored",
  ]);
  found.put(tick(2_000, "6.00000000"));
  expect(found.holeAt(FIRST + 4)).toBeNull();
  expect(bidAt100(found.columnAt(FIRST + 4))).toBe("6");
});

test("what is not known is told in ranges within the window", () => {
  const found = timeline(500, 16);
  found.put(tick(0, "1.00000000"));
  expect(found.unknown(FIRST - 100, FIRST + 100)).toEqual([
    [FIRST - 8, FIRST],
    [FIRST + 2, FIRST + 8],
  ]);
});

test("bids above asks by more than a bucket are crossed, both in one bucket are not", () => {
  const of = (bids: Record<string, string>, asks: Record<string, string>): boolean =>
    isCrossed(columnOf(heat(0, { bids, asks })));
  expect(of({ 100: "1.0" }, { 110: "1.0" })).toBe(false);
  expect(of({ 100: "1.0" }, { 100: "1.0" })).toBe(false);
  expect(of({ 110: "1.0" }, { 100: "1.0" })).toBe(true);
});
