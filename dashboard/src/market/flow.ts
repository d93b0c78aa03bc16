/** Cumulative volume delta: what takers bought less what they sold, summed from where the picture begins. Pure. */
import type { Decimal, Time, TradeRecord } from "../data/records";
import type { Meta } from "../data/types";
import { millis } from "../data/clock";
import { idOf } from "./tape";

/** A row of /v1/flow. */
export interface FlowRow {
  timestamp: Time;
  buy_volume: Decimal;
  sell_volume: Decimal;
  trade_count: number;
  vwap: Decimal;
}

export interface Point {
  time: number;
  value: number;
  /** Nobody knows all trades from here to the next point. */
  isCut?: true;
}

/** Milliseconds, the end not included. */
export type Span = [from: number, to: number];

/** Beyond these the oldest points go; the sum goes on. */
const MOST_POINTS = 8_000;

export class Delta {
  /** What the points that are gone add up to. */
  private base = 0;
  private readonly sums = new Map<number, number>();
  private unknown: Span[] = [];
  private readonly ids = new Set<string>();

  /** ``step``: seconds of a point. ``cut``: before this time (ms) rows count, from it on single trades. */
  constructor(
    readonly step: number,
    readonly cut: number,
  ) {}

  /** Rows of /v1/flow that end at the cut. */
  addRows(rows: readonly FlowRow[]): void {
    for (const row of rows) this.put(millis(row.timestamp), Number(row.buy_volume) - Number(row.sell_volume));
  }

  /** Trades from the cut on, each once. */
  addTrades(
    trades: readonly Pick<TradeRecord, "exchange" | "trade_id" | "timestamp" | "size" | "side">[],
  ): void {
    for (const trade of trades) {
      const [time, id] = [millis(trade.timestamp), idOf(trade)];
      if (time < this.cut || this.ids.has(id)) continue;
      this.ids.add(id);
      this.put(time, (trade.side === "buy" ? 1 : -1) * Number(trade.size));
    }
    // Doubles come when the past joins the present: soon after the beginning.
    if (this.ids.size > 50_000) this.ids.clear();
  }

  /** Times of which not all trades are known. */
  addUnknown(spans: readonly Span[]): void {
    this.unknown = [...this.unknown, ...spans].sort(([one], [other]) => one - other);
  }

  points(): Point[] {
    let value = this.base;
    const points: Point[] = [...this.sums]
      .sort(([one], [other]) => one - other)
      .map(([time, delta]) => ({ time, value: (value += delta) }));
    let at = 0;
    for (const [index, next] of points.slice(1).entries()) {
      const point = points[index]!;
      // A point tells of all its step: what lies between two is the later one's.
      const [from, to] = [point, next].map((one) => (one.time + this.step) * 1_000) as Span;
      while (at < this.unknown.length && this.unknown[at]![1] <= from) at += 1;
      if (at < this.unknown.length && this.unknown[at]![0] < to) point.isCut = true;
    }
    return points;
  }

  private put(timeMs: number, delta: number): void {
    const seconds = Math.floor(timeMs / 1_000);
    const start = seconds - (seconds % this.step);
    this.sums.set(start, (this.sums.get(start) ?? 0) + delta);
    if (this.sums.size <= MOST_POINTS) return;
    const times = [...this.sums.keys()].sort((one, other) => one - other);
    for (const time of times.slice(0, MOST_POINTS / 4)) {
      this.base += this.sums.get(time) ?? 0;
      this.sums.delete(time);
    }
  }
}

/** The times before ``until`` of which an answer lacks all exchanges; what one of them lacks leaves the others' sum. */
export function unknownOf(meta: Meta, until: number): Span[] {
  const spans = meta.gaps
    .filter((hole) => hole.exchange === "*")
    .map((hole): Span => [millis(hole.from), Math.min(until, hole.to === null ? until : millis(hole.to))]);
  const last = meta.gaps.at(-1);
  if (meta.more_gaps && last) spans.push([millis(last.from), until]);
  return spans.filter(([from, to]) => from < to);
}
