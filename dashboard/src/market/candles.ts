/** The panel of candles: timeframe, history joined by what comes, the volume delta, the numbers of a bar. */
import type { End, Market } from "../app";
import { Problem } from "../data/rest";
import { waitMs } from "../data/backoff";
import { rounded, shown } from "../data/decimal";
import type { OhlcvRecord, TradeRecord } from "../data/types";
import { element, put } from "../shell/dom";
import { untilLoaded } from "../shell/states";
import { CandleChart } from "./candlechart";
import { Candles, isHole, partsOf, TIMEFRAMES, type Bar, type Timeframe } from "./candledata";
import { Delta, type FlowRow } from "./flow";

const NAME = "coby.timeframe";
const PAGE = 1_000;
const DRAW_MS = 500;
/** What /v1/flow gives at most, and how far behind now the database may be. */
const FLOW_MS = 6 * 3_600_000;
const SETTLED_MS = 5_000;

export function mountCandles(root: HTMLElement, market: Market): End {
  const numbers = element("p", { class: "number small bar-numbers" });
  const place = element("div", { class: "chart" });
  const state = element("div", { class: "over" });
  const head = element("div", { class: "panel-head" }, element("h2", {}, "Candles"));
  const stored = localStorage.getItem(NAME) ?? "";
  let timeframe: Timeframe = stored in TIMEFRAMES ? (stored as Timeframe) : "1m";
  let shown: Shown | null = null;
  const begin = (): void => {
    shown?.end();
    shown = new Shown(market, timeframe, chart, state);
  };
  head.append(
    picker(timeframe, (chosen) => {
      localStorage.setItem(NAME, (timeframe = chosen));
      begin();
    }),
    numbers,
  );
  root.append(head, element("div", { class: "chart-place" }, place, state));
  const style = getComputedStyle(document.documentElement);
  const chart = new CandleChart(
    place,
    (name) => style.getPropertyValue(name).trim(),
    (bar) => put(numbers, numbersOf(bar ?? shown?.last() ?? null)),
  );
  place.tabIndex = 0;
  place.setAttribute("role", "group");
  place.setAttribute("aria-label", "Candle chart: arrows move, plus and minus zoom, End goes to now");
  place.addEventListener("keydown", (event) => {
    if (moved(chart, event.key)) event.preventDefault();
  });
  chart.onLeft(() => void shown?.earlier());
  const endTheme = market.app.theme.watch(() => chart.paint());
  let symbol = "";
  const endView = market.view.watch((view) => {
    if (view.symbol !== symbol) begin();
    symbol = view.symbol;
  });
  const timer = window.setInterval(() => {
    if (shown?.draw()) put(numbers, numbersOf(shown.last()));
  }, DRAW_MS);
  return () => {
    window.clearInterval(timer);
    endView();
    endTheme();
    shown?.end();
    chart.remove();
  };
}

/** One symbol in one timeframe. */
class Shown {
  private candles: Candles;
  private delta: Delta | null = null;
  private readonly waiting: TradeRecord[] = [];
  private readonly ends: End[] = [];
  private abort = new AbortController();
  private isDirty = false;
  private isWhole = true;
  private hasEarlier = true;
  private isLoading = false;

  constructor(
    private readonly market: Market,
    private readonly timeframe: Timeframe,
    private readonly chart: CandleChart,
    private readonly state: HTMLElement,
  ) {
    this.candles = new Candles(timeframe);
    const { symbol } = market.view.value;
    const timeframes = [timeframe, ...partsOf(timeframe)];
    this.ends.push(
      market.feed.subscribe({ channel: "ohlcv", symbol, timeframes }, (told) => {
        if (told.type === "reset") this.again();
        if (told.type === "snapshot") {
          // After a cut, what came between is in the database; in a replay it begins at another time.
          if (market.mode.value.name === "replay") this.again();
          for (const one of told.data) this.add(one);
          void this.load();
        }
        if (told.type === "update") this.add(told.data);
      }),
      market.feed.subscribe({ channel: "trade", symbol }, (told) => {
        if (told.type !== "update") return;
        if (this.delta) this.delta.addTrades([told.data]);
        else if (this.waiting.push(told.data) > 20_000) this.waiting.shift();
        this.isDirty = true;
      }),
    );
  }

  end(): void {
    this.abort.abort();
    for (const end of this.ends) end();
    this.state.replaceChildren();
  }

  /** Whether anything was new. */
  draw(): boolean {
    if (!this.isDirty) return false;
    this.isDirty = false;
    this.chart.show(this.candles.bars(), !this.isWhole);
    if (this.delta || this.isWhole) this.chart.showDelta(this.delta?.points() ?? []);
    if (this.isWhole) this.chart.toEnd();
    this.isWhole = false;
    return true;
  }

  last(): Bar | null {
    const bar = this.candles.bars().findLast((one) => !isHole(one));
    return bar && !isHole(bar) ? bar : null;
  }

  /** Older candles, a page at a time. */
  async earlier(): Promise<void> {
    const first = this.candles.first;
    if (first === null || this.isLoading || !this.hasEarlier || this.isWhole) return;
    const { signal } = this.abort;
    this.isLoading = true;
    try {
      const step = TIMEFRAMES[this.timeframe];
      this.hasEarlier = (await this.fetch(this.timeframe, first - PAGE * step, first)) > 0;
    } catch (error) {
      if (!(error instanceof Problem) && !signal.aborted) throw error;
    } finally {
      this.isLoading = false;
    }
  }

  private again(): void {
    this.abort.abort();
    this.abort = new AbortController();
    this.candles = new Candles(this.timeframe);
    this.delta = null;
    this.waiting.length = 0;
    this.isDirty = this.isWhole = this.hasEarlier = true;
  }

  private add(record: OhlcvRecord): void {
    if (this.candles.add(record)) this.isDirty = true;
  }

  private async load(): Promise<void> {
    const { signal } = this.abort;
    try {
      await untilLoaded(this.state, "Loading candles", () => this.loadOnce(), signal);
      await this.loadDelta(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  private async loadOnce(): Promise<void> {
    const now = Math.ceil((this.market.now() ?? 0) / 1_000) || null;
    if (now === null) throw new Problem(UNKNOWN_TIME);
    const step = TIMEFRAMES[this.timeframe];
    await this.fetch(this.timeframe, now - PAGE * step, now);
    const minute = now - (now % 60);
    for (const part of partsOf(this.timeframe))
      await this.fetch(part, part === "1s" ? minute - 60 : now - (now % step) - 60, now);
    this.isWhole = true;
  }

  private async fetch(timeframe: Timeframe, from: number, to: number): Promise<number> {
    const { symbol } = this.market.view.value;
    const range = { symbol, timeframe, from: from * 1_000, to: to * 1_000, limit: 2_000 };
    let count = 0;
    for await (const page of this.market.app.rest.pages<OhlcvRecord>("/v1/ohlcv", range, this.abort.signal)) {
      for (const one of page.data) this.add(one);
      count += page.data.length;
    }
    return count;
  }

  /** The candles are there without it: what fails here is tried again in silence, and the line is missing meanwhile. */
  private async loadDelta(signal: AbortSignal): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await this.loadDeltaOnce(Math.ceil((this.market.now() ?? 0) / 1_000) * 1_000, signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof Problem)) throw error;
        if (!error.isPassing) return;
        await new Promise((again) => setTimeout(again, waitMs(tries + 3)));
        signal.throwIfAborted();
      }
    }
  }

  private async loadDeltaOnce(nowMs: number, signal: AbortSignal): Promise<void> {
    const { symbol } = this.market.view.value;
    const step = TIMEFRAMES[this.timeframe];
    // Up to the cut the database has added up; from there on trades come one by one, each counted once.
    const cut = nowMs - SETTLED_MS;
    const start = Math.max(nowMs - FLOW_MS, nowMs - PAGE * step * 1_000);
    const from = Math.min(Math.ceil(start / (step * 1_000)) * step * 1_000, cut - 1_000);
    const { rest } = this.market.app;
    const range = { symbol, from, to: cut, resolution: this.timeframe };
    const rows = await rest.answer<FlowRow>("/v1/flow", range, signal);
    const tail = { symbol, from: cut, to: nowMs, limit: 10_000 };
    const trades = await rest.answer<TradeRecord>("/v1/trades", tail, signal);
    const delta = new Delta(step, cut);
    delta.addRows(rows.data);
    delta.addTrades(trades.data);
    delta.addTrades(this.waiting.splice(0));
    this.delta = delta;
    this.isDirty = true;
  }
}

const UNKNOWN_TIME = {
  type: "about:blank",
  title: "no time yet",
  status: 0,
  detail: "The API has not said what time it is.",
  code: "no_answer",
  correlation_id: "",
};

/** Whether the key is one of the chart's. */
function moved(chart: CandleChart, key: string): boolean {
  if (key === "ArrowLeft") chart.scroll(-10);
  else if (key === "ArrowRight") chart.scroll(10);
  else if (key === "+") chart.zoom(0.8);
  else if (key === "-") chart.zoom(1.25);
  else if (key === "End") chart.toEnd();
  else return false;
  return true;
}

function picker(chosen: Timeframe, change: (timeframe: Timeframe) => void): HTMLElement {
  const group = element("div", { class: "buttons", role: "group", "aria-label": "Length of a candle" });
  for (const name of Object.keys(TIMEFRAMES) as Timeframe[]) {
    const button = element(
      "button",
      { type: "button", "aria-pressed": name === chosen ? "true" : "false" },
      name,
    );
    button.addEventListener("click", () => {
      for (const one of group.children) one.setAttribute("aria-pressed", String(one === button));
      change(name);
    });
    group.append(button);
  }
  return group;
}

function numbersOf(bar: Bar | null): string {
  if (bar === null) return "";
  const [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map((one) =>
    shown(one.toFixed(8)),
  );
  const state = { final: "", forming: " · forming", incomplete: " · an exchange was missing" }[bar.state];
  return `O ${open} H ${high} L ${low} C ${close} · volume ${rounded(bar.volume.toFixed(8), 3)}${state}`;
}
