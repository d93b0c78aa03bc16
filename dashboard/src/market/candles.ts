/** The panel of candles: timeframe, history joined by what comes, the volume delta, the numbers of a bar. */
import type { End, Market } from "../app";
import { Problem } from "../data/rest";
import { rounded, shown } from "../data/decimal";
import type { OhlcvRecord } from "../data/types";
import { element, put } from "../shell/dom";
import { untilLoaded } from "../shell/states";
import { CandleChart } from "./candlechart";
import {
  Candles,
  isHole,
  MOST_CANDLES,
  partsOf,
  secondsOf,
  storedOf,
  TIMEFRAMES,
  type Bar,
  type Timeframe,
} from "./candledata";
import { DeltaFeed } from "./delta";
import { PAGE, Past } from "./past";

const NAME = "coby.timeframe";
const DRAW_MS = 500;
/** How far back the oldest candle is looked for, seconds: what /v1/ohlcv takes. */
const BACK = { "1h": 1_800 * 86_400, "1m": 69 * 86_400 };

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
  private past: Past;
  private readonly delta: DeltaFeed;
  private readonly ends: End[] = [];
  private abort = new AbortController();
  private isDirty = false;
  private isWhole = true;
  private isFull = false;
  private isLoading = false;

  constructor(
    private readonly market: Market,
    private readonly timeframe: Timeframe,
    private readonly chart: CandleChart,
    private readonly state: HTMLElement,
  ) {
    this.candles = new Candles(timeframe);
    this.past = this.newPast();
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
    );
    this.delta = new DeltaFeed(market, timeframe, PAGE, () => (this.isDirty = true));
  }

  end(): void {
    this.abort.abort();
    this.delta.end();
    for (const end of this.ends) end();
    this.state.replaceChildren();
  }

  /** Whether anything was new. */
  draw(): boolean {
    if (!this.isDirty) return false;
    this.isDirty = false;
    this.chart.show(this.candles.bars(), !this.isWhole);
    this.chart.showDelta(this.delta.points());
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
    if (first === null || this.isLoading || this.isFull || this.isWhole) return;
    // Room for a thousand that come: else those fetched now would go again at once.
    if (this.candles.size + 2 * PAGE > MOST_CANDLES) {
      this.isFull = true;
      this.market.app.say("older candles only of a longer timeframe");
      return;
    }
    const { signal } = this.abort;
    this.isLoading = true;
    try {
      await this.past.further(first);
    } catch (error) {
      if (!(error instanceof Problem) && !signal.aborted) throw error;
    } finally {
      this.isLoading = false;
    }
  }

  private newPast(): Past {
    const fetch = (from: number, to: number): Promise<number> => this.fetch(this.timeframe, from, to);
    return new Past(TIMEFRAMES[this.timeframe], fetch, () => this.oldest());
  }

  /** When the first candle of all begins, by long ones and, where there is none yet, by short ones; seconds. */
  private async oldest(): Promise<number> {
    const { symbol } = this.market.view.value;
    const to = this.candles.first ?? 0;
    let oldest = Infinity;
    for (const [timeframe, back] of Object.entries(BACK)) {
      const range = { symbol, timeframe, from: (to - back) * 1_000, to: to * 1_000, limit: 1 };
      const { rest } = this.market.app;
      const [found] = (await rest.answer<OhlcvRecord>("/v1/ohlcv", range, this.abort.signal)).data;
      if (found) oldest = Math.min(oldest, secondsOf(found));
    }
    return oldest;
  }

  private again(): void {
    this.abort.abort();
    this.abort = new AbortController();
    this.candles = new Candles(this.timeframe);
    this.past = this.newPast();
    this.isFull = false;
    this.isDirty = this.isWhole = true;
  }

  private add(record: OhlcvRecord): void {
    if (this.candles.add(record)) this.isDirty = true;
  }

  private async load(): Promise<void> {
    const { signal } = this.abort;
    try {
      await untilLoaded(this.state, "Loading candles", () => this.loadOnce(), signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  private async loadOnce(): Promise<void> {
    const nowMs = this.market.now();
    if (nowMs === null) throw new Problem(UNKNOWN_TIME);
    for (const [timeframe, from, to] of storedOf(this.timeframe, nowMs, PAGE))
      await this.fetch(timeframe, from, to);
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
