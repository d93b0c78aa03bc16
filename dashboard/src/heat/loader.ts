/**
 * History for what is looked at and not known: one rule for the first sight, panning, zooming, the seam to live, and
 * what was missed while the page slept. The plan is pure; the asking is at the end.
 */

import type { Answer, HeatmapColumn, Hole } from "../data/types";
import { Problem } from "../data/rest";
import { columnOf } from "./columns";
import { ALL, NOT_STORED } from "./marks";
import type { Timeline } from "./timeline";

/** Columns asked for at once; the first answer is soon there, also on a slow network. */
export const FIRST_COLUMNS = 60;
export const MOST_COLUMNS = 300;
/** Live is younger than this; what is older and not known is asked for. */
export const LIVE_MS = 3_000;
/** What is not stored after so long is said not to be. */
export const SETTLED_MS = 20_000;
/** The sink may have been away and catch up: what was not stored is asked for again, so often and of so long. */
export const DOUBT_MS = 30_000;
export const DOUBTED_MS = 3_600_000;

/** Milliseconds, `until` excluded. */
export interface Range {
  readonly from: number;
  readonly until: number;
}

/** The newest part of the slots [from, until) that history is to tell of; null: all is known. */
export function wanted(
  timeline: Timeline,
  from: number,
  until: number,
  now: number,
  most: number,
): Range | null {
  const { period, pace } = timeline;
  const over = Math.floor((now - LIVE_MS) / period);
  // Of a longer slot that is not over yet history has the beginning: asked for while nothing is known, and again then.
  const current = period > pace.stored && over < until && !timeline.isKnown(over) ? over + 1 : over;
  const last = timeline.untold(from, Math.min(until, current));
  if (!last) return null;
  const step = Math.max(period, pace.stored);
  const edge = Math.ceil((last[1] * period) / step) * step;
  const start = Math.floor((last[0] * period) / step) * step;
  return { from: Math.max(start, edge - most * step), until: edge };
}

/** An answer's columns, and holes where it has none; what is young may still come. Slots [from, until) it changed. */
export function take(timeline: Timeline, answer: Answer<HeatmapColumn>, asked: Range, now: number): Range {
  const { period } = timeline;
  const from = answer.meta.from ? Date.parse(answer.meta.from) : asked.from;
  const until = Math.min(asked.until, answer.meta.to ? Date.parse(answer.meta.to) : asked.until);
  for (const row of answer.data) timeline.put(columnOf(row));
  timeline.confirm(Math.ceil(from / period), Math.floor(Math.min(until, now - LIVE_MS) / period));
  const settled = Math.min(until, now - SETTLED_MS);
  const holes = answer.meta.gaps.filter((one) => one.exchange === ALL);
  const first = Math.floor(from / period);
  for (const [start, end] of timeline.unknown(first, Math.floor(settled / period))) {
    for (let slot = start; slot < end; slot++)
      timeline.putHole(slot, slot + 1, { reason: reasonAt(holes, slot * period) });
  }
  return { from: first, until: Math.ceil(until / period) };
}

function reasonAt(holes: readonly Hole[], time: number): string {
  const found = holes.find(
    (one) => Date.parse(one.from) <= time && (one.to === null || Date.parse(one.to) > time),
  );
  return found?.reason ?? NOT_STORED;
}

export type Asking = (range: Range, period: number, signal: AbortSignal) => Promise<Answer<HeatmapColumn>>;

/** What the loader is at, for the status line. */
export type Loading =
  | { state: "idle" }
  | { state: "loading"; range: Range }
  | { state: "waiting"; text: string; retryMs: number }
  | { state: "refused"; text: string };

const RETRY_MS = 1_500;
const LONGEST_RETRY_MS = 30_000;

/** Asks for one range at a time, newest first, and again while answers are missing. */
export class Loader {
  private abort: AbortController | null = null;
  private timer: number | undefined;
  private failures = 0;
  private loaded = 0;
  private askedAt = -Infinity;
  private lastAsked: Range | null = null;
  private doubtedAt = -Infinity;

  constructor(
    private readonly ask: Asking,
    private readonly told: (loading: Loading) => void,
  ) {}

  /** Begin anew: another symbol, another period. What is under way is given up. */
  reset(): void {
    this.abort?.abort();
    this.abort = null;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.failures = this.loaded = 0;
    this.lastAsked = null;
    this.told({ state: "idle" });
  }

  /** Look whether anything is wanted, unless something is under way; `came` is told of changed slots. */
  look(
    timeline: Timeline,
    slots: readonly [number, number],
    now: number,
    came: (slots: Range) => void,
  ): void {
    if (this.abort || this.timer !== undefined) return;
    if (now - this.doubtedAt >= DOUBT_MS) {
      this.doubtedAt = now;
      timeline.doubt(timeline.slotOf(now - DOUBTED_MS), NOT_STORED);
    }
    const most = this.loaded ? MOST_COLUMNS : FIRST_COLUMNS;
    const range = wanted(timeline, slots[0], slots[1], now, most);
    if (!range) return;
    // The same again is only asked for after a while: the sink may not be there yet.
    const isSame = this.lastAsked?.from === range.from && this.lastAsked.until === range.until;
    if (isSame && now - this.askedAt < RETRY_MS) return;
    this.lastAsked = range;
    this.askedAt = now;
    void this.load(timeline, range, now, came);
  }

  private async load(
    timeline: Timeline,
    range: Range,
    now: number,
    came: (slots: Range) => void,
  ): Promise<void> {
    const abort = (this.abort = new AbortController());
    this.told({ state: "loading", range });
    try {
      const answer = await this.ask(range, timeline.period, abort.signal);
      if (abort.signal.aborted) return;
      this.failures = 0;
      this.loaded++;
      came(take(timeline, answer, range, now));
      this.told({ state: "idle" });
    } catch (error) {
      if (abort.signal.aborted) return;
      this.failed(error);
    } finally {
      if (this.abort === abort) this.abort = null;
    }
  }

  private failed(error: unknown): void {
    if (!(error instanceof Problem)) throw error;
    const backoff = Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** this.failures++);
    const retryMs = error.isPassing ? Math.max(backoff, (error.retryAfter ?? 0) * 1_000) : LONGEST_RETRY_MS;
    this.timer = setTimeout(() => (this.timer = undefined), retryMs) as unknown as number;
    this.told(
      error.isPassing
        ? { state: "waiting", text: error.message, retryMs }
        : { state: "refused", text: error.message },
    );
  }
}
