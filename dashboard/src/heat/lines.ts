/** What is drawn over the cells: best prices, trades as bubbles, the volume-weighted price. Pure. */

import type { OhlcvRecord, TradeRecord } from "../data/types";
import { bestBuckets } from "./columns";
import type { Column } from "./columns";
import { Slots } from "./slots";
import type { Timeline } from "./timeline";

/** Best prices at a time, null where a side is empty or not known. */
export interface Best {
  readonly time: number;
  readonly bid: number | null;
  readonly ask: number | null;
}

/** The newest best prices of each slot. */
export class Bests {
  private readonly slots: Slots<Best>;
  private readonly made = new WeakMap<Column, Best>();

  constructor(
    private readonly period: number,
    length: number,
  ) {
    this.slots = new Slots<Best>(length);
  }

  moveTo(first: number): void {
    this.slots.moveTo(first);
  }

  put(best: Best): void {
    const slot = Math.floor(best.time / this.period);
    const former = this.slots.get(slot);
    if (!former || former.time <= best.time) this.slots.set(slot, best);
  }

  /** Exactly where told; else to the bucket, by the column: the bids' upper edge, the asks' lower one. */
  at(timeline: Timeline, slot: number): Best | null {
    const told = this.slots.get(slot);
    if (told) return told;
    const column = timeline.columnAt(slot);
    if (!column) return null;
    const known = this.made.get(column);
    if (known) return known;
    const made = ofColumn(column);
    this.made.set(column, made);
    return made;
  }
}

function ofColumn(column: Column): Best {
  const size = Number(column.bucketSize);
  const { bid, ask } = bestBuckets(column);
  // Of both in one bucket nothing better is known than the bucket.
  const isOne = bid !== null && bid === ask;
  return {
    time: column.time,
    bid: bid === null ? null : (bid + (isOne ? 0.5 : 1)) * size,
    ask: ask === null ? null : (ask + (isOne ? 0.5 : 0)) * size,
  };
}

/** Trades of one slot, side and row, added up. */
export interface Bubble {
  readonly slot: number;
  readonly row: number;
  readonly side: string;
  readonly size: number;
  readonly count: number;
}

interface Trade {
  readonly time: number;
  readonly price: number;
  readonly size: number;
  readonly isBuy: boolean;
  readonly id: string;
}

export const MOST_TRADES = 30_000;
export const MOST_BUBBLES = 200;

/** The newest trades, each once, however it came. The oldest make room. */
export class Trades {
  private readonly held = new Map<string, Trade>();

  get size(): number {
    return this.held.size;
  }

  /** Whether it was not known before. */
  add(record: Pick<TradeRecord, "exchange" | "timestamp" | "price" | "size" | "side" | "trade_id">): boolean {
    const id = `${record.exchange} ${record.trade_id}`;
    if (this.held.has(id)) return false;
    const [price, size] = [Number(record.price), Number(record.size)];
    this.held.set(id, { time: Date.parse(record.timestamp), price, size, isBuy: record.side === "buy", id });
    if (this.held.size > MOST_TRADES) this.held.delete(this.held.keys().next().value!);
    return true;
  }

  clear(): void {
    this.held.clear();
  }

  /** The largest bubbles of the slots [from, until), largest first; `rowSize`: price of a row. */
  bubbles(period: number, from: number, until: number, rowSize: number): Bubble[] {
    const sums = new Map<number, { slot: number; row: number; side: string; size: number; count: number }>();
    let first: number | null = null;
    for (const trade of this.held.values()) {
      const slot = Math.floor(trade.time / period);
      if (slot < from || slot >= until) continue;
      const row = Math.floor(trade.price / rowSize);
      first ??= row;
      // One number a place: slots take 12 bits, rows 31 around that of the first trade.
      const key = ((slot - from) * 2 + (trade.isBuy ? 1 : 0)) * 2 ** 31 + (row - first + 2 ** 30);
      const sum = sums.get(key);
      if (sum) {
        sum.size += trade.size;
        sum.count++;
      } else sums.set(key, { slot, row, side: trade.isBuy ? "buy" : "sell", size: trade.size, count: 1 });
    }
    return [...sums.values()].sort((one, other) => other.size - one.size).slice(0, MOST_BUBBLES);
  }
}

/** Radius of a bubble in pixels: its area is its size, the `largest` has `most`. */
export function radius(size: number, largest: number, most: number): number {
  return largest > 0 ? Math.max(1.5, most * Math.sqrt(size / largest)) : 1.5;
}

/** The volume-weighted average price since the day's beginning (UTC), by one-minute candles: Σ volume × hlc/3 ÷ Σ volume. */
export class Vwap {
  private readonly candles = new Map<number, { price: number; volume: number; revision: number }>();
  private made: { readonly time: number; readonly price: number }[] | null = null;
  /** The beginnings of days whose candles are all here. */
  private readonly days = new Set<number>();

  /** A later revision takes the place of an earlier one. Other timeframes are passed over. */
  add(
    record: Pick<OhlcvRecord, "timestamp" | "timeframe" | "high" | "low" | "close" | "volume" | "revision">,
  ): void {
    if (record.timeframe !== "1m") return;
    const time = Date.parse(record.timestamp);
    const former = this.candles.get(time);
    if (former && former.revision > record.revision) return;
    const price = (Number(record.high) + Number(record.low) + Number(record.close)) / 3;
    this.candles.set(time, { price, volume: Number(record.volume), revision: record.revision });
    this.made = null;
    if (this.candles.size > 2 * DAY_MINUTES) this.forget();
  }

  clear(): void {
    this.candles.clear();
    this.forgetDays();
  }

  /** All candles of the day that begins then have come so far. */
  isWhole(day: number): void {
    this.days.add(day);
    this.made = null;
  }

  /** Some may have been missed. */
  forgetDays(): void {
    this.days.clear();
    this.made = null;
  }

  /** Points of whole days by rising time, each at its candle's end; the sum begins anew with each day. */
  points(): readonly { readonly time: number; readonly price: number }[] {
    if (this.made) return this.made;
    const made: { time: number; price: number }[] = [];
    let day = NaN;
    let turnover = 0;
    let volume = 0;
    for (const [time, candle] of [...this.candles].sort(([one], [other]) => one - other)) {
      const today = time - (time % DAY_MS);
      if (!this.days.has(today)) continue;
      if (today !== day) [day, turnover, volume] = [today, 0, 0];
      turnover += candle.price * candle.volume;
      volume += candle.volume;
      if (volume > 0) made.push({ time: time + MINUTE_MS, price: turnover / volume });
    }
    this.made = made;
    return made;
  }

  private forget(): void {
    const times = [...this.candles.keys()].sort((one, other) => one - other);
    for (const time of times.slice(0, times.length - 2 * DAY_MINUTES)) this.candles.delete(time);
  }
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const DAY_MINUTES = 1_440;
