/** Rows of history that lie over the picture: gaps, trades, candles of the day. Each is asked for until it is there. */

import { Problem } from "../data/rest";
import type { Rest } from "../data/rest";
import type { GapRecord, OhlcvRecord, TradeRecord } from "../data/types";
import { SETTLED_MS } from "./loader";
import type { Range } from "./loader";
import type { Scene } from "./scene";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** Gaps of so long before what is looked at are asked for with it. */
const GAPS_AHEAD_MS = DAY_MS;
/** Trades of so long are shown. */
const TRADES_MS = 600_000;
/** Between two looks the feed brings what is newest; a longer leap is another place. */
const LEAP_MS = 3_000;
/** Of trades the newest are asked for first, a piece of so long at a time, until there are this many rows. */
const PIECE_MS = 150_000;
const MOST_ROWS = 30_000;
const RETRY_MS = 3_000;
/** What was refused would be refused again soon. */
const REFUSED_RETRY_MS = 30_000;

interface Known {
  from: number;
  until: number;
}

/** What has been asked for of one kind of rows. */
class Asked {
  /** Known, or on its way; null: nothing. */
  range: Known | null = null;
  private isBegun = false;
  private settlesAt: number | null = null;

  /** The feed begins anew: what came between is not known. */
  begin(): void {
    this.range = null;
    this.isBegun = true;
  }

  /** What the feed began just behind may not be stored yet: that is asked for once more. */
  settle(now: number, present: number): void {
    if (this.isBegun) this.settlesAt = now > present - SETTLED_MS ? present + SETTLED_MS : null;
    this.isBegun = false;
    if (this.settlesAt === null || present < this.settlesAt) return;
    this.settlesAt = null;
    this.range = null;
  }
}

export type Kind = "gaps" | "trades" | "candles";

const ASKED_OF: Readonly<Record<Kind, readonly [string, { timeframe?: string }]>> = {
  gaps: ["/v1/gaps", {}],
  trades: ["/v1/trades", {}],
  candles: ["/v1/ohlcv", { timeframe: "1m" }],
};

export class Rows {
  private readonly asked: Record<Kind, Asked> = {
    gaps: new Asked(),
    trades: new Asked(),
    candles: new Asked(),
  };
  private readonly abort = new AbortController();

  constructor(
    private readonly rest: Pick<Rest, "pages">,
    private readonly scene: Scene,
    private readonly symbol: string,
    private readonly exchanges: readonly string[] | null,
    private readonly changed: () => void,
  ) {}

  end(): void {
    this.abort.abort();
  }

  /** The feed of a kind begins anew: after a cut, in a replay, back in live. */
  begin(kind: Kind): void {
    this.asked[kind].begin();
    // A sum that lacks what came in a cut is not the day's.
    if (kind === "candles") this.scene.vwap.forgetDays();
  }

  /** `from`: the left edge; `now`: live's, or a replay's; `present`: the server's. */
  look(from: number, now: number, present: number): void {
    for (const one of Object.values(this.asked)) one.settle(now, present);
    this.lookForGaps(from, present);
    this.lookForTrades(from, now);
    this.lookForCandles(now);
  }

  gap(record: GapRecord): void {
    if (this.exchanges && !this.exchanges.includes(record.exchange)) return;
    this.scene.gaps.add(record);
    this.scene.spansChanged();
  }

  private lookForGaps(from: number, present: number): void {
    const had = this.asked.gaps.range;
    if (had && from >= had.from) return;
    const start = Math.min(from, present) - GAPS_AHEAD_MS;
    const known = { from: start, until: had?.until ?? present };
    const range = { from: start, until: (had?.from ?? present) + 1 };
    void this.ask<GapRecord>("gaps", known, range, (row) => this.gap(row));
  }

  private lookForTrades(from: number, now: number): void {
    const start = Math.max(from, now - TRADES_MS);
    const had = this.asked.trades.range;
    const isNear = had !== null && now >= had.from && now <= had.until + LEAP_MS;
    if (isNear) had.until = Math.max(had.until, now);
    if (isNear && start >= had.from) return;
    const known = { from: start, until: isNear ? had.until : now };
    const range = { from: start, until: isNear ? had.from : now };
    void this.ask<TradeRecord>("trades", known, range, (row) => {
      if (!this.exchanges || this.exchanges.includes(row.exchange)) this.scene.trades.add(row);
    });
  }

  private lookForCandles(now: number): void {
    const from = Math.floor(now / DAY_MS) * DAY_MS;
    if (this.asked.candles.range?.from === from) return;
    const range = { from, until: Math.min(now + MINUTE_MS, from + DAY_MS) };
    const { vwap } = this.scene;
    const whole = (): void => vwap.isWhole(from);
    const take = (row: OhlcvRecord): void => vwap.add(row);
    void this.ask("candles", range, range, take, whole);
  }

  /** A few pages of rows; `known` is, once they have come, and `whole` is called. What fails is asked for again. */
  private async ask<T>(
    kind: Kind,
    known: Known,
    range: Range,
    take: (row: T) => void,
    whole = (): void => undefined,
  ): Promise<void> {
    const asked = this.asked[kind];
    const had = asked.range;
    asked.range = known;
    const retryMs = await this.rows(kind, range, take);
    // Begun anew meanwhile: the next answer is the one that counts.
    if (asked.range !== known || this.abort.signal.aborted) return;
    if (retryMs === null) {
      whole();
      this.changed();
    } else
      setTimeout(() => {
        if (asked.range === known) asked.range = had;
      }, retryMs);
  }

  /** Null where they came; else the milliseconds after which to ask again. */
  private async rows<T>(kind: Kind, range: Range, take: (row: T) => void): Promise<number | null> {
    const [from, to] = [Math.floor(range.from), Math.ceil(range.until)];
    if (from >= to) return null;
    const pieceMs = kind === "trades" ? PIECE_MS : to - from;
    try {
      let rows = 0;
      for (let end = to; end > from && rows < MOST_ROWS; end -= pieceMs)
        rows += await this.piece(kind, Math.max(from, end - pieceMs), end, take);
      return null;
    } catch (error) {
      if (this.abort.signal.aborted) return RETRY_MS;
      if (!(error instanceof Problem)) throw error;
      return error.isPassing ? Math.max(RETRY_MS, (error.retryAfter ?? 0) * 1_000) : REFUSED_RETRY_MS;
    }
  }

  /** How many there were. */
  private async piece<T>(kind: Kind, from: number, to: number, take: (row: T) => void): Promise<number> {
    const [path, more] = ASKED_OF[kind];
    const params = { symbol: this.symbol, limit: 10_000, from, to, ...more };
    let rows = 0;
    for await (const page of this.rest.pages<T>(path, params, this.abort.signal)) {
      page.data.forEach(take);
      rows += page.data.length;
      this.scene.spansChanged();
      this.changed();
      if (rows >= MOST_ROWS) break;
    }
    return rows;
  }
}
