/** What the quality page shows of /v1/quality and /v1/continuity: strips by book, sums of their parts. Pure. */
import { millis } from "../data/clock";
import type { QualityRecord, Time } from "../data/types";

export type Minute = Pick<
  QualityRecord,
  | "symbol"
  | "exchange"
  | "timestamp"
  | "score"
  | "coverage"
  | "events"
  | "rejected"
  | "duplicates"
  | "anomalies"
  | "gaps"
  | "crossed_ticks"
  | "checksum_failures"
  | "skewed"
  | "clamped"
>;

export interface Interval {
  symbol: string;
  exchange: string;
  start_time: Time;
  end_time: Time;
  rule: string;
  sequenced: number;
  checked: number;
  snapshots: number;
  reason: string | null;
}

/** Kinds of faults, in the words of the record. */
export const FAULTS = [
  "rejected",
  "duplicates",
  "anomalies",
  "gaps",
  "crossed_ticks",
  "checksum_failures",
  "skewed",
  "clamped",
] as const;

/** A cell of a strip: the worst minute of its time; null: nothing was told of it. */
export interface Cell {
  score: number;
  coverage: number;
  faults: number;
}

/** A piece of time in which a book was proven, milliseconds. */
export interface Proven {
  from: number;
  to: number;
}

export interface Book {
  symbol: string;
  exchange: string;
  cells: (Cell | null)[];
  proven: Proven[];
  minutes: number;
  /** Means over the minutes that were told; null: none was. */
  score: number | null;
  coverage: number | null;
  worst: number | null;
  /** Frames' events that could be used. */
  events: number;
  /** Updates whose number continued the last one, and checksums that held. */
  sequenced: number;
  checked: number;
  faults: Record<(typeof FAULTS)[number], number>;
  /** Share of the range that is proven, 0 to 1; null: not known. */
  share: number | null;
}

export interface Range {
  from: number;
  to: number;
  /** Cells of a strip. */
  columns: number;
}

/**
 * All books of the range, those that nothing was told of too. ``names``: [exchange, symbol]. ``intervals`` null: what is
 * proven is not known.
 */
export function books(
  range: Range,
  names: readonly (readonly [string, string])[],
  minutes: readonly Minute[],
  intervals: readonly Interval[] | null,
): Book[] {
  const found = new Map<string, Book>();
  for (const [exchange, symbol] of names) found.set(key(exchange, symbol), empty(exchange, symbol, range));
  for (const minute of minutes) {
    const book = found.get(key(minute.exchange, minute.symbol));
    if (book) take(book, minute, range);
  }
  for (const interval of intervals ?? []) {
    const book = found.get(key(interval.exchange, interval.symbol));
    if (book) prove(book, interval, range);
  }
  for (const book of found.values()) finish(book, range, intervals !== null);
  return [...found.values()];
}

function key(exchange: string, symbol: string): string {
  return JSON.stringify([exchange, symbol]);
}

function empty(exchange: string, symbol: string, { columns }: Range): Book {
  return {
    symbol,
    exchange,
    cells: new Array<Cell | null>(columns).fill(null),
    proven: [],
    minutes: 0,
    score: null,
    coverage: null,
    worst: null,
    events: 0,
    sequenced: 0,
    checked: 0,
    faults: Object.fromEntries(FAULTS.map((name) => [name, 0])) as Book["faults"],
    share: null,
  };
}

function take(book: Book, minute: Minute, { from, to, columns }: Range): void {
  const score = Number(minute.score);
  const coverage = Number(minute.coverage);
  const faults = FAULTS.reduce((sum, name) => sum + minute[name], 0);
  // A minute is named by its end: it lies before that.
  const at = Math.floor(((millis(minute.timestamp) - 1 - from) / (to - from)) * columns);
  const cell = book.cells[at];
  if (at >= 0 && at < columns)
    book.cells[at] = {
      score: Math.min(score, cell?.score ?? 1),
      coverage: Math.min(coverage, cell?.coverage ?? 1),
      faults: faults + (cell?.faults ?? 0),
    };
  book.minutes += 1;
  book.score = (book.score ?? 0) + score;
  book.coverage = (book.coverage ?? 0) + coverage;
  book.worst = Math.min(score, book.worst ?? 1);
  book.events += minute.events;
  for (const name of FAULTS) book.faults[name] += minute[name];
}

function prove(book: Book, interval: Interval, range: Range): void {
  const from = Math.max(range.from, millis(interval.start_time));
  const to = Math.min(range.to, millis(interval.end_time));
  if (to <= from) return;
  book.proven.push({ from, to });
  book.sequenced += interval.sequenced;
  book.checked += interval.checked;
}

function finish(book: Book, { from, to }: Range, isProvenKnown: boolean): void {
  if (book.score !== null) book.score /= book.minutes;
  if (book.coverage !== null) book.coverage /= book.minutes;
  book.proven.sort((a, b) => a.from - b.from);
  if (isProvenKnown) book.share = book.proven.reduce((sum, one) => sum + one.to - one.from, 0) / (to - from);
}

/** A row of the table; ``hasMinutes``: false where the API did not tell them. What was not told is no zero. */
export function cells(book: Book, hasMinutes: boolean): string[] {
  const share = (value: number | null): string => {
    if (value !== null) return percent(value);
    return hasMinutes ? "nothing told" : "not known";
  };
  const count = (value: number, isKnown: boolean): string => (isKnown ? value.toLocaleString("en") : "—");
  const isTold = book.minutes > 0;
  return [
    share(book.score),
    share(book.worst),
    share(book.coverage),
    book.share === null ? "not known" : percent(book.share),
    count(book.events, isTold),
    ...[book.sequenced, book.checked].map((value) => count(value, book.share !== null)),
    ...FAULTS.map((name) => count(book.faults[name], isTold)),
  ];
}

/** "3 of 10 books proven in this time". Null: not known. */
export function provenText(found: readonly Book[] | null): string {
  if (found === null || found.some((book) => book.share === null)) return "not known what is proven";
  const proven = found.filter((book) => (book.share ?? 0) > 0).length;
  return `${proven} of ${found.length} books proven in this time`;
}

/** "100 %" only where it is: 0.99996 is "99.99 %". */
export function percent(share: number): string {
  if (share >= 1) return "100 %";
  return `${(Math.floor(share * 10_000) / 100).toFixed(2)} %`;
}
