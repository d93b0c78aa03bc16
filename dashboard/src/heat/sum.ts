/**
 * The sum of chosen exchanges: their books of one T as one column, by the rules of the pipeline's own heatmap
 * (COBY/merging.py, which adds up all of them). Pure.
 */

import { NOTHING, add, isNothing, parseAmount, valueOf } from "./amount";
import type { Amount } from "./amount";
import { emptyCells, shared } from "./columns";
import type { Cells, Column } from "./columns";
import type { BookTick, Missing } from "./records";
import { levelOf } from "./scale";

type Bucket = BookTick["bid_buckets"][number];

/** A tick of the sum, with its best prices; null where nobody has one. */
export interface Summed {
  readonly column: Column;
  readonly bid: number | null;
  readonly ask: number | null;
}

/** Ticks that may wait for a slow exchange; the oldest is closed without it. */
export const MOST_OPEN = 40;

export class Sum {
  private readonly open = new Map<number, Map<string, BookTick>>();
  private readonly newest = new Map<string, number>();

  /** `depth`: buckets a side of a heatmap. */
  constructor(
    private readonly exchanges: readonly string[],
    private readonly depth: number,
  ) {}

  /** One record; the columns that its coming closes, oldest first: those for which every exchange has come so far. */
  take(record: BookTick): Summed[] {
    if (!this.exchanges.includes(record.exchange)) return [];
    const time = Date.parse(record.timestamp);
    if (time <= (this.newest.get(record.exchange) ?? -Infinity)) return [];
    this.newest.set(record.exchange, time);
    const ticks = this.open.get(time) ?? new Map<string, BookTick>();
    this.open.set(time, ticks.set(record.exchange, record));
    const whole = this.exchanges.every((name) => this.newest.has(name));
    const until = whole ? Math.min(...this.newest.values()) : -Infinity;
    const times = [...this.open.keys()].sort((one, other) => one - other);
    const closing = times.filter((at, place) => at <= until || place < times.length - MOST_OPEN);
    return closing.flatMap((at) => {
      const found = this.open.get(at)!;
      this.open.delete(at);
      return columnOfBooks(this.exchanges, found, this.depth) ?? [];
    });
  }
}

/** The column of one T; who has no record of it was not received here. Null where nobody has. */
export function columnOfBooks(
  exchanges: readonly string[],
  ticks: ReadonlyMap<string, BookTick>,
  depth: number,
): Summed | null {
  const first = ticks.values().next().value;
  if (!first) return null;
  const size = Number(first.bucket_size);
  const names = [...exchanges].sort();
  const live = names.flatMap((name) => {
    const tick = ticks.get(name);
    return tick?.live && tick.bucket_size === first.bucket_size ? [tick] : [];
  });
  const present = new Set(live.map((tick) => tick.exchange));
  const missing: Missing[] = names
    .filter((name) => !present.has(name))
    .map((exchange) => ({ exchange, reason: ticks.get(exchange)?.reason ?? "not_received" }));
  const bestBid = Math.max(...live.map((tick) => Number(tick.bids[0]?.price ?? -Infinity)));
  const bestAsk = Math.min(...live.map((tick) => Number(tick.asks[0]?.price ?? Infinity)));
  const low = bucketBelow(bestBid, size) - depth + 1;
  const high = bucketBelow(bestAsk, size) + depth;
  const column: Column = {
    time: Date.parse(first.timestamp),
    bucketSize: first.bucket_size,
    bids: summed(
      live.flatMap((tick) => tick.bid_buckets),
      size,
      (bucket) => Number.isFinite(low) && bucket >= low,
    ),
    asks: summed(
      live.flatMap((tick) => tick.ask_buckets),
      size,
      (bucket) => Number.isFinite(high) && bucket < high,
    ),
    low: Math.max(Number.isFinite(low) ? low : -Infinity, ...live.map((tick) => lowest(tick, size))),
    high: Math.min(Number.isFinite(high) ? high : Infinity, ...live.map((tick) => highest(tick, size))),
    exchanges: shared([...present]),
    missing: shared(missing),
    ticks: 1,
  };
  return {
    column,
    bid: Number.isFinite(bestBid) ? bestBid : null,
    ask: Number.isFinite(bestAsk) ? bestAsk : null,
  };
}

/** Half of the least price: what divisions of decimals lose is far less. */
const HALF = 0.5e-8;

/** The bucket that a price lies in. */
function bucketBelow(price: number, size: number): number {
  return Math.floor((price + HALF) / size);
}

/** The first bucket that lies wholly in what the book knows. */
function lowest(tick: BookTick, size: number): number {
  return tick.covered_low === null ? -Infinity : Math.ceil((Number(tick.covered_low) - HALF) / size);
}

/** The bucket behind the last one that does: prices up to and including covered_high are known. */
function highest(tick: BookTick, size: number): number {
  return tick.covered_high === null ? Infinity : bucketBelow(Number(tick.covered_high) + 2 * HALF, size);
}

function summed(buckets: readonly Bucket[], size: number, isShown: (bucket: number) => boolean): Cells {
  const sums = new Map<number, { volume: Amount; exchanges: number }>();
  for (const one of buckets) {
    const bucket = Math.round(Number(one.price) / size);
    const volume = parseAmount(one.volume);
    if (!isShown(bucket) || isNothing(volume)) continue;
    const former = sums.get(bucket);
    sums.set(bucket, {
      volume: add(former?.volume ?? NOTHING, volume),
      exchanges: (former?.exchanges ?? 0) + 1,
    });
  }
  const cells = emptyCells(sums.size);
  [...sums.entries()]
    .sort(([one], [other]) => one - other)
    .forEach(([bucket, { volume, exchanges }], at) => {
      cells.bucket[at] = bucket;
      cells.whole[at] = volume.whole;
      cells.part[at] = volume.part;
      cells.level[at] = levelOf(valueOf(volume));
      cells.exchanges[at] = exchanges;
    });
  return cells;
}
