/** The gaps of a time: where they are on the slider, and which comes next. */
import { millis } from "../data/clock";
import type { Rest } from "../data/rest";
import type { Time } from "../data/types";
import { text } from "./sessions";
import { timeText, type Window } from "./span";

/** The API's largest page. */
const PAGE = 10_000;
/** Of more gaps the newest are kept. */
const MOST = 20_000;
/** Pages that are asked for at most, those that overflow too. */
const QUESTIONS = 16;
/** A gap is stored a moment after it began. */
const OVERLAP_MS = 300_000;
/** What was stored later than that is found by asking for all again. */
const WHOLE_MS = 600_000;
/** Pieces that the slider has room for. */
const PIECES = 200;

export interface GapRow {
  symbol: string;
  exchange: string;
  from_time: Time;
  until_time: Time | null;
  reason: string;
  detail: string;
}

export interface Mark {
  from: number;
  to: number;
  name: string;
}

/** Gaps, the earliest first; all that began from ``since`` on, null: all of the window. */
export interface Found {
  rows: GapRow[];
  since: number | null;
}

interface Held {
  symbol: string;
  window: Window;
  found: Found;
  /** The window's end when all were asked for. */
  wholeAt: number;
}

/** The gaps of one symbol in a window that goes on: what is new is asked for, rarely all of it. */
export class Gaps {
  private held: Held | null = null;

  constructor(private readonly rest: Pick<Rest, "answer">) {}

  /** Those that touch ``window``. Throws Problem, and what ``signal`` aborts with. */
  async look(symbol: string, window: Window, signal: AbortSignal): Promise<Found> {
    const had = this.held?.symbol === symbol ? this.held : null;
    const more = had && (await this.goOn(had, window, signal));
    const found = more ?? (await newest(this.rest, symbol, window, signal));
    this.held = { symbol, window, found, wholeAt: had && more ? had.wholeAt : window.to };
    return found;
  }

  /** Null: all have to be asked for. */
  private async goOn(had: Held, window: Window, signal: AbortSignal): Promise<Found | null> {
    const isNext = window.from >= had.window.from && window.to >= had.window.to;
    const from = had.window.to - OVERLAP_MS;
    if (!isNext || from <= window.from || window.to - had.wholeAt > WHOLE_MS) return null;
    const { rows, since } = await newest(this.rest, had.symbol, { from, to: window.to }, signal);
    if (since !== null) return null;
    const met = new Set(rows.map(keyOf));
    const rest = had.found.rows.filter((row) => !met.has(keyOf(row)));
    // An open one is in every answer: without it, it has ended before what was asked for.
    if (rest.some((row) => row.until_time === null)) return null;
    const before = rest.filter((row) => endOf(row, window) >= window.from);
    const isCut = had.found.since !== null && had.found.since > window.from;
    return bounded({ rows: inOrder([...before, ...rows]), since: isCut ? had.found.since : null });
  }
}

function bounded({ rows, since }: Found): Found {
  const first = rows.length > MOST ? rows.at(-MOST) : undefined;
  return first === undefined ? { rows, since } : { rows: rows.slice(-MOST), since: millis(first.from_time) };
}

/** Of too many gaps the newest: a page begins with the oldest, so a piece of time that overflows one is halved. */
async function newest(
  rest: Pick<Rest, "answer">,
  symbol: string,
  window: Window,
  signal: AbortSignal,
): Promise<Found> {
  const found = new Map<string, GapRow>();
  const whole = { from: Math.floor(window.from), to: Math.ceil(window.to) };
  const pieces = [whole];
  let since = whole.to;
  for (let asked = 0; asked < QUESTIONS && found.size < MOST; asked++) {
    const piece = pieces.pop();
    if (piece === undefined) break;
    const { from, to } = piece;
    const params = { symbol, from: text(from), to: text(to), limit: PAGE };
    const { data, page } = await rest.answer<GapRow>("/v1/gaps", params, signal);
    if (page.has_more) {
      const middle = Math.floor((from + to) / 2);
      pieces.push({ from, to: middle }, { from: middle, to });
      continue;
    }
    for (const row of data) found.set(keyOf(row), row);
    since = from;
  }
  return { rows: inOrder([...found.values()]), since: since > whole.from ? since : null };
}

function keyOf({ symbol, exchange, from_time, reason }: GapRow): string {
  return JSON.stringify([symbol, exchange, from_time, reason]);
}

/** Times are texts of one form and length. */
function inOrder(rows: GapRow[]): GapRow[] {
  return rows.sort((a, b) => (a.from_time < b.from_time ? -1 : Number(a.from_time > b.from_time)));
}

function endOf(row: GapRow, window: Window): number {
  return row.until_time === null ? window.to : millis(row.until_time);
}

/** The earliest first; ``to`` of an open one is the window's end. */
export function marksOf(rows: readonly GapRow[], window: Window): Mark[] {
  return rows.map((row) => ({
    from: millis(row.from_time),
    to: endOf(row, window),
    name: `${row.exchange} ${row.reason}`,
  }));
}

/** Marks as the slider has room for them: what lies too close to be told apart there is one. */
export function pieces(marks: readonly Mark[], { from, to }: Window): Mark[] {
  const room = (to - from) / (PIECES - 1);
  const found: Mark[] = [];
  for (const mark of marks) {
    const last = found.at(-1);
    if (last && mark.from - last.to < room) last.to = Math.max(last.to, mark.to);
    else found.push({ ...mark });
  }
  return found;
}

/** The first gap that begins after ``time``, or the last one before it; null: none. */
export function beside(marks: readonly Mark[], time: number, direction: 1 | -1): Mark | null {
  const found =
    direction > 0 ? marks.find((one) => one.from > time) : marks.findLast((one) => one.to <= time);
  return found ?? null;
}

/** What is said of the gap that one goes to from ``time``, and of what is not known. ``since``: of Found. */
export function besideText(mark: Mark | null, time: number, direction: 1 | -1, since: number | null): string {
  const isKnown = since === null || (direction > 0 ? time >= since : mark !== null);
  const more = isKnown ? "" : `; those before ${timeText(since)} are too many`;
  if (mark !== null) return `gap ${mark.name}, ${timeText(mark.from)}${more}`;
  const which = direction > 0 ? "later" : "earlier";
  return isKnown ? `no ${which} gap on the slider` : `no ${which} gap known${more}`;
}
