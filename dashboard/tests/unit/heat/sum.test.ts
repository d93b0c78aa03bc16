import { expect, test } from "vitest";
import { amountText, parseAmount } from "../../../src/heat/amount";
import { columnOf } from "../../../src/heat/columns";
import type { Cells, Column } from "../../../src/heat/columns";
import type { BookTick, HeatRecord } from "../../../src/heat/records";
import { MOST_OPEN, Sum, columnOfBooks } from "../../../src/heat/sum";
import cases from "./fixtures/sum.json";
import { timeText } from "./world";

const NAMES = ["bitfinex", "kraken", "okx"];

function listed(cells: Cells): string[] {
  return [...cells.bucket].map((bucket, at) => {
    const volume = { whole: cells.whole[at]!, part: cells.part[at]! };
    return `${bucket} ${amountText(volume)} ${cells.level[at]} ${cells.exchanges[at]}`;
  });
}

function plain(column: Column) {
  return { ...column, bids: listed(column.bids), asks: listed(column.asks) };
}

test("the sum of all exchanges is the pipeline's own heatmap, digit for digit", () => {
  let cells = 0;
  for (const one of cases as unknown as { books: BookTick[]; heatmap: HeatRecord }[]) {
    const ticks = new Map(one.books.map((book) => [book.exchange, book]));
    const expected = plain(columnOf(one.heatmap));
    expect(plain(columnOfBooks(NAMES, ticks, 6)!.column)).toEqual(expected);
    cells += expected.bids.length + expected.asks.length;
  }
  expect(cells).toBeGreaterThan(100);
});

function book(exchange: string, ms: number, bid: string): BookTick {
  return {
    exchange,
    timestamp: timeText(ms),
    live: true,
    reason: null,
    bids: [{ price: bid, size: "1.00000000" }],
    asks: [],
    bucket_size: "10.00000000",
    bid_buckets: [{ price: bid, volume: "0.10000000" }],
    ask_buckets: [],
    covered_low: null,
    covered_high: null,
  };
}

test("a tick closes when all chosen exchanges have come so far; others do not count", () => {
  const sum = new Sum(["kraken", "okx"], 50);
  expect(sum.take(book("kraken", 0, "100.00000000"))).toEqual([]);
  expect(sum.take(book("mexc", 0, "100.00000000"))).toEqual([]);
  const [closed] = sum.take(book("okx", 0, "100.00000000"));
  expect(listed(closed!.column.bids).map((line) => line.split(" ")[1])).toEqual([
    amountText(parseAmount("0.20000000")),
  ]);
  expect([closed!.bid, closed!.ask]).toEqual([100, null]);
  expect(closed!.column.exchanges).toEqual(["kraken", "okx"]);
  expect(sum.take(book("okx", 0, "100.00000000"))).toEqual([]);
});

test("an exchange that left a tick out was not received there", () => {
  const sum = new Sum(["kraken", "okx"], 50);
  sum.take(book("kraken", 0, "100.00000000"));
  sum.take(book("kraken", 500, "100.00000000"));
  const closed = sum.take(book("okx", 500, "100.00000000"));
  expect(closed.map((one) => one.column.missing)).toEqual([
    [{ exchange: "okx", reason: "not_received" }],
    [],
  ]);
});

test("one that never comes does not hold up the others for ever", () => {
  const sum = new Sum(["kraken", "okx"], 50);
  const closed = Array.from({ length: 100 }, (_, at) =>
    sum.take(book("kraken", at * 500, "100.00000000")),
  ).flat();
  expect(closed).toHaveLength(100 - MOST_OPEN);
  expect(closed[0]!.column.missing).toEqual([{ exchange: "okx", reason: "not_received" }]);
});
