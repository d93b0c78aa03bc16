/** One subscription of a connection: who listens, what was asked for, where it stands, its newest records. */
import type { Channel } from "./records";
import type { Listener, Wanted } from "./types";

export interface Asked {
  name: Channel;
  symbols?: string[];
  exchanges?: string[];
  timeframes?: string[];
}

export type AnyRecord = Record<string, unknown>;

export interface Hearer {
  /** Values of the field by which a channel is narrowed that it wants; null: all. */
  only: ReadonlySet<string> | null;
  listener: Listener<Channel>;
  /** Has had its snapshot. */
  isTold: boolean;
}

export interface Entry {
  name: string;
  channel: Channel;
  symbol: string | null;
  hearers: Set<Hearer>;
  /** What was asked of the server last; undefined: nothing. */
  asked: ReadonlySet<string> | null | undefined;
  /** The last request for it; nothing is taken before its answer. */
  request: number | null;
  isAnswered: boolean;
  /** The server won't; not asked again before `retry`. */
  isRefused: boolean;
  /** The server's last answer was that it won't. */
  isDenied: boolean;
  /** The snapshot has come. */
  isOn: boolean;
  seq: number | null;
  cursor: string | null;
  /** The newest record of each key. */
  held: Map<string, AnyRecord>;
}

export function newEntry(name: string, wanted: Wanted): Entry {
  return {
    name,
    channel: wanted.channel,
    symbol: wanted.symbol,
    hearers: new Set(),
    asked: undefined,
    request: null,
    isAnswered: false,
    isRefused: false,
    isDenied: false,
    isOn: false,
    seq: null,
    cursor: null,
    held: new Map(),
  };
}

/** What it had is no continuation of what comes. */
export function forget(entry: Entry): void {
  entry.seq = null;
  entry.cursor = null;
  entry.isOn = false;
}

export function restart(entry: Entry): void {
  forget(entry);
  entry.asked = undefined;
  entry.isAnswered = false;
}

export function covers(
  asked: ReadonlySet<string> | null | undefined,
  wanted: ReadonlySet<string> | null,
): boolean {
  if (asked === null) return true;
  return asked !== undefined && wanted !== null && [...wanted].every((one) => asked.has(one));
}

export function plain(entry: Entry): Asked {
  return entry.symbol === null ? { name: entry.channel } : { name: entry.channel, symbols: [entry.symbol] };
}

export function narrowed(entry: Entry): Asked {
  if (!entry.asked) return plain(entry);
  const field = entry.channel === "ohlcv" ? "timeframes" : "exchanges";
  return { ...plain(entry), [field]: [...entry.asked].sort() };
}

export function keyOf(channel: Channel, record: AnyRecord): string {
  const field = { status: "slot", ohlcv: "timeframe", heatmap: "symbol", consolidated: "symbol" }[
    channel as string
  ];
  return String(record[field ?? "exchange"]);
}
