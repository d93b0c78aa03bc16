/** The pipeline page: how fast, how late, how far behind, and what could not be used. */
import type { App, End, Page } from "../app";
import { millis } from "../data/clock";
import type { StatusRow } from "../data/types";
import { element, put } from "../shell/dom";
import { problemBox } from "../shell/states";
import { Chart } from "./chart";
import { History } from "./history";
import { poll } from "../shell/poll";
import {
  byGroup,
  byTopic,
  milliseconds,
  slotLines,
  type Hop,
  type LagRow,
  type LagStatus,
  type Letter,
  type Pipeline,
} from "./rows";
import { number, Table, words } from "../shell/tables";
import "./pipeline.css";

const EVERY_MS = 2_000;
/** Ten minutes. */
const MOMENTS = 300;
const PAGE_HOP = "page";

interface Asked {
  pipeline: Pipeline;
  lag: LagRow[];
  status: StatusRow[];
}

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
  private readonly heard: number[] = [];
  private at: number | null = null;

  constructor(private readonly app: App) {
    const charts = element("div", { class: "charts" }, ...this.charts.map((one) => one.root));
    const left = element("div", { class: "column" }, this.slots.root, this.hops.root, this.stores.root);
    const right = element("div", { class: "column" }, this.groups.root, this.letters.root);
    const head = element("div", { class: "page-head" }, element("h2", {}, "Pipeline"), this.summary);
    this.root.append(head, this.problem, charts, element("div", { class: "columns" }, left, right));
    this.listen();
    this.ends.push(
      poll(
        EVERY_MS,
        (signal) => this.ask(signal),
        (error) => this.failed(error),
      ),
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
          if (told.type === "update" && now !== null) this.heard.push(now - millis(told.data.timestamp));
          if (this.heard.length > 20) this.heard.shift();
        });
      },
      () => undefined, // without it the hop is not shown
    );
  }

  private async ask(signal: AbortSignal): Promise<void> {
    const { rest } = this.app;
    const [pipeline, lag, status] = await Promise.all([
      rest.get<{ data: Pipeline }>("/v1/pipeline", {}, signal),
      rest.get<{ data: LagRow[] }>("/v1/lag", {}, signal),
      rest.answer<StatusRow>("/v1/status", {}, signal),
    ]);
    this.problem.replaceChildren();
    this.at = performance.now();
    this.show({ pipeline: pipeline.data, lag: lag.data, status: status.data });
  }

  private failed(error: unknown): void {
    this.problem.replaceChildren(problemBox(error, null));
    this.record(null);
    this.age();
  }

  private show(asked: Asked): void {
    const { pipeline, lag, status } = asked;
    const rates = new Map(pipeline.exchanges.map((one) => [one.exchange, one.frames_per_second]));
    this.slots.show(
      slotLines(status).map((one) => [
        words(one.slot),
        words(one.state, one.trouble ? "bad" : "good"),
        words(one.breaker, one.breaker === "closed" ? "" : "bad"),
        number(rates.get(one.exchange)?.toFixed(1) ?? "—"),
        number(one.frameAge),
        number(one.reconnects),
        words(one.reason),
      ]),
    );
    this.hops.show([...pipeline.hops, ...this.pageHop()].map(hopCells));
    this.groups.show(
      byTopic(lag).map((one) => [
        words(one.group),
        words(one.topic),
        number(one.lag.toLocaleString("en"), one.lag > 0 ? "" : "quiet"),
        number(one.oldest_seconds === null ? "—" : milliseconds(1_000 * one.oldest_seconds)),
        number(`${one.behind} of ${one.partitions}`, "quiet"),
        words(one.status ?? "not known yet", statusKind(one.status)),
      ]),
    );
    this.stores.show(
      pipeline.stores.map((one) => [
        words(one.store),
        words(one.symbol),
        number(one.age_ms === null ? "none of the last hour" : `${milliseconds(one.age_ms)} old`),
      ]),
    );
    this.letters.show(pipeline.dead_letters.newest.map(letterCells));
    this.record(asked);
    this.summarise(pipeline, lag);
  }

  private pageHop(): Hop[] {
    const values = [...this.heard].sort((a, b) => a - b);
    const value = (share: number): number => values[Math.floor(share * (values.length - 1))] ?? 0;
    if (values.length === 0) return [];
    const figures = { median_ms: value(0.5), p99_ms: value(0.99), max_ms: value(1) };
    return [{ hop: PAGE_HOP, what: "tick to this page", exchange: null, records: values.length, ...figures }];
  }

  /** A moment of the charts; null: nothing is known of it. */
  private record(asked: Asked | null): void {
    const seconds = (this.app.clock.now() ?? 0) / 1_000;
    if (seconds === 0) return;
    const hops = asked === null ? [] : [...asked.pipeline.hops, ...this.pageHop()];
    this.frames.add(
      seconds,
      new Map(asked?.pipeline.exchanges.map((one) => [one.exchange, one.frames_per_second])),
    );
    this.latencies.add(
      seconds,
      // A logarithm knows nothing below zero: clocks that differ show in the table.
      new Map(hops.map((one) => [hopName(one), one.median_ms > 0 ? one.median_ms : null])),
    );
    this.lags.add(seconds, asked === null ? new Map() : byGroup(asked.lag));
    this.charts.forEach((one) => one.show(this.app.theme.value));
  }

  private summarise(
    { seconds, last_record_age_ms: age, dead_letters }: Pipeline,
    lag: readonly LagRow[],
  ): void {
    const total = lag.reduce((sum, one) => sum + one.lag, 0);
    const letters = dead_letters.count ?? 0;
    const parts = [
      seconds === 0 ? "just beginning to look" : `of the last ${seconds} s`,
      age === null ? "no record seen yet" : `last record ${milliseconds(age)} ago`,
      `${total.toLocaleString("en")} records not yet taken`,
      `${letters.toLocaleString("en")} dead letter${letters === 1 ? "" : "s"}`,
    ];
    put(this.summary, parts.join(" · "));
  }

  /** What is shown while nobody answers is old, and says so. */
  private age(): void {
    const old = this.at !== null && performance.now() - this.at > 3 * EVERY_MS;
    this.root.classList.toggle("stale", old);
    if (old && this.at !== null)
      put(this.summary, `what is shown is ${milliseconds(performance.now() - this.at)} old`);
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
