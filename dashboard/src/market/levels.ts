/** The best levels of the exchanges in the sum as one book. Pure. */
import { millis } from "../data/clock";
import { decimal, units } from "../data/decimal";
import type { BookRecord, ConsolidatedRecord } from "../data/records";

/** A price over some exchanges; ``size`` exact. */
export interface Level {
  price: string;
  size: string;
  exchanges: number;
}

export interface Levels {
  timestamp: string;
  /** Best first. */
  bids: Level[];
  asks: Level[];
  /** Mean of the best two, their distance (negative: exchanges cross each other); null where a side is empty. */
  mid: string | null;
  spread: string | null;
  imbalances: Imbalances;
  exchanges: string[];
  missing: { exchange: string; reason: string }[];
}

/** (bids − asks) ÷ (bids + asks), −1 to 1; null where both are empty or nobody says. */
export interface Imbalances {
  top: number | null;
  depth5: number | null;
  depth20: number | null;
  /** Of the heatmap's cells; only over all exchanges. */
  bucketed: number | null;
}

const DEPTH = 50;
/** A book comes with each tick: one that is older than this is none any more. */
export const OLD_MS = 5_000;

export function ofConsolidated(record: ConsolidatedRecord): Levels {
  const level = (one: ConsolidatedRecord["bids"][number]): Level => ({
    price: one.price,
    size: one.size,
    exchanges: one.exchange_count,
  });
  return {
    timestamp: record.timestamp,
    bids: record.bids.map(level),
    asks: record.asks.map(level),
    mid: record.mid_price,
    spread: record.spread,
    imbalances: {
      top: maybe(record.top),
      depth5: maybe(record.depth5),
      depth20: maybe(record.depth20),
      bucketed: maybe(record.bucketed),
    },
    exchanges: record.exchanges,
    missing: record.missing,
  };
}

/**
 * The newest books of some exchanges as one, as `consolidated` is of all (docs/topics.md): a book that is not live, or
 * has not come with the others, is missing. Each exchange's book ends at its 50th level, so below the nearest of these ends sums would lack some: levels
 * beyond it are left out.
 */
export function ofBooks(books: readonly BookRecord[], names: readonly string[]): Levels | null {
  const newest = books
    .map((one) => one.timestamp)
    .sort()
    .at(-1);
  if (newest === undefined) return null;
  const since = millis(newest) - OLD_MS;
  const why = (name: string): string | null => {
    const book = books.find((one) => one.exchange === name);
    if (!book) return "no_book";
    if (millis(book.timestamp) < since) return "too_old";
    return book.live ? null : (book.reason ?? "blind");
  };
  const missing = names.flatMap((exchange) => {
    const reason = why(exchange);
    return reason === null ? [] : [{ exchange, reason }];
  });
  const live = books.filter((one) => why(one.exchange) === null);
  const bids = merged(
    live.map((one) => one.bids),
    true,
  );
  const asks = merged(
    live.map((one) => one.asks),
    false,
  );
  const [bid, ask] = [bids[0], asks[0]];
  const both = bid && ask ? [units(bid.price), units(ask.price)] : null;
  return {
    timestamp: newest,
    bids,
    asks,
    mid: both && decimal((both[0]! + both[1]!) / 2n),
    spread: both && decimal(both[1]! - both[0]!),
    imbalances: {
      top: imbalance(bids, asks, 1),
      depth5: imbalance(bids, asks, 5),
      depth20: imbalance(bids, asks, 20),
      bucketed: null,
    },
    exchanges: live.map((one) => one.exchange),
    missing,
  };
}

/** What is said of no book; "": there is one. ``ageMs`` null: none has come. */
export function lackOf(ageMs: number | null, isReduced: boolean): string {
  if (ageMs !== null && ageMs <= OLD_MS) return "";
  if (isReduced) return "left out: slow network";
  return ageMs === null ? "no book yet" : `no book for ${Math.floor(ageMs / 1_000)} s`;
}

/** Both sides' sizes summed from the best on, for the depth profile. */
export function cumulated(levels: readonly Level[]): { price: number; total: number }[] {
  let total = 0;
  return levels.map((one) => ({ price: Number(one.price), total: (total += Number(one.size)) }));
}

function merged(sides: readonly (readonly { price: string; size: string }[])[], isBid: boolean): Level[] {
  const sums = new Map<string, { price: bigint; size: bigint; exchanges: number }>();
  let end: bigint | null = null;
  for (const side of sides) {
    for (const { price, size } of side) {
      const there = sums.get(price) ?? { price: units(price), size: 0n, exchanges: 0 };
      there.size += units(size);
      there.exchanges += 1;
      sums.set(price, there);
    }
    const last = side.length >= DEPTH ? units(side.at(-1)!.price) : null;
    if (last !== null && (end === null || (isBid ? last > end : last < end))) end = last;
  }
  return [...sums.values()]
    .filter(({ price }) => end === null || (isBid ? price >= end : price <= end))
    .sort((one, other) => (one.price < other.price === isBid ? 1 : -1))
    .slice(0, DEPTH)
    .map(({ price, size, exchanges }) => ({ price: decimal(price), size: decimal(size), exchanges }));
}

function imbalance(bids: readonly Level[], asks: readonly Level[], depth: number): number | null {
  const sum = (side: readonly Level[]): bigint =>
    side.slice(0, depth).reduce((total, one) => total + units(one.size), 0n);
  const [bid, ask] = [sum(bids), sum(asks)];
  return bid + ask === 0n ? null : Number(((bid - ask) * 100_000_000n) / (bid + ask)) / 1e8;
}

function maybe(text: string | null): number | null {
  return text === null ? null : Number(text);
}
