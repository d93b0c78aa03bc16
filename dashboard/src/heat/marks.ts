/** What is not known, from when to when, of whom and why: from columns and from the records of gaps. Pure. */

import type { GapRecord } from "../data/types";
import { NOT_LISTED, isCrossed } from "./columns";
import type { Timeline } from "./timeline";

export type Kind = "gap" | "blind" | "crossed" | "none";
export const ALL = "*";
export const NOT_STORED = "not_stored";

export interface Span {
  /** Milliseconds; `until` null: it goes on. */
  readonly from: number;
  readonly until: number | null;
  /** `*`: all of them. */
  readonly exchange: string;
  readonly reason: string;
  readonly detail: string;
  /** The columns that show it, where any do: it is drawn over these, from the first to the end of the last. */
  readonly columns?: { readonly from: number; readonly until: number };
}

const KINDS: Readonly<Record<string, Kind>> = {
  sequence_gap: "gap",
  checksum: "gap",
  time_jump: "gap",
  retention: "gap",
  no_tick: "gap",
  not_stored: "gap",
  not_kept: "gap",
  not_received: "gap",
  not_stored_apart: "gap",
  crossed: "crossed",
  [NOT_LISTED]: "none",
};
const WORDS: Readonly<Record<string, string>> = {
  not_stored: "not stored",
  not_kept: "no longer kept",
  not_received: "not received here",
  not_stored_apart: "only the sum of all exchanges is stored",
  no_tick: "no tick",
};

/** Gap: something was lost (hatched); blind: nobody there (grey); crossed (amber). An unknown reason is blindness. */
export function kindOf(reason: string): Kind {
  return Object.hasOwn(KINDS, reason) ? KINDS[reason]! : "blind";
}

/** `sequence_gap` → `sequence gap`. */
export function words(reason: string): string {
  return Object.hasOwn(WORDS, reason) ? WORDS[reason]! : reason.replaceAll("_", " ");
}

/** `name: sequence gap`. */
export function title(span: Pick<Span, "exchange" | "reason">): string {
  return span.exchange === ALL ? words(span.reason) : `${span.exchange}: ${words(span.reason)}`;
}

/** What the columns of these slots lack, in order of time. */
export function seen(timeline: Timeline, fromSlot: number, untilSlot: number): Span[] {
  const found: Span[] = [];
  const open = new Map<string, { from: number; reason: string }>();
  const end = Math.min(untilSlot, timeline.end);
  let slot = Math.max(fromSlot, timeline.first);
  const close = (exchange: string, until: number): void => {
    const one = open.get(exchange);
    if (one) found.push({ from: one.from, until, exchange, reason: one.reason, detail: "" });
    open.delete(exchange);
  };
  let former = NOTHING;
  for (; slot < end; slot++) {
    const now = reasonsAt(timeline, slot);
    if (now === former) continue;
    former = now;
    const time = timeline.timeOf(slot);
    for (const [exchange, one] of [...open]) if (now.get(exchange) !== one.reason) close(exchange, time);
    for (const [exchange, reason] of now) if (!open.has(exchange)) open.set(exchange, { from: time, reason });
  }
  for (const exchange of [...open.keys()]) close(exchange, timeline.timeOf(slot));
  return found.sort((one, other) => one.from - other.from);
}

const NOTHING: ReadonlyMap<string, string> = new Map();
/** By the list of who is missing, which equal columns share; the second one of columns that are crossed. */
const known = [
  new WeakMap<object, ReadonlyMap<string, string>>(),
  new WeakMap<object, ReadonlyMap<string, string>>(),
];

function reasonsAt(timeline: Timeline, slot: number): ReadonlyMap<string, string> {
  const column = timeline.columnAt(slot);
  if (!column) {
    const hole = timeline.holeAt(slot);
    return hole ? new Map([[ALL, hole.reason]]) : NOTHING;
  }
  const crossed = isCrossed(column);
  if (!crossed && !column.missing.length) return NOTHING;
  const made = known[crossed ? 1 : 0]!;
  let found = made.get(column.missing);
  if (!found) {
    const lacks = column.missing.filter((one) => kindOf(one.reason) !== "none");
    const all: [string, string][] = crossed ? [[ALL, "crossed"]] : [];
    found = new Map([...lacks.map((one): [string, string] => [one.exchange, one.reason]), ...all]);
    made.set(column.missing, found);
  }
  return found;
}

/** Most records of gaps that are held; the oldest make room. */
export const MOST_GAPS = 5_000;

/** The records of gaps by key: one that is told again, with its end, takes the place of the open one. */
export class Gaps {
  private readonly spans = new Map<string, Span>();

  add(record: Pick<GapRecord, "exchange" | "from_time" | "until_time" | "reason" | "detail">): void {
    const { exchange, reason, detail } = record;
    if (kindOf(reason) === "none") return;
    const from = Date.parse(record.from_time);
    const until = record.until_time === null ? null : Date.parse(record.until_time);
    const key = `${from} ${reason} ${exchange}`;
    // History that is read late may still have as open what live has closed.
    if (until === null && this.spans.get(key)?.until != null) return;
    this.spans.delete(key);
    this.spans.set(key, { from, until, exchange, reason, detail });
    if (this.spans.size > MOST_GAPS) this.spans.delete(this.spans.keys().next().value!);
  }

  clear(): void {
    this.spans.clear();
  }

  /** Those that reach into [from, until), in order of time. */
  within(from: number, until: number): Span[] {
    return [...this.spans.values()]
      .filter((span) => span.from < until && (span.until ?? Infinity) >= from)
      .sort((one, other) => one.from - other.from);
  }
}

/**
 * Records of gaps, which tell times exactly, with the columns that show them; and of what was seen that which none of
 * them tells. A column is a tick's, from that tick to the next: it shows a gap from the first tick after it began.
 */
export function merged(told: readonly Span[], seenSpans: readonly Span[], tick: number): Span[] {
  const of = new Map<string, Span[]>();
  for (const span of seenSpans) of.set(span.exchange, [...(of.get(span.exchange) ?? []), span]);
  const explained = new Set<Span>();
  const shown = told.map((one) => {
    const found = (of.get(one.exchange) ?? []).filter((span) => isOf(span, one, tick));
    if (!found.length) return one;
    for (const span of found) explained.add(span);
    const until = Math.max(...found.map((span) => span.until ?? Infinity));
    return { ...one, columns: { from: Math.min(...found.map((span) => span.from)), until } };
  });
  const rest = seenSpans.filter((span) => !explained.has(span));
  return [...shown, ...rest].sort((one, other) => one.from - other.from);
}

/** Whether what was seen is this gap: its last column begins before the gap's end, and is held until the next tick. */
function isOf(span: Span, gap: Span, tick: number): boolean {
  const isBegun = gap.from <= span.from + tick;
  return isBegun && (gap.until === null || (span.until !== null && span.until <= gap.until + 2 * tick));
}
