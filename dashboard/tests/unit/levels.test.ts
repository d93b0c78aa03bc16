import { expect, test } from "vitest";
import { cumulated, ofBooks } from "../../src/market/levels";
import type { BookRecord } from "../../src/data/records";

type Side = [string, string][];

const eight = (text: string): string =>
  text.includes(".") ? text.padEnd(text.indexOf(".") + 9, "0") : `${text}.00000000`;

function book(exchange: string, bids: Side, asks: Side, more: Partial<BookRecord> = {}): BookRecord {
  const side = (levels: Side) => levels.map(([price, size]) => ({ price: eight(price), size: eight(size) }));
  const record = { exchange, timestamp: "2026-01-02T03:04:05.000000Z", live: true, reason: null };
  return { ...record, bids: side(bids), asks: side(asks), ...more } as BookRecord;
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
