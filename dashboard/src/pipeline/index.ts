/** The pipeline page: how fast, how late, how far behind, and what could not be used. */
import type { App, End, Page } from "../app";
import { millis } from "../data/clock";
import type { StatusRow } from "../data/types";
import { element, put } from "../shell/dom";
import { problemBox } from "../shell/states";
import { Arrivals } from "./arrivals";
import { Chart } from "./chart";
import { History } from "./history";
import { Part } from "./part";
import {
  byGroup,
  byTopic,
  milliseconds,
  slotLines,
  summary,
  type Hop,
  type LagRow,
  type LagStatus,
  type Letter,
  type Pipeline,
} from "./rows";
import { number, Table, words } from "../shell/tables";
import "./pipeline.css";

/** Ten minutes. */
const MOMENTS = 300;

export const pipelinePage: Page = {
  path: "/pipeline",
  title: "Pipeline",
  mount: (root, app) => {
    const page = new PipelinePage(app);
    root.append(page.root);
    return page.end;
  },
};

class PipelinePage {
  readonly root = element("div", { class: "pipeline" });
  private readonly problem = element("div");
  private readonly summary = element("p", { class: "quiet number" }, "asking …");
  private readonly frames = new History(MOMENTS);
  private readonly latencies = new History(MOMENTS);
  private readonly lags = new History(MOMENTS);
  private readonly charts = [
    new Chart("Frames a second", this.frames, (value) => value.toFixed(0)),
    new Chart("Latency of each hop, median", this.latencies, milliseconds, true),
    new Chart("Records not yet taken, by group", this.lags, (value) => value.toFixed(0)),
  ];
  private readonly hops = new Table(
    "Hops",
    [
      words("Hop"),
      words("From, to"),
      words("Exchange"),
      number("Records"),
      number("Median"),
      number("99 %"),
      number("Most"),
    ],
    "Nothing has been seen yet.",
  );
  private readonly slots = new Table(
    "Exchanges",
    [
      words("Slot"),
      words("Connection"),
      words("Breaker"),
      number("Frames/s"),
      number("Last frame"),
      number("Reconnects"),
      words("Reason"),
    ],
    "No exchange is configured.",
  );
  private readonly groups = new Table(
    "Consumer groups",
    [
      words("Group"),
      words("Topic"),
      number("Behind by"),
      number("Oldest"),
      number("Partitions behind"),
      words("Status"),
    ],
    "No group has told a place yet: the programs have just begun, or do not run.",
  );
  private readonly stores = new Table(
    "Stores",
    [words("Store"), words("Symbol"), number("Newest heatmap")],
    "No symbol is configured.",
  );
  private readonly letters = new Table(
    "Dead letters",
    [words("Time (UTC)"), words("Stage"), words("Code"), words("Detail")],
    "There are none: everything could be used.",
  );
  private readonly ends: End[] = [];
  private readonly arrivals = new Arrivals();
  private readonly pipeline: Part<Pipeline>;
  private readonly lag: Part<LagRow[]>;
  private readonly status: Part<StatusRow[]>;
  private problems = "";

  constructor(private readonly app: App) {
    const charts = element("div", { class: "charts" }, ...this.charts.map((one) => one.root));
    const left = element("div", { class: "column" }, this.slots.root, this.hops.root, this.stores.root);
    const right = element("div", { class: "column" }, this.groups.root, this.letters.root);
    const head = element("div", { class: "page-head" }, element("h2", {}, "Pipeline"), this.summary);
    this.root.append(head, this.problem, charts, element("div", { class: "columns" }, left, right));
    this.listen();
    const { rest } = app;
    const fed = [this.hops, this.stores, this.letters];
    this.pipeline = new Part(rest, "/v1/pipeline", fed, () => this.showPipeline());
    this.lag = new Part(rest, "/v1/lag", [this.groups], () => this.showLag());
    this.status = new Part(rest, "/v1/status", [this.slots], () => this.showStatus());
    this.ends.push(
      ...this.parts.map((one) => one.begin()),
      app.theme.watch((theme) => this.charts.forEach((one) => one.show(theme))),
      ...this.charts.map((one) => one.end),
    );
    const timer = window.setInterval(() => this.age(), 1_000);
    this.ends.push(() => window.clearInterval(timer));
  }

  end: End = () => this.ends.forEach((end) => end());

  /** The last hop ends here: how old heatmaps are when they come, by the server's clock. */
  private listen(): void {
    const abort = new AbortController();
    let end: End = () => undefined;
    this.ends.push(() => {
      abort.abort();
      end();
    });
    this.app.rest.answer<{ symbol: string }>("/v1/symbols", {}, abort.signal).then(
      ({ data }) => {
        const symbol = data[0]?.symbol;
        if (symbol === undefined) return;
        end = this.app.socket.subscribe({ channel: "heatmap", symbol }, (told) => {
          const now = this.app.clock.now();
          if (told.type === "update" && now !== null)
            this.arrivals.add(now - millis(told.data.timestamp), performance.now());
        });
      },
      () => undefined, // without it the hop is not shown
    );
  }

  private get parts(): readonly Part<unknown>[] {
    return [this.pipeline, this.lag, this.status];
  }

  private showStatus(): void {
    this.summarise();
    if (this.status.value === null) return;
    const rates = new Map(this.pipeline.value?.exchanges.map((one) => [one.exchange, one.frames_per_second]));
    this.slots.show(
      slotLines(this.status.value).map((one) => [
        words(one.slot),
        words(one.state, one.trouble ? "bad" : "good"),
        words(one.breaker, one.breaker === "closed" ? "" : "bad"),
        number(rates.get(one.exchange)?.toFixed(1) ?? "—"),
        number(one.frameAge),
        number(one.reconnects),
        words(one.reason),
      ]),
    );
  }

  private showPipeline(): void {
    const told = this.pipeline.value;
    const hops = told === null ? [] : [...told.hops, ...this.arrivals.hop(performance.now())];
    this.record(this.frames, new Map(told?.exchanges.map((one) => [one.exchange, one.frames_per_second])));
    // A logarithm knows nothing below zero: clocks that differ show in the table.
    const medians = hops.map((one) => [hopName(one), one.median_ms > 0 ? one.median_ms : null] as const);
    this.record(this.latencies, new Map(medians));
    this.summarise();
    if (told === null) return;
    this.hops.show(hops.map(hopCells));
    this.stores.show(
      told.stores.map((one) => [
        words(one.store),
        words(one.symbol),
        number(one.age_ms === null ? "none of the last hour" : `${milliseconds(one.age_ms)} old`),
      ]),
    );
    const { count, newest } = told.dead_letters;
    this.letters.show(newest.map(letterCells), count === 0);
  }

  private showLag(): void {
    const told = this.lag.value;
    this.record(this.lags, told === null ? new Map() : byGroup(told));
    this.summarise();
    if (told === null) return;
    this.groups.show(
      byTopic(told).map((one) => [
        words(one.group),
        words(one.topic),
        number(one.lag.toLocaleString("en"), one.lag > 0 ? "" : "quiet"),
        number(one.oldest_seconds === null ? "—" : milliseconds(1_000 * one.oldest_seconds)),
        number(`${one.behind} of ${one.partitions}`, "quiet"),
        words(one.status ?? "not known yet", statusKind(one.status)),
      ]),
    );
  }

  /** A moment of a chart; without values: nothing is known of it. */
  private record(history: History, values: ReadonlyMap<string, number | null>): void {
    const now = this.app.clock.now();
    if (now === null) return;
    history.add(now / 1_000, values);
    this.charts.forEach((one) => one.show(this.app.theme.value));
  }

  private summarise(): void {
    const errors = this.parts.flatMap(({ error }) => (error === null ? [] : [error]));
    // The same trouble of several is told once, and not anew each time.
    const byText = new Map(errors.map((error) => [String(error), error]));
    const problems = [...byText.keys()].join("\n");
    if (problems !== this.problems)
      this.problem.replaceChildren(...[...byText.values()].map((error) => problemBox(error, null)));
    this.problems = problems;
    put(this.summary, summary(this.pipeline.value, this.lag.value));
    this.age();
  }

  /** What is shown while nobody answers is old, and says so. */
  private age(): void {
    const now = performance.now();
    this.parts.forEach((one) => one.age(now));
    const times = this.parts.flatMap(({ at }) => (at === null ? [] : [at]));
    const isOld = times.length > 0 && this.parts.every((one) => one.value === null);
    this.root.classList.toggle("stale", isOld);
    if (isOld) put(this.summary, `what is shown is ${milliseconds(now - Math.max(...times))} old`);
  }
}

function hopName(one: Hop): string {
  return one.exchange === null ? one.hop : `${one.hop} ${one.exchange}`;
}

function hopCells(one: Hop): ReturnType<typeof words>[] {
  const figures = [one.median_ms, one.p99_ms, one.max_ms].map((value) => number(milliseconds(value)));
  return [
    words(one.hop),
    words(one.what, "quiet"),
    words(one.exchange ?? "all"),
    number(one.records.toLocaleString("en"), "quiet"),
    ...figures,
  ];
}

function letterCells(one: Letter): ReturnType<typeof words>[] {
  const time = one.timestamp.slice(0, 19).replace("T", " ");
  const topic = one.topic === null ? "" : `${one.topic}: `;
  return [{ text: time, class: "number" }, words(one.stage), words(one.code), words(topic + one.detail)];
}

function statusKind(status: LagStatus | null): string {
  if (status === null) return "quiet";
  return status === "OK" ? "good" : status === "WARN" ? "warn" : "bad";
}
