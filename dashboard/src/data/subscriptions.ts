/**
 * The subscriptions of one connection: what the server says goes in, what is to be sent comes out. Knows no socket and
 * no time.
 *
 * Every message of a subscription has a number, one more than the last; one that is left out proves a loss, and the
 * subscription begins anew. Whoever subscribes to what is there already is given the newest record of each key at once.
 */
import type { Channel, ErrorMessage, ServerMessage } from "./records";
import type { Listener, Told, Wanted } from "./types";
import {
  covers,
  forget,
  keyOf,
  narrowed,
  newEntry,
  plain,
  restart,
  type AnyRecord,
  type Asked,
  type Entry,
  type Hearer,
} from "./entries";

/** What a client sends; docs/websocket.md. */
export type Operation =
  | { op: "subscribe"; id: number; channels: Asked[]; cursors?: Record<string, string> }
  | { op: "unsubscribe"; id: number; channels: Asked[] };

/** Channels that are given up first where the network is too slow for all. */
const HEAVY: ReadonlySet<Channel> = new Set<Channel>(["trade", "book", "consolidated"]);

export class Subscriptions {
  private readonly entries = new Map<string, Entry>();
  private readonly ending: Entry[] = [];
  private requests = 0;
  private isReady = false;
  /** Leave heavy channels out. */
  reduced = false;
  /** Messages that proved to be missing. */
  lost = 0;

  /** ``refused``: the server won't; it is asked again by `retry`. ``changed``: `operations` has something to send. */
  constructor(
    private readonly refused: (error: ErrorMessage) => void,
    private readonly changed: () => void,
  ) {}

  add<C extends Channel>(wanted: Wanted & { channel: C }, listener: Listener<C>): () => void {
    const name = wanted.symbol === null ? wanted.channel : `${wanted.channel}:${wanted.symbol}`;
    const entry = this.entries.get(name) ?? newEntry(name, wanted);
    this.entries.set(name, entry);
    const only = wanted.exchanges ?? wanted.timeframes ?? null;
    const hearer: Hearer = {
      only: only && new Set(only),
      listener: listener as Listener<Channel>,
      isTold: false,
    };
    entry.hearers.add(hearer);
    // Not at once: who subscribes has to have come to an end first.
    queueMicrotask(() => this.catchUp(entry, hearer));
    this.changed();
    return () => {
      entry.hearers.delete(hearer);
      this.changed();
    };
  }

  /** The connection is there: everything is asked for, with cursors where ``resume``. */
  opened(resume: boolean): void {
    this.isReady = true;
    this.ending.length = 0;
    for (const entry of this.entries.values()) {
      entry.asked = undefined;
      entry.isRefused = entry.isDenied = false;
      if (!resume) forget(entry);
    }
    this.changed();
  }

  /** The connection has ended: nothing is to be sent. */
  closed(): void {
    this.isReady = false;
  }

  /** Ask again for what was refused. */
  retry(): void {
    for (const entry of this.entries.values()) entry.isRefused = false;
    this.changed();
  }

  /** Whether the server won't give something that is wanted. */
  get isDenied(): boolean {
    return [...this.entries.values()].some((entry) => entry.isDenied && entry.hearers.size > 0);
  }

  /** What is to be sent now. */
  operations(): Operation[] {
    if (!this.isReady) return [];
    const begin: Entry[] = [];
    const end = this.ending.splice(0);
    for (const entry of this.entries.values()) {
      const wanted = this.wantedOf(entry);
      if (wanted === undefined) {
        if (entry.asked !== undefined) end.push(entry);
        entry.asked = undefined;
        if (entry.hearers.size === 0) this.entries.delete(entry.name);
      } else if (entry.asked === undefined) {
        if (!entry.isRefused) begin.push(entry);
      } else if (!covers(entry.asked, wanted)) {
        end.push(entry);
        forget(entry);
        begin.push(entry);
      }
    }
    const made: Operation[] = [];
    if (end.length > 0)
      made.push({ op: "unsubscribe", id: ++this.requests, channels: [...new Set(end)].map(plain) });
    if (begin.length > 0) made.push(this.begin(begin));
    return made;
  }

  /** What the server says of subscriptions. */
  take(message: ServerMessage): void {
    switch (message.type) {
      case "subscribed":
        for (const { subscription, resumed } of message.subscriptions) {
          const entry = this.entries.get(subscription);
          if (entry === undefined || entry.request !== message.id) continue;
          entry.isAnswered = true;
          entry.isDenied = false;
          if (!resumed) forget(entry);
        }
        break;
      case "error":
        this.takeError(message);
        break;
      case "snapshot":
      case "update":
      case "gap": {
        const entry = this.entries.get(message.subscription);
        if (entry === undefined || !entry.isAnswered || entry.asked === undefined) return;
        if (entry.seq !== null && message.seq !== entry.seq + 1) {
          this.lost += 1;
          this.again(entry);
          return;
        }
        entry.seq = message.seq;
        entry.cursor = message.cursor;
        if (message.type === "snapshot") this.snapshot(entry, message.data as AnyRecord[], message.complete);
        else this.record(entry, message.type, message.data as AnyRecord, message.conflated);
      }
    }
  }

  private begin(entries: Entry[]): Operation {
    const id = ++this.requests;
    const cursors: Record<string, string> = {};
    for (const entry of entries) {
      entry.request = id;
      entry.isAnswered = false;
      entry.asked = this.wantedOf(entry);
      if (entry.cursor !== null) cursors[entry.name] = entry.cursor;
    }
    const asked: Operation = { op: "subscribe", id, channels: entries.map((entry) => narrowed(entry)) };
    return Object.keys(cursors).length === 0 ? asked : { ...asked, cursors };
  }

  /** Undefined: nothing. */
  private wantedOf(entry: Entry): ReadonlySet<string> | null | undefined {
    if (entry.hearers.size === 0 || (this.reduced && HEAVY.has(entry.channel))) return undefined;
    const all = new Set<string>();
    for (const { only } of entry.hearers) {
      if (only === null) return null;
      for (const one of only) all.add(one);
    }
    return all;
  }

  private takeError(message: ErrorMessage): void {
    const named = message.subscription === null ? undefined : this.entries.get(message.subscription);
    // An answer to what has been replaced since says nothing of what is there now.
    const entry = message.id === null || message.id === named?.request ? named : undefined;
    if (message.code === "ws.missed" || message.code === "cursor.expired") {
      this.lost += 1;
      if (message.code === "ws.missed" && entry) this.again(entry);
      else if (entry) restart(entry);
      this.changed();
      return;
    }
    for (const one of entry ? [entry] : this.begunBy(message)) {
      restart(one);
      one.isRefused = one.isDenied = true;
    }
    this.refused(message);
  }

  /** What an operation would have begun that was refused as a whole: too many of them came at once, for example. */
  private begunBy({ id, subscription }: ErrorMessage): Entry[] {
    if (id === null || subscription !== null) return [];
    return [...this.entries.values()].filter((entry) => entry.request === id && !entry.isAnswered);
  }

  /** A loss: end it and begin anew. */
  private again(entry: Entry): void {
    this.ending.push(entry);
    restart(entry);
    this.changed();
  }

  private snapshot(entry: Entry, data: AnyRecord[], complete: boolean): void {
    entry.held = new Map(data.map((record) => [keyOf(entry.channel, record), record]));
    entry.isOn = true;
    for (const hearer of entry.hearers) this.tellSnapshot(entry, hearer, complete);
  }

  private record(entry: Entry, type: "update" | "gap", data: AnyRecord, conflated: number): void {
    const isOwn = type === "update" || entry.channel === "gap";
    if (isOwn) entry.held.set(keyOf(entry.channel, data), data);
    const told = (isOwn
      ? { type: "update", data, conflated }
      : { type: "gap", data }) as unknown as Told<Channel>;
    for (const hearer of entry.hearers)
      if (hearer.isTold && isFor(hearer, entry.channel, data, !isOwn)) tell(hearer, told);
  }

  private catchUp(entry: Entry, hearer: Hearer): void {
    if (entry.isOn && !hearer.isTold && entry.hearers.has(hearer) && covers(entry.asked, hearer.only))
      this.tellSnapshot(entry, hearer, true);
  }

  private tellSnapshot(entry: Entry, hearer: Hearer, complete: boolean): void {
    hearer.isTold = true;
    const data = [...entry.held.values()].filter((record) => isFor(hearer, entry.channel, record, false));
    tell(hearer, { type: "snapshot", data, complete } as unknown as Told<Channel>);
  }
}

/** A gap among other records concerns those who look at its exchange, and everyone of sums over exchanges. */
function isFor(hearer: Hearer, channel: Channel, record: AnyRecord, isGap: boolean): boolean {
  if (hearer.only === null || (isGap && (channel === "ohlcv" || record["exchange"] === "*"))) return true;
  return hearer.only.has(String(record[channel === "ohlcv" ? "timeframe" : "exchange"]));
}

/** One panel's mistake is not the others'. */
function tell(hearer: Hearer, told: Told<Channel>): void {
  try {
    hearer.listener(told);
  } catch (error) {
    reportError(error);
  }
}
