/** Cumulative volume delta: what takers bought less what they sold, summed from where the picture begins. Pure. */
import type { Decimal, Time, TradeRecord } from "../data/records";
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
}

/** Beyond these the oldest points go; the sum goes on. */
const MOST_POINTS = 8_000;

export class Delta {
  /** What the points that are gone add up to. */
  private base = 0;
  private readonly sums = new Map<number, number>();
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

  points(): Point[] {
    let value = this.base;
    return [...this.sums]
      .sort(([one], [other]) => one - other)
      .map(([time, delta]) => ({ time, value: (value += delta) }));
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
