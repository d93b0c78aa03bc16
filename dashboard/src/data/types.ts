/** What the API sends: records of channels (records.ts, generated), and answers of REST. */
import type { Channel, Decimal, Records, Time } from "./records";

export type * from "./records";

/** What one subscription is for. Without `exchanges` or `timeframes`: all of them. */
export interface Wanted {
  channel: Channel;
  symbol: string | null;
  exchanges?: readonly string[];
  timeframes?: readonly string[];
}

/** What a subscription tells its listener. */
export type Told<C extends Channel> =
  /** The newest record of each key, as of now: what was known before is to be forgotten. */
  | { type: "snapshot"; data: readonly Records[C][]; complete: boolean }
  | { type: "update"; data: Records[C]; conflated: number }
  /** A hole in what is known of the symbol: what was derived from it is to be reset. */
  | { type: "gap"; data: Records["gap"] }
  /** Another source begins (live, a replay, another run of it): forget all, a snapshot follows. */
  | { type: "reset" };

export type Listener<C extends Channel> = (told: Told<C>) => void;

/** Where records come from, live or replayed alike. */
export interface Feed {
  /** Begin; the function returned ends it. */
  subscribe<C extends Channel>(wanted: Wanted & { channel: C }, listener: Listener<C>): () => void;
}

/** A hole that an answer tells of, in `meta.gaps`. `exchange` "*": all. `to` null: still open. */
export interface Hole {
  symbol: string;
  exchange: string;
  from: Time;
  to: Time | null;
  reason: string;
}

export interface Meta {
  complete: boolean;
  gaps: Hole[];
  more_gaps: boolean;
  /** Of a page: the time that it covers. */
  from?: Time;
  to?: Time;
  age_ms?: number;
  stale?: boolean;
}

/** A page of an answer. */
export interface Answer<T> {
  data: T[];
  page: { next_cursor: string | null; has_more: boolean };
  meta: Meta;
}

/** A column of /v1/heatmap. */
export interface HeatmapColumn {
  symbol: string;
  timestamp: Time;
  bucket_size: Decimal;
  data: Records["heatmap"]["data"];
  covered_low: Decimal | null;
  covered_high: Decimal | null;
  exchanges: Records["heatmap"]["exchanges"];
  missing: Records["heatmap"]["missing"];
  /** Stored ticks that it is made of. */
  ticks: number;
  complete: boolean;
}

export interface SymbolRow {
  symbol: string;
  bucket_size: Decimal;
  /** Buckets a side. */
  heatmap_depth: number;
  /** From one tick to the next, and from one that is stored to the next. */
  tick_ms: number;
  store_interval_ms: number;
  exchanges: string[];
}

export interface ExchangeRow {
  exchange: string;
  symbols: Record<string, string | null>;
  slots: string[];
}

export interface BookStanding {
  symbol: string;
  state: "live" | "blind" | "unknown";
  reason: string | null;
  timestamp: Time | null;
  age_ms: number | null;
}

/** A row of /v1/status: one slot of one exchange. */
export interface StatusRow {
  exchange: string;
  slot: string;
  state: string;
  reason: string | null;
  last_frame_age_ms: number | null;
  observed_age_ms: number | null;
  told: Partial<Records["status"]> | null;
  books: BookStanding[];
}

/** A replay session, as /v1/replay/sessions has it. */
export interface Session {
  id: string;
  topic: string;
  from: Time | null;
  to: Time | null;
  created_at: Time | null;
  state: "created" | "running" | "paused" | "stopped" | "finished" | "failed";
  position: Time | null;
  speed: number;
  records: number;
  run: number;
  n: number;
  error: string | null;
  missing: string[];
}

/** application/problem+json (RFC 9457), as the API sends it. */
export interface ProblemDetails {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  where?: string;
  allowed?: string;
  correlation_id: string;
}
