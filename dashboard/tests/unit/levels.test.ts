import { expect, test } from "vitest";
import { spreadText } from "../../src/market/ladder";
import { cumulated, lackOf, ofBooks as summed, type Levels } from "../../src/market/levels";
import { summary } from "../../src/market/profile";
import type { BookRecord } from "../../src/data/records";

type Side = [string, string][];

const eight = (text: string): string =>
  text.includes(".") ? text.padEnd(text.indexOf(".") + 9, "0") : `${text}.00000000`;

function book(exchange: string, bids: Side, asks: Side, more: Partial<BookRecord> = {}): BookRecord {
  const side = (levels: Side) => levels.map(([price, size]) => ({ price: eight(price), size: eight(size) }));
  const record = { exchange, timestamp: "2026-01-02T03:04:05.000000Z", live: true, reason: null };
  return { ...record, bids: side(bids), asks: side(asks), ...more } as BookRecord;
}

/** Of all that have a book. */
function ofBooks(books: readonly BookRecord[]): Levels | null {
  return summed(
    books,
    books.map((one) => one.exchange),
  );
}

test("sizes of one price are added up exactly, best prices first", () => {
  const found = ofBooks([
    book(
      "kraken",
      [
        ["100", "0.1"],
        ["99", "5"],
      ],
      [["101", "1"]],
    ),
    book("okx", [["100", "0.2"]], [["100.5", "3"]]),
  ])!;
  expect(found.bids).toEqual([
    { price: "100.00000000", size: "0.30000000", exchanges: 2 },
    { price: "99.00000000", size: "5.00000000", exchanges: 1 },
  ]);
  expect(found.asks.map((one) => one.price)).toEqual(["100.50000000", "101.00000000"]);
  expect([found.mid, found.spread]).toEqual(["100.25000000", "0.50000000"]);
});

test("prices are compared as numbers, not as texts", () => {
  const found = ofBooks([
    book(
      "okx",
      [
        ["9.5", "1"],
        ["10", "1"],
      ],
      [],
    ),
  ])!;
  expect(found.bids.map((one) => one.price)).toEqual(["10.00000000", "9.50000000"]);
});

test("a book that is not proven is missing, with its reason, and in no sum", () => {
  const found = ofBooks([
    book("okx", [["100", "1"]], [["101", "3"]]),
    book("kraken", [["100", "7"]], [["101", "7"]], { live: false, reason: "sequence_gap" }),
  ])!;
  expect(found.missing).toEqual([{ exchange: "kraken", reason: "sequence_gap" }]);
  expect(found.imbalances.top).toBe(-0.5);
});

test("levels that one exchange's fifty do not reach are left out, as their sums would lack it", () => {
  const fifty: Side = Array.from({ length: 50 }, (_, at) => [String(200 - at), "1"]);
  const found = ofBooks([
    book("okx", fifty, []),
    book(
      "kraken",
      [
        ["200", "1"],
        ["150", "4"],
      ],
      [],
    ),
  ])!;
  expect(found.bids.at(-1)!.price).toBe("151.00000000");
});

test("exchanges that cross each other have a negative spread, as it is", () => {
  const found = ofBooks([book("okx", [["102", "1"]], []), book("kraken", [], [["101", "1"]])])!;
  expect([found.spread, found.imbalances.bucketed]).toEqual(["-1.00000000", null]);
});

test("without any book there is nothing, and a profile of nothing is empty", () => {
  expect(ofBooks([])).toBeNull();
  expect(cumulated([])).toEqual([]);
});

test("a book that does not come any more is in no sum, and one that never came is missing, too", () => {
  const old = { timestamp: "2026-01-02T03:04:00.000000Z" };
  const late = { timestamp: "2026-01-02T03:03:59.500000Z" };
  const books = [
    book("okx", [["100", "1"]], [["101", "3"]]),
    book("kraken", [["100", "2"]], [["101", "2"]], old),
    book("mexc", [["100", "7"]], [["101", "7"]], late),
  ];
  const found = summed(books, ["kraken", "mexc", "okx", "bybit"])!;
  expect(found.bids[0]!.size).toBe("3.00000000");
  expect(found.exchanges).toEqual(["okx", "kraken"]);
  expect(found.missing).toEqual([
    { exchange: "mexc", reason: "too_old" },
    { exchange: "bybit", reason: "no_book" },
  ]);
});

test("why there is no book is said", () => {
  expect([lackOf(0, false), lackOf(5_000, true)]).toEqual(["", ""]);
  expect(lackOf(7_900, false)).toBe("no book for 7 s");
  expect([lackOf(7_900, true), lackOf(null, true)]).toEqual(Array(2).fill("left out: slow network"));
  expect(lackOf(null, false)).toBe("no book yet");
});

test("no book, nobody in the sum and an empty side are told apart, and none is told as zero", () => {
  const blind = ofBooks([book("okx", [], [], { live: false, reason: "stale" })])!;
  const half = ofBooks([book("okx", [["100", "1"]], [])])!;
  expect([null, blind, half].map((one) => spreadText(one, 2))).toEqual([
    "—",
    "no exchange in the sum",
    "one side is empty",
  ]);
  expect([null, blind, half].map((one) => summary(one, "no book yet"))).toEqual([
    "Depth: no book yet.",
    "Depth: no exchange in the sum.",
    "Depth: bids of 1.00 down to 100, no asks.",
  ]);
});
