/** What the scene is fed with: records of the feed, live or replayed, and history of the API for what is looked at. */

import type { End, Market } from "../app";
import type { Answer, BookRecord, Channel, HeatmapColumn, Told } from "../data/types";
import { columnOf } from "./columns";
import { Loader, SETTLED_MS } from "./loader";
import type { Loading, Range } from "./loader";
import { Rows } from "./rows";
import type { Kind } from "./rows";
import { Scene } from "./scene";
import { Sum } from "./sum";
import type { Timeline } from "./timeline";

/** An empty scene of the symbol in view, with its depth, pace and bucket size. */
export function sceneFor(market: Market): Scene {
  const row = market.symbols.find((one) => one.symbol === market.view.value.symbol);
  const pace = { tick: row?.tick_ms ?? 500, stored: row?.store_interval_ms ?? 1_000 };
  return new Scene(pace, row?.heatmap_depth ?? 50, Number(row?.bucket_size ?? 1).toFixed(8));
}

export class Supply {
  private readonly loader: Loader;
  private readonly ends: End[] = [];
  private readonly rows: Rows;
  private readonly exchanges: readonly string[] | null;
  private readonly symbol: string;

  constructor(
    private readonly market: Market,
    private readonly scene: Scene,
    private readonly changed: () => void,
    told: (loading: Loading) => void,
  ) {
    ({ symbol: this.symbol, exchanges: this.exchanges } = market.view.value);
    this.loader = new Loader((range, period, signal) => this.ask(range, period, signal), told);
    this.rows = new Rows(market.app.rest, scene, this.symbol, this.exchanges, changed);
    this.subscribe();
  }

  end(): void {
    this.rows.end();
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
    this.rows.look(from, now, present);
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

  /** Which exchange had what is stored of the sum alone: before it was chosen, and of a cut, nothing can be told. */
  private mark(slots: readonly [number, number], now: number): void {
    const { scene } = this;
    const time = Math.max(Math.min(now, scene.firstLiveAt ?? now), now - SETTLED_MS);
    const until = scene.timeline.slotOf(time);
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
        this.begun(told, "trades");
        for (const record of recordsOf(told)) scene.trades.add(record);
        this.changed();
      }),
      feed.subscribe({ channel: "ohlcv", symbol, timeframes: ["1m"] }, (told) => {
        this.begun(told, "candles");
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
        this.begun(told, "gaps");
        if (told.type === "gap") this.rows.gap(told.data);
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
        this.begun(told, "gaps");
        if (told.type === "reset" || told.type === "snapshot") sum = new Sum(exchanges, scene.depth);
        if (told.type === "gap") this.rows.gap(told.data);
        recordsOf(told).forEach(take);
        this.changed();
      }),
    );
  }

  /** Another source, or one that was cut: what it has not told is history's to tell. */
  private begun(told: Told<Channel>, kind: Kind): void {
    if (told.type === "reset" || told.type === "snapshot") this.rows.begin(kind);
  }

  private reset(): void {
    this.scene.restart();
    this.loader.reset();
  }
}

function recordsOf<C extends Parameters<Market["feed"]["subscribe"]>[0]["channel"]>(
  told: Told<C>,
): readonly Extract<Told<C>, { type: "update" }>["data"][] {
  if (told.type === "snapshot") return told.data;
  return told.type === "update" ? [told.data] : [];
}
