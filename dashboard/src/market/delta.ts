/** The volume delta of one symbol: what the database has added up, joined by the trades that come. */
import type { App, End, Market } from "../app";
import { waitMs } from "../data/backoff";
import { millis } from "../data/clock";
import { Problem } from "../data/rest";
import type { Answer, Told, TradeRecord } from "../data/types";
import { TIMEFRAMES, type Timeframe } from "./candledata";
import { Delta, unknownOf, type FlowRow, type Point } from "./flow";

/** What /v1/flow gives at most, and how far behind now the database may be. */
const FLOW_MS = 6 * 3_600_000;
const SETTLED_MS = 5_000;
const MOST_WAITING = 20_000;
/** Whether the database has come so far is asked so often. */
const MOST_TRIES = 4;

/** The trades of the feed while the database is asked for those before: all of them since a time (ms). */
interface Waiting {
  sinceMs: number;
  trades: TradeRecord[];
  /** What the database has added up to the cut (ms): millions of trades are not read twice. */
  flow: { cut: number; rows: Answer<FlowRow> } | null;
}

export type DeltaMarket = Pick<Market, "feed" | "view" | "mode" | "now"> & {
  app: Pick<App, "rest" | "socket">;
};

export class DeltaFeed {
  private delta: Delta | null = null;
  private waiting: Waiting | null = null;
  private abort = new AbortController();
  private readonly ends: End[];

  /** ``most``: steps. ``changed``: there are other points. */
  constructor(
    private readonly market: DeltaMarket,
    private readonly timeframe: Timeframe,
    private readonly most: number,
    private readonly changed: () => void,
  ) {
    const { symbol } = market.view.value;
    this.ends = [
      market.feed.subscribe({ channel: "trade", symbol }, (told) => this.take(told)),
      market.app.socket.link.watch(({ reduced }) => {
        // No trades come then, and a line without them would look like a market without them.
        if (reduced && market.mode.value.name === "live") this.forget();
      }),
    ];
  }

  end(): void {
    this.abort.abort();
    for (const end of this.ends) end();
  }

  /** None: not known, or not yet. */
  points(): Point[] {
    return this.delta?.points() ?? [];
  }

  private take(told: Told<"trade">): void {
    if (told.type === "update") this.add(told.data);
    else if (told.type === "reset") this.forget();
    // What came between is in the database.
    else if (told.type === "snapshot" || told.data.exchange === "*") this.begin();
  }

  private add(trade: TradeRecord): void {
    this.delta?.addTrades([trade]);
    if (this.delta) this.changed();
    if (this.waiting === null || this.waiting.trades.push(trade) <= MOST_WAITING) return;
    const gone = millis(this.waiting.trades.shift()!.timestamp) + 1;
    this.waiting.sinceMs = Math.max(this.waiting.sinceMs, gone);
  }

  private forget(): void {
    this.abort.abort();
    this.abort = new AbortController();
    this.waiting = null;
    if (this.delta) this.changed();
    this.delta = null;
  }

  private begin(): void {
    this.forget();
    const sinceMs = this.market.now();
    if (sinceMs === null) return;
    this.waiting = { sinceMs, trades: [], flow: null };
    void this.load(this.waiting, this.abort.signal);
  }

  /** The candles are there without it: what fails here is tried again in silence, and the line is missing meanwhile. */
  private async load(waiting: Waiting, signal: AbortSignal): Promise<void> {
    for (let tries = 0; tries < MOST_TRIES;) {
      let pauseMs = SETTLED_MS;
      try {
        if (await this.loadOnce(waiting, signal)) break;
        tries += 1;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        if (!error.isPassing) break;
        pauseMs = waitMs(5);
      }
      await new Promise((again) => setTimeout(again, pauseMs));
      if (signal.aborted) return;
    }
    this.waiting = null;
  }

  /** Whether the database had all that the feed has not brought. */
  private async loadOnce(waiting: Waiting, signal: AbortSignal): Promise<boolean> {
    const { symbol } = this.market.view.value;
    const { cut, rows } = (waiting.flow ??= await this.flow(waiting.sinceMs, signal));
    const delta = new Delta(TIMEFRAMES[this.timeframe], cut);
    delta.addRows(rows.data);
    const before = unknownOf(rows.meta, cut);
    delta.addUnknown(before);
    if (before.some(([, to]) => to === cut)) waiting.flow = null;
    // What came before the feed may bear a later time, by an exchange's clock; but nothing after now.
    const to = Math.ceil(Math.min(this.market.now() ?? Infinity, waiting.sinceMs + SETTLED_MS));
    const tail = { symbol, from: cut, to, limit: 10_000 };
    let isWhole = true;
    for await (const page of this.market.app.rest.pages<TradeRecord>("/v1/trades", tail, signal)) {
      delta.addTrades(page.data);
      const unknown = unknownOf(page.meta, waiting.sinceMs);
      delta.addUnknown(unknown);
      isWhole &&= unknown.length === 0;
    }
    signal.throwIfAborted();
    delta.addTrades(waiting.trades);
    this.delta = delta;
    this.changed();
    return isWhole;
  }

  private async flow(sinceMs: number, signal: AbortSignal): Promise<NonNullable<Waiting["flow"]>> {
    const { symbol } = this.market.view.value;
    const stepMs = TIMEFRAMES[this.timeframe] * 1_000;
    // Up to the cut the database has added up; from there on trades come one by one, each counted once.
    const cut = Math.floor(sinceMs) - SETTLED_MS;
    const start = cut + SETTLED_MS - Math.min(FLOW_MS, this.most * stepMs);
    const from = Math.min(Math.ceil(start / stepMs) * stepMs, cut - 1_000);
    const range = { symbol, from, to: cut, resolution: this.timeframe };
    return { cut, rows: await this.market.app.rest.answer<FlowRow>("/v1/flow", range, signal) };
  }
}
