/** What the pipeline page shows, from what the API tells. Pure. */
import type { StatusRow } from "../data/types";

/** A row of /v1/lag: one consumer group's place in one partition. */
export interface LagRow {
  group: string;
  topic: string;
  partition: number;
  committed: number | null;
  end: number;
  lag: number;
  /** Age of the first record not yet taken; null: it could not be read. */
  lag_seconds: number | null;
  /** Null: not watched for long enough to tell. */
  status: LagStatus | null;
}

/** From good to bad. */
const STATUSES = ["OK", "WARN", "STALL", "STOP"] as const;
export type LagStatus = (typeof STATUSES)[number];

/** data of /v1/pipeline. */
export interface Pipeline {
  seconds: number;
  last_record_age_ms: number | null;
  exchanges: { exchange: string; frames_per_second: number | null }[];
  hops: Hop[];
  stores: { store: string; symbol: string; age_ms: number | null }[];
  dead_letters: { count: number | null; newest: Letter[] };
}

export interface Hop {
  hop: string;
  what: string;
  exchange: string | null;
  records: number;
  median_ms: number;
  p99_ms: number;
  max_ms: number;
}

export interface Letter {
  timestamp: string;
  stage: string;
  code: string;
  detail: string;
  topic: string | null;
}

/** The page in a line. Null: no answer. */
export function summary(pipeline: Pipeline | null, lag: readonly LagRow[] | null): string {
  const total = lag?.reduce((sum, one) => sum + one.lag, 0);
  const parts = [
    total === undefined ? "lag not known" : `${total.toLocaleString("en")} records not yet taken`,
  ];
  if (pipeline === null) return ["frames, hops and dead letters not known", ...parts].join(" · ");
  const { seconds, last_record_age_ms: age, dead_letters } = pipeline;
  parts.unshift(
    seconds === 0 ? "just beginning to look" : `of the last ${seconds} s`,
    age === null ? "no record seen yet" : `last record ${milliseconds(age)} ago`,
  );
  const { count } = dead_letters;
  parts.push(
    count === null
      ? "dead letters not known yet"
      : `${count.toLocaleString("en")} dead letter${count === 1 ? "" : "s"}`,
  );
  return parts.join(" · ");
}

/** One group in one topic, all partitions together. */
export interface GroupLag {
  group: string;
  topic: string;
  partitions: number;
  /** Partitions in which it is behind. */
  behind: number;
  lag: number;
  /** Partitions in which it has never told a place. */
  untold: number;
  /** The oldest record not yet taken, seconds; null: none is known. */
  oldest_seconds: number | null;
  /** The worst of its partitions; null: of none it is known. */
  status: LagStatus | null;
}

export function byTopic(rows: readonly LagRow[]): GroupLag[] {
  const found = new Map<string, GroupLag>();
  const none = { partitions: 0, behind: 0, lag: 0, untold: 0, oldest_seconds: null, status: null };
  for (const { group, topic, lag, committed, lag_seconds, status } of rows) {
    const key = JSON.stringify([group, topic]);
    const one: GroupLag = found.get(key) ?? { group, topic, ...none };
    one.partitions += 1;
    one.behind += Number(lag > 0);
    one.untold += Number(committed === null);
    one.lag += lag;
    one.oldest_seconds = most(one.oldest_seconds, lag_seconds);
    one.status = STATUSES[most(place(one.status), place(status)) ?? -1] ?? null;
    found.set(key, one);
  }
  return [...found.values()].sort(
    (a, b) => a.group.localeCompare(b.group) || b.lag - a.lag || a.topic.localeCompare(b.topic),
  );
}

const place = (status: LagStatus | null): number | null =>
  status === null ? null : STATUSES.indexOf(status);
const most = (one: number | null, other: number | null): number | null =>
  one === null || other === null ? (one ?? other) : Math.max(one, other);

/** Group -> its lag over all topics. */
export function byGroup(rows: readonly LagRow[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const { group, lag } of rows) found.set(group, (found.get(group) ?? 0) + lag);
  return new Map([...found].sort(([a], [b]) => a.localeCompare(b)));
}

/** One producer of one slot, as the table of exchanges has it. */
export interface SlotLine {
  exchange: string;
  slot: string;
  state: string;
  breaker: string;
  reconnects: string;
  frameAge: string;
  trouble: boolean;
  reason: string;
}

export function slotLines(rows: readonly StatusRow[]): SlotLine[] {
  return rows.map(({ exchange, slot, state, reason, told, last_frame_age_ms }) => ({
    exchange,
    slot,
    state,
    // What was told long ago says nothing of now.
    breaker: state === "unknown" ? "unknown" : (told?.breaker ?? "unknown"),
    reconnects: told?.reconnects === undefined ? "—" : String(told.reconnects),
    frameAge: last_frame_age_ms === null ? "—" : milliseconds(last_frame_age_ms),
    trouble: state !== "subscribed" || told?.breaker !== "closed",
    reason: reason ?? "",
  }));
}

/** "42 ms", "1.50 s", "3.2 min", "5.0 h". */
export function milliseconds(value: number): string {
  const size = Math.abs(value);
  if (size < 10) return `${value.toFixed(1)} ms`;
  if (size < 1_000) return `${value.toFixed(0)} ms`;
  if (size < 60_000) return `${(value / 1_000).toFixed(2)} s`;
  return size < 3_600_000 ? `${(value / 60_000).toFixed(1)} min` : `${(value / 3_600_000).toFixed(1)} h`;
}
