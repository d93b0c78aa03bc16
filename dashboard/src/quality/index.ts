/** The quality page: what each book was worth and when it was proven, and every gap. */
import type { App, End, Page } from "../app";
import type { ExchangeRow } from "../data/types";
import type { GapRow } from "../replay/gaps";
import { text } from "../replay/sessions";
import { element, put } from "../shell/dom";
import { poll } from "../shell/poll";
import { problemBox } from "../shell/states";
import { number, Table, words } from "../shell/tables";
import { row as gapRow } from "./gaps";
import { books, FAULTS, percent, type Book, type Interval, type Minute, type Range } from "./model";
import { draw, inks, strip } from "./strip";
import "../pipeline/pipeline.css";
import "./quality.css";

const EVERY_MS = 20_000;
const HOUR_MS = 3_600_000;
const HOURS: readonly [number, string][] = [
  [1, "1 hour"],
  [6, "6 hours"],
  [24, "24 hours"],
];
const COLUMNS = 120;
const GAPS = 500;
/** Words for the kinds of faults in the table. */
const SHORT: Record<(typeof FAULTS)[number], string> = {
  rejected: "Rejected",
  duplicates: "Twice",
  anomalies: "Odd",
  gaps: "Gaps",
  crossed_ticks: "Crossed",
  checksum_failures: "Checksum",
  skewed: "Skewed",
  clamped: "Clamped",
};

export const qualityPage: Page = {
  path: "/quality",
  title: "Quality",
  mount: (root, app) => {
    const page = new QualityPage(app);
    root.append(page.root);
    return page.end;
  },
};

class QualityPage {
  readonly root = element("div", { class: "quality" });
  private readonly symbol = select("Symbol", []);
  private readonly hours = select(
    "Range",
    HOURS.map(([hours, label]) => [String(hours), label]),
  );
  private readonly summary = element("p", { class: "quiet number" }, "asking …");
  private readonly problem = element("div");
  private readonly strips = element("div", { class: "strips" });
  private readonly axis = element("div", { class: "strip-axis quiet number small" });
  private readonly table = new Table(
    "What each book was worth",
    [
      words("Book"),
      ...["Score", "Worst minute", "Live", "Proven", "Events", "In sequence", "Checksums"].map((one) =>
        number(one),
      ),
      ...FAULTS.map((name) => number(SHORT[name])),
    ],
    "No exchange lists it.",
  );
  private readonly gapBody = element("tbody", {});
  private readonly noGaps = element("p", { class: "quiet state" }, "There is none in this time.");
  private readonly ends: End[] = [];
  private endPoll: End = () => undefined;
  private exchanges: ExchangeRow[] = [];
  private shown: { found: Book[]; range: Range } | null = null;

  constructor(private readonly app: App) {
    const head = element(
      "div",
      { class: "page-head" },
      element("h2", {}, "Quality"),
      this.symbol,
      this.hours,
    );
    head.append(this.summary);
    const legend =
      "Above: score of the time, high is 1; grey line: nothing told. Below: proven without a break.";
    const figure = element(
      "section",
      { class: "panel", "aria-label": "Score and continuity over time" },
      element("h3", {}, "Score and continuity over time"),
      element("p", { class: "quiet small" }, legend),
      this.strips,
      this.axis,
    );
    this.root.append(head, this.problem, figure, this.table.root, this.gapTable());
    for (const one of [this.symbol, this.hours]) one.addEventListener("change", () => this.begin());
    const watcher = new ResizeObserver(() => this.draw());
    watcher.observe(this.strips);
    this.ends.push(
      () => watcher.disconnect(),
      app.theme.watch(() => this.draw()),
    );
    this.begin();
  }

  end: End = () => {
    this.endPoll();
    this.ends.forEach((end) => end());
  };

  private begin(): void {
    this.endPoll();
    this.endPoll = poll(
      EVERY_MS,
      (signal) => this.ask(signal),
      (error) => this.problem.replaceChildren(problemBox(error, null)),
    );
  }

  private async ask(signal: AbortSignal): Promise<void> {
    const { rest, clock } = this.app;
    if (this.exchanges.length === 0) {
      this.exchanges = (await rest.answer<ExchangeRow>("/v1/exchanges", {}, signal)).data;
      this.fillSymbols();
    }
    const symbol = this.symbol.value;
    // Before the first message of the server the API's own "now" would be none of the strip's.
    const now = clock.now();
    if (now === null) return void (await soon(signal, () => this.ask(signal)));
    const to = Math.floor(now / 1_000) * 1_000;
    const range: Range = { from: to - Number(this.hours.value) * HOUR_MS, to, columns: COLUMNS };
    const asked = { symbol, from: text(range.from), to: text(range.to) };
    const [minutes, intervals, gaps] = await Promise.all([
      this.all<Minute>("/v1/quality", asked, signal),
      this.all<Interval>("/v1/continuity", asked, signal),
      rest.answer<GapRow>("/v1/gaps", { ...asked, limit: 10_000 }, signal),
    ]);
    this.problem.replaceChildren();
    const listed = this.exchanges.filter((one) => (one.symbols[symbol] ?? null) !== null);
    const names = listed.map((one) => [one.exchange, symbol] as const);
    this.shown = { found: books(range, names, minutes, intervals), range };
    this.show(gaps.data, now);
  }

  private async all<T>(path: string, asked: Record<string, string>, signal: AbortSignal): Promise<T[]> {
    const rows: T[] = [];
    for await (const page of this.app.rest.pages<T>(path, { ...asked, limit: 10_000 }, signal))
      rows.push(...page.data);
    return rows;
  }

  private fillSymbols(): void {
    const names = [...new Set(this.exchanges.flatMap((one) => Object.keys(one.symbols)))].sort();
    this.symbol.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    const wanted = new URLSearchParams(window.location.search).get("symbol");
    if (wanted !== null && names.includes(wanted)) this.symbol.value = wanted;
  }

  private show(gaps: readonly GapRow[], now: number): void {
    const { found, range } = this.shown ?? { found: [], range: null };
    if (range === null) return;
    this.showStrips(found);
    this.showAxis(range);
    this.table.show(found.map(cells));
    const newest = [...gaps].reverse().slice(0, GAPS);
    this.gapBody.replaceChildren(...newest.map((gap) => gapRow(gap, now)));
    this.noGaps.hidden = newest.length > 0;
    const open = gaps.filter((gap) => gap.until_time === null).length;
    const more = newest.length < gaps.length ? `, the newest ${newest.length} listed` : "";
    const proven = found.filter((book) => book.share > 0).length;
    put(
      this.summary,
      `${proven} of ${found.length} books proven in this time · ${gaps.length} gaps${more}, ${open} open`,
    );
    this.draw();
  }

  private showStrips(found: readonly Book[]): void {
    this.strips.replaceChildren(
      ...found.flatMap((book) => [
        element("span", {}, book.exchange),
        strip(),
        element("span", { class: "number" }, book.score === null ? "—" : percent(book.score)),
      ]),
    );
  }

  private showAxis({ from, to }: Range): void {
    const times = [0, 0.25, 0.5, 0.75, 1].map((share) => from + share * (to - from));
    const shown = times.map((time) => element("span", {}, new Date(time).toISOString().slice(11, 16)));
    this.axis.replaceChildren(...shown);
  }

  private draw(): void {
    if (this.shown === null) return;
    const colours = inks();
    const { found, range } = this.shown;
    const all = this.strips.querySelectorAll("canvas");
    found.forEach((book, at) => {
      const canvas = all[at];
      if (canvas) draw(canvas, book, range, colours);
    });
  }

  private gapTable(): HTMLElement {
    const heads: [string, string][] = [
      ["From (UTC)", "number"],
      ["Length", "number"],
      ["Exchange", ""],
      ["Symbol", ""],
      ["Reason", ""],
      ["Detail", ""],
      ["Picture", ""],
    ];
    const head = heads.map(([name, kind]) => element("th", { scope: "col", class: kind || null }, name));
    const table = element("table", { class: "rows" }, element("caption", {}, "Gaps, the newest first"));
    table.append(element("thead", {}, element("tr", {}, ...head)), this.gapBody);
    const label = { class: "scroll", tabindex: "0", role: "region", "aria-label": "Gaps" };
    return element("section", { class: "panel" }, element("div", label, table), this.noGaps);
  }
}

function cells(book: Book): ReturnType<typeof words>[] {
  const share = (value: number | null): string => (value === null ? "nothing told" : percent(value));
  const count = (value: number): string => value.toLocaleString("en");
  return [
    words(`${book.exchange} ${book.symbol}`),
    number(share(book.score)),
    number(share(book.worst)),
    number(share(book.coverage)),
    number(percent(book.share)),
    ...[book.events, book.sequenced, book.checked].map((value) => number(count(value))),
    ...FAULTS.map((name) => number(count(book.faults[name]), book.faults[name] > 0 ? "bad" : "quiet")),
  ];
}

function select(label: string, values: readonly (readonly [string, string])[]): HTMLSelectElement {
  const options = values.map(([value, name]) => element("option", { value }, name));
  return element("select", { "aria-label": label, title: label }, ...options);
}

/** The clock is known a moment after the page was opened. */
async function soon(signal: AbortSignal, ask: () => Promise<void>): Promise<void> {
  await new Promise((again) => setTimeout(again, 200));
  signal.throwIfAborted();
  await ask();
}
