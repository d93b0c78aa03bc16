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
import { Scene } from "./scene";
import { Sum } from "./sum";
import type { Timeline } from "./timeline";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** Gaps of so long before what is looked at are asked for with it. */
const GAPS_AHEAD_MS = DAY_MS;
const GAPS_RETRY_MS = 3_000;
/** Trades of so long are shown. */
const TRADES_MS = 600_000;
/** Between two looks the feed brings what is newest; a longer leap is another place. */
const LEAP_MS = 3_000;
const MOST_PAGES = 3;

/** An empty scene of the symbol in view, with its depth, pace and bucket size. */
export function sceneFor(market: Market): Scene {
  const row = market.symbols.find((one) => one.symbol === market.view.value.symbol);
  const pace = { tick: row?.tick_ms ?? 500, stored: row?.store_interval_ms ?? 1_000 };
  return new Scene(pace, row?.heatmap_depth ?? 50, Number(row?.bucket_size ?? 1).toFixed(8));
}

export class Supply {
  private readonly loader: Loader;
  private readonly ends: End[] = [];
  private readonly abort = new AbortController();
  private readonly exchanges: readonly string[] | null;
  private readonly symbol: string;
  /** From when on gaps are known; of which time trades, and of which day candles; null: not asked for yet. */
  private gapsFrom: number | null = null;
  private tradesOf: Range | null = null;
  private day: number | null = null;

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

  /** See whether history is wanted for what is looked at. `now` is live's, or a replay's; `present` always the server's. */
  look(now: number, present: number): void {
    const { scene } = this;
    const slots = scene.camera.slots();
    const from = scene.timeline.timeOf(Math.max(slots[0], scene.timeline.first));
    if (this.exchanges) this.mark(slots, now);
    else this.loader.look(scene.timeline, slots, present, (range) => this.came(scene.timeline, range));
    this.lookForGaps(from, present);
    this.lookForTrades(from, now);
    this.lookForCandles(now);
  }

  /** Another period: what is under way is of no use. */
  again(): void {
    this.loader.reset();
  }

  private came(timeline: Timeline, range: Range): void {
    if (timeline !== this.scene.timeline) return;
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

  private lookForGaps(from: number, present: number): void {
    if (this.gapsFrom !== null && from >= this.gapsFrom) return;
    const had = this.gapsFrom;
    const range = { from: Math.min(from, present) - GAPS_AHEAD_MS, to: (had ?? present) + 1 };
    this.gapsFrom = range.from;
    void this.rows<GapRecord>("/v1/gaps", range, (row) => this.gap(row)).then((isWhole) => {
      // Without them what was lost would look like what was not: asked for until they are there.
      if (!isWhole) window.setTimeout(() => (this.gapsFrom = had), GAPS_RETRY_MS);
    });
  }

  private lookForTrades(from: number, now: number): void {
    const start = Math.max(from, now - TRADES_MS);
    const had = this.tradesOf;
    const isNear = had !== null && now >= had.from && now <= had.until + LEAP_MS;
    if (isNear && start >= had.from) {
      this.tradesOf = { from: had.from, until: Math.max(had.until, now) };
      return;
    }
    const until = isNear ? had.from : now;
    this.tradesOf = { from: start, until: isNear ? Math.max(had.until, now) : now };
    void this.rows<TradeRecord>("/v1/trades", { from: start, to: until }, (row) => {
      if (!this.exchanges || this.exchanges.includes(row.exchange)) this.scene.trades.add(row);
    });
  }

  private lookForCandles(now: number): void {
    const day = Math.floor(now / DAY_MS);
    if (day === this.day) return;
    this.day = day;
    const range = { timeframe: "1m", from: day * DAY_MS, to: Math.min(now + MINUTE_MS, (day + 1) * DAY_MS) };
    void this.rows<OhlcvRecord>("/v1/ohlcv", range, (row) => this.scene.vwap.add(row));
  }

  /** A few pages of rows, and whether they came: what can't be had is left out, it lies over the picture. */
  private async rows<T>(
    path: string,
    range: { from: number; to: number; timeframe?: string },
    take: (row: T) => void,
  ): Promise<boolean> {
    const [from, to] = [Math.floor(range.from), Math.ceil(range.to)];
    if (from >= to) return true;
    const params = { symbol: this.symbol, limit: 10_000, ...range, from, to };
    try {
      let pages = 0;
      for await (const page of this.market.app.rest.pages<T>(path, params, this.abort.signal)) {
        page.data.forEach(take);
        this.scene.spansChanged();
        this.changed();
        if (++pages >= MOST_PAGES) break;
      }
      return true;
    } catch (error) {
      if (!(error instanceof Problem) && !this.abort.signal.aborted) throw error;
      return false;
    }
  }
}

function recordsOf<C extends Parameters<Market["feed"]["subscribe"]>[0]["channel"]>(
  told: Told<C>,
): readonly Extract<Told<C>, { type: "update" }>["data"][] {
  if (told.type === "snapshot") return told.data;
  return told.type === "update" ? [told.data] : [];
}
