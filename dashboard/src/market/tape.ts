/** The newest trades, each once, whichever way it came. Pure. */
import type { TradeRecord } from "../data/records";

export type Trade = Pick<TradeRecord, "exchange" | "timestamp" | "price" | "size" | "side" | "trade_id">;

export class Tape {
  /** Newest first. */
  private trades: Trade[] = [];
  private ids = new Set<string>();

  constructor(private readonly size: number) {}

  add(trades: readonly Trade[]): void {
    const fresh = trades.filter((one) => !this.ids.has(idOf(one)));
    if (fresh.length === 0) return;
    const byId = new Map([...fresh, ...this.trades].map((one) => [idOf(one), one]));
    this.trades = [...byId.values()].sort(newestFirst).slice(0, this.size);
    this.ids = new Set(this.trades.map(idOf));
  }

  clear(): void {
    this.trades = [];
    this.ids.clear();
  }

  newest(): readonly Trade[] {
    return this.trades;
  }
}

export function idOf(trade: Pick<Trade, "exchange" | "trade_id">): string {
  return `${trade.exchange} ${trade.trade_id}`;
}

function newestFirst(one: Trade, other: Trade): number {
  return one.timestamp < other.timestamp ? 1 : one.timestamp > other.timestamp ? -1 : 0;
}
