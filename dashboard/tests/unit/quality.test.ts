import { describe, expect, test } from "vitest";
import { books, cells, percent, provenText, type Interval, type Minute } from "../../src/quality/model";
import { countText, lengthOf, linkTo } from "../../src/quality/gaps";

const START = Date.parse("2026-01-02T03:00:00Z");
const at = (seconds: number): string => new Date(START + 1_000 * seconds).toISOString().replace("Z", "000Z");
const RANGE = { from: START, to: START + 600_000, columns: 10 };

const minute = (end: number, more: Partial<Minute> = {}): Minute => ({
  symbol: "BTCUSDT",
  exchange: "a",
  timestamp: at(60 * end),
  score: "1.00000000",
  coverage: "1.00000000",
  events: 100,
  rejected: 0,
  duplicates: 0,
  anomalies: 0,
  gaps: 0,
  crossed_ticks: 0,
  checksum_failures: 0,
  skewed: 0,
  clamped: 0,
  ...more,
});

const interval = (from: number, to: number): Interval => ({
  symbol: "BTCUSDT",
  exchange: "a",
  start_time: at(from),
  end_time: at(to),
  rule: "sequence",
  sequenced: 10,
  checked: 2,
  snapshots: 1,
  reason: null,
});

describe("books over time", () => {
  const names = [
    ["a", "BTCUSDT"],
    ["b", "BTCUSDT"],
  ] as const;

  test("a minute is named by its end, and lies before it", () => {
    const [book] = books(RANGE, names, [minute(1), minute(10, { score: "0.50000000" })], []);
    expect(book?.cells[0]).toEqual({ score: 1, coverage: 1, faults: 0 });
    expect(book?.cells[9]).toEqual({ score: 0.5, coverage: 1, faults: 0 });
    expect(book?.cells.slice(1, 9)).toEqual(new Array(8).fill(null));
    expect([book?.score, book?.worst, book?.events]).toEqual([0.75, 0.5, 200]);
  });

  test("a cell of several minutes is as bad as the worst of them, and has all their faults", () => {
    const found = [minute(1, { score: "0.90000000", gaps: 1 }), minute(2, { duplicates: 3 })];
    const [book] = books({ ...RANGE, columns: 5 }, names, found, []);
    expect(book?.cells[0]).toEqual({ score: 0.9, coverage: 1, faults: 4 });
    expect([book?.faults.gaps, book?.faults.duplicates]).toEqual([1, 3]);
  });

  test("what is proven is cut to the range", () => {
    const [book] = books(RANGE, names, [], [interval(-60, 150), interval(300, 450)]);
    expect(book?.share).toBe(0.5);
    expect([book?.sequenced, book?.checked]).toEqual([20, 4]);
  });

  test("a book of which nothing was told is there, and says nothing", () => {
    const [, book] = books(RANGE, names, [minute(1)], []);
    expect([book?.exchange, book?.score, book?.share]).toEqual(["b", null, 0]);
  });
});

describe("what is not known of a book", () => {
  const names = [["a", "BTCUSDT"]] as const;
  const known = (minutes: Minute[], intervals: Interval[] | null, hasMinutes = true) => {
    const found = books(RANGE, names, minutes, intervals);
    return { cells: cells(found[0]!, hasMinutes), proven: provenText(found) };
  };

  test("is no zero", () => {
    const { cells, proven } = known([], []);
    expect(cells.slice(0, 4)).toEqual(["nothing told", "nothing told", "nothing told", "0.00 %"]);
    expect(cells.slice(4)).toEqual(["—", "0", "0", ...new Array(8).fill("—")]);
    expect(proven).toBe("0 of 1 books proven in this time");
  });

  test("leaves the rest of it", () => {
    const minutes = known([minute(1, { gaps: 1 })], null);
    expect(minutes.cells.slice(0, 7)).toEqual([...new Array(3).fill("100 %"), "not known", "100", "—", "—"]);
    expect(minutes.proven).toBe("not known what is proven");
    expect(known([], [interval(0, 600)], false).cells.slice(0, 7)).toEqual([
      ...new Array(3).fill("not known"),
      "100 %",
      "—",
      "10",
      "2",
    ]);
    expect(provenText(null)).toBe("not known what is proven");
  });
});

test("a share is 100 % only if it is", () => {
  expect([1, 0.99999, 0.5, 0].map(percent)).toEqual(["100 %", "99.99 %", "50.00 %", "0.00 %"]);
});

describe("a gap", () => {
  const gap = {
    symbol: "A<b>",
    exchange: "a",
    reason: "stale",
    detail: "",
    from_time: at(0),
    until_time: at(5),
  };

  test("leads to its picture, with a minute to both sides", () => {
    expect(linkTo(gap, START + 3_600_000)).toBe(
      "/?symbol=A%3Cb%3E&from=2026-01-02T02:59:00.000Z&to=2026-01-02T03:01:05.000Z",
    );
  });

  test("that is open ends now", () => {
    expect(lengthOf({ ...gap, until_time: null })).toBe("still open");
    expect(linkTo({ ...gap, until_time: null }, START + 60_000)).toContain("&to=2026-01-02T03:00:55.000Z");
  });

  test("is counted, of too many at least so many", () => {
    const rows = [gap, { ...gap, until_time: null }];
    expect(countText({ rows, since: null }, 500)).toBe("2 gaps, 1 open");
    expect(countText({ rows, since: START }, 1)).toBe(
      "more than 2 gaps, the newest 1 listed, at least 1 open",
    );
    expect(countText(null, 500)).toBe("gaps not known");
  });
});
