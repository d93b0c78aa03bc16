/** What the scene is fed with: records of the feed, live or replayed, and history of the API for what is looked at. */

import type { End, Market } from "../app";
import { Problem } from "../data/rest";
import type {
  Answer,
  BookRecord,
  GapRecord,
  HeatmapColumn,
  OhlcvRecord,
  Told,
  TradeRecord,
} from "../data/types";
import { columnOf } from "./columns";
import { Loader } from "./loader";
import type { Loading, Range } from "./loader";
import type { Scene } from "./scene";
import { Sum } from "./sum";
import type { Timeline } from "./timeline";

const DAY_MS = 86_400_000;
/** Gaps and trades of so long before the first one known are asked for at once. */
const GAPS_AHEAD_MS = DAY_MS;
const TRADES_MS = 600_000;
const MOST_PAGES = 3;

export class Supply {
  private readonly loader: Loader;
  private readonly ends: End[] = [];
  private readonly abort = new AbortController();
  private readonly exchanges: readonly string[] | null;
  private readonly symbol: string;
  /** From when on gaps and trades are known; null: not asked for yet. */
  private gapsFrom: number | null = null;
  private tradesFrom: number | null = null;

  constructor(
    private readonly market: Market,
    private readonly scene: Scene,
    private readonly changed: () => void,
    told: (loading: Loading) => void,
  ) {
    ({ symbol: this.symbol, exchanges: this.exchanges } = market.view.value);
    this.loader = new Loader((range, period, signal) => this.ask(range, period, signal), told);
    this.subscribe();
  }

  end(): void {
    this.abort.abort();
    this.loader.reset();
    for (const end of this.ends.splice(0)) end();
  }

  /** See whether history is wanted for what is looked at. */
  look(now: number): void {
    const { scene } = this;
    const slots = scene.camera.slots();
    const from = scene.timeline.timeOf(Math.max(slots[0], scene.timeline.first));
    if (this.exchanges) this.mark(slots, now);
    else this.loader.look(scene.timeline, slots, now, (range) => this.came(scene.timeline, range));
    this.lookAround(from, now);
  }

  /** Another period: what is under way is of no use. */
  again(): void {
    this.loader.reset();
  }

  private came(timeline: Timeline, range: Range): void {
    if (timeline !== this.scene.timeline) return;
    const column = timeline.newestBefore(timeline.timeOf(range.until));
    if (column) this.scene.arrived(column);
    this.scene.touch(range.from, range.until);
    this.scene.adjust(true);
    this.changed();
  }

  /** Which exchange had what is stored of the sum alone: before it was chosen, nothing can be told. */
  private mark(slots: readonly [number, number], now: number): void {
    const { scene } = this;
    const until = Math.floor(Math.min(now, scene.firstLiveAt ?? now) / scene.timeline.period);
    scene.putHole(slots[0], Math.min(slots[1], until), { reason: "not_stored_apart" });
  }

  private ask(range: Range, period: number, signal: AbortSignal): Promise<Answer<HeatmapColumn>> {
    const isLonger = period > this.scene.pace.stored;
    return this.market.app.rest.answer<HeatmapColumn>(
      "/v1/heatmap",
      {
        symbol: this.symbol,
        from: range.from,
        to: range.until,
        limit: 10_000,
        ...(isLonger ? { resolution: `${period}ms` } : {}),
      },
      signal,
    );
  }

  private subscribe(): void {
    const { market, scene, symbol, exchanges } = this;
    const only = exchanges ? { exchanges } : {};
    const { feed } = market;
    if (exchanges) this.followSome(exchanges);
    else this.followAll();
    this.ends.push(
      feed.subscribe({ channel: "trade", symbol, ...only }, (told) => {
        for (const record of recordsOf(told)) scene.trades.add(record);
        this.changed();
      }),
      feed.subscribe({ channel: "ohlcv", symbol, timeframes: ["1m"] }, (told) => {
        for (const record of recordsOf(told)) scene.vwap.add(record);
        this.changed();
      }),
    );
  }

  private followAll(): void {
    const { scene, symbol } = this;
    const { feed } = this.market;
    this.ends.push(
      feed.subscribe({ channel: "heatmap", symbol }, (told) => {
        if (told.type === "reset") this.reset();
        if (told.type === "gap") this.gap(told.data);
        for (const record of recordsOf(told)) scene.put(columnOf(record), true);
        this.changed();
      }),
      feed.subscribe({ channel: "consolidated", symbol }, (told) => {
        for (const { timestamp, bids, asks } of recordsOf(told)) {
          const of = (side: typeof bids): number | null => (side[0] ? Number(side[0].price) : null);
          scene.putBest({ time: Date.parse(timestamp), bid: of(bids), ask: of(asks) });
        }
        this.changed();
      }),
    );
  }

  private followSome(exchanges: readonly string[]): void {
    const { scene, symbol } = this;
    let sum = new Sum(exchanges, scene.depth);
    const take = (record: BookRecord): void => {
      for (const { column, bid, ask } of sum.take(record)) {
        scene.put(column, true);
        scene.putBest({ time: column.time, bid, ask });
      }
    };
    this.ends.push(
      this.market.feed.subscribe({ channel: "book", symbol, exchanges }, (told) => {
        if (told.type === "reset") this.reset();
        if (told.type === "reset" || told.type === "snapshot") sum = new Sum(exchanges, scene.depth);
        if (told.type === "gap") this.gap(told.data);
        recordsOf(told).forEach(take);
        this.changed();
      }),
    );
  }

  private reset(): void {
    this.scene.restart();
    this.loader.reset();
  }

  private gap(record: GapRecord): void {
    if (this.exchanges && !this.exchanges.includes(record.exchange)) return;
    this.scene.gaps.add(record);
    this.scene.spansChanged();
  }

  /** Gaps, trades and the day's candles of the time that is looked at, once. */
  private lookAround(from: number, now: number): void {
    if (this.gapsFrom === null) void this.candles(now);
    const gapsUntil = this.gapsFrom ?? now;
    if (this.gapsFrom === null || from < this.gapsFrom) {
      this.gapsFrom = Math.min(from, now) - GAPS_AHEAD_MS;
      void this.gaps(this.gapsFrom, gapsUntil + 1);
    }
    const tradesUntil = this.tradesFrom ?? now;
    const start = Math.max(from, now - TRADES_MS);
    if (this.tradesFrom === null || start < this.tradesFrom) {
      this.tradesFrom = start;
      void this.trades(start, tradesUntil);
    }
  }

  private gaps(from: number, until: number): Promise<void> {
    return this.rows<GapRecord>("/v1/gaps", { from: Math.floor(from), to: Math.ceil(until) }, (row) =>
      this.gap(row),
    );
  }

  private trades(from: number, until: number): Promise<void> {
    const range = { from: Math.floor(from), to: Math.ceil(until) };
    return this.rows<TradeRecord>("/v1/trades", range, (row) => {
      if (!this.exchanges || this.exchanges.includes(row.exchange)) this.scene.trades.add(row);
    });
  }

  private candles(now: number): Promise<void> {
    const range = { timeframe: "1m", from: Math.floor(now / DAY_MS) * DAY_MS, to: Math.ceil(now) };
    return this.rows<OhlcvRecord>("/v1/ohlcv", range, (row) => this.scene.vwap.add(row));
  }

  /** A few pages of rows. What can't be had is left out: it lies over the picture and is no part of it. */
  private async rows<T>(
    path: string,
    range: Record<string, string | number>,
    take: (row: T) => void,
  ): Promise<void> {
    if (Number(range["from"]) >= Number(range["to"])) return;
    const params = { symbol: this.symbol, limit: 10_000, ...range };
    try {
      let pages = 0;
      for await (const page of this.market.app.rest.pages<T>(path, params, this.abort.signal)) {
        page.data.forEach(take);
        this.scene.spansChanged();
        this.changed();
        if (++pages >= MOST_PAGES) return;
      }
    } catch (error) {
      if (!(error instanceof Problem) && !this.abort.signal.aborted) throw error;
    }
  }
}

function recordsOf<C extends Parameters<Market["feed"]["subscribe"]>[0]["channel"]>(
  told: Told<C>,
): readonly Extract<Told<C>, { type: "update" }>["data"][] {
  if (told.type === "snapshot") return told.data;
  return told.type === "update" ? [told.data] : [];
}
