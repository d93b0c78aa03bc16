/** The quality page: what each book was worth and when it was proven, and every gap. */
import type { App, End, Page } from "../app";
import type { ExchangeRow } from "../data/types";
import { Gaps, type Found } from "../replay/gaps";
import { text } from "../replay/sessions";
import { element, put } from "../shell/dom";
import { poll } from "../shell/poll";
import { problemBox } from "../shell/states";
import { failure, number, Table, TableState, words } from "../shell/tables";
import { countText, row as gapRow } from "./gaps";
import {
  books,
  cells,
  FAULTS,
  percent,
  provenText,
  type Book,
  type Interval,
  type Minute,
  type Range,
} from "./model";
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
  private readonly gapState = new TableState();
  private readonly figure: HTMLElement;
  private readonly gaps: Gaps;
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
    this.gaps = new Gaps(app.rest);
    this.figure = element(
      "section",
      { class: "panel", "aria-label": "Score and continuity over time" },
      element("h3", {}, "Score and continuity over time"),
      element("p", { class: "quiet small" }, legend),
      this.strips,
      this.axis,
    );
    this.root.append(head, this.problem, this.figure, this.table.root, this.gapTable());
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
    this.clear();
    this.endPoll = poll(
      EVERY_MS,
      (signal) => this.ask(signal),
      (error) => this.problem.replaceChildren(problemBox(error, null)),
    );
  }

  /** What another symbol or time was worth is not what this one is. */
  private clear(): void {
    this.shown = null;
    this.problem.replaceChildren();
    this.strips.replaceChildren();
    this.axis.replaceChildren();
    this.figure.classList.remove("stale");
    this.table.show([], false);
    this.gapBody.replaceChildren();
    this.gapState.say("");
    put(this.summary, "asking …");
  }

  private async ask(signal: AbortSignal): Promise<void> {
    const now = await this.ready(signal).catch((error: unknown) => {
      if (!signal.aborted) this.failed(error, error);
      throw error;
    });
    const symbol = this.symbol.value;
    const to = Math.floor(now / 1_000) * 1_000;
    const range: Range = { from: to - Number(this.hours.value) * HOUR_MS, to, columns: COLUMNS };
    const asked = { symbol, from: text(range.from), to: text(range.to) };
    const answers = await Promise.allSettled([
      this.all<Minute>("/v1/quality", asked, signal),
      this.all<Interval>("/v1/continuity", asked, signal),
      this.gaps.look(symbol, range, signal),
    ]);
    signal.throwIfAborted();
    const [minutes, intervals, gaps] = [valueOf(answers[0]), valueOf(answers[1]), valueOf(answers[2])];
    const isBooks = minutes !== null || intervals !== null;
    if (isBooks) {
      const listed = this.exchanges.filter((one) => (one.symbols[symbol] ?? null) !== null);
      const names = listed.map((one) => [one.exchange, symbol] as const);
      this.showBooks({ found: books(range, names, minutes ?? [], intervals), range }, minutes !== null);
    }
    if (gaps !== null) this.showGaps(gaps, now);
    put(this.summary, summary(isBooks ? this.shown : null, gaps));
    const errors = answers.map((one) => (one.status === "rejected" ? (one.reason as unknown) : null));
    this.failed(isBooks ? null : errors[0], errors[2]);
    const first = errors.find((one) => one !== null);
    if (first !== undefined) throw first;
    this.problem.replaceChildren();
  }

  /** The server's time, once symbols are known. */
  private async ready(signal: AbortSignal): Promise<number> {
    const { rest, clock } = this.app;
    if (this.exchanges.length === 0) {
      this.exchanges = (await rest.answer<ExchangeRow>("/v1/exchanges", {}, signal)).data;
      this.fillSymbols();
    }
    // Before the first message of the server the API's own "now" would be none of the strip's.
    for (;;) {
      const now = clock.now();
      if (now !== null) return now;
      await new Promise((again) => setTimeout(again, 200));
      signal.throwIfAborted();
    }
  }

  /** What there was no answer to is old, or not known. Null: there was one. */
  private failed(books: unknown, gaps: unknown): void {
    this.figure.classList.toggle("stale", books !== null);
    if (books !== null) this.table.failed(books);
    if (gaps !== null) this.gapState.say(failure(this.gapBody.rows.length, gaps));
    if (books !== null && gaps !== null) put(this.summary, summary(null, null));
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

  private showBooks(shown: { found: Book[]; range: Range }, hasMinutes: boolean): void {
    this.shown = shown;
    this.showStrips(shown.found);
    this.showAxis(shown.range);
    this.table.show(shown.found.map((book) => row(book, hasMinutes)));
    this.draw();
  }

  private showGaps(found: Found, now: number): void {
    const newest = [...found.rows].reverse().slice(0, GAPS);
    this.gapBody.replaceChildren(...newest.map((gap) => gapRow(gap, now)));
    const isNone = newest.length === 0 && found.since === null;
    this.gapState.say(isNone ? "There is none in this time." : "");
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
    return element("section", { class: "panel" }, element("div", label, table), this.gapState.root);
  }
}

function row(book: Book, hasMinutes: boolean): ReturnType<typeof words>[] {
  const texts = cells(book, hasMinutes);
  const faults = texts.length - FAULTS.length;
  const kind = (at: number): string => {
    const name = FAULTS[at - faults];
    if (name === undefined) return "";
    return book.faults[name] > 0 ? "bad" : "quiet";
  };
  return [words(`${book.exchange} ${book.symbol}`), ...texts.map((text, at) => number(text, kind(at)))];
}

function summary(shown: { found: Book[] } | null, gaps: Found | null): string {
  return `${provenText(shown?.found ?? null)} · ${countText(gaps, GAPS)}`;
}

function valueOf<T>(answer: PromiseSettledResult<T>): T | null {
  return answer.status === "fulfilled" ? answer.value : null;
}

function select(label: string, values: readonly (readonly [string, string])[]): HTMLSelectElement {
  const options = values.map(([value, name]) => element("option", { value }, name));
  return element("select", { "aria-label": label, title: label }, ...options);
}
