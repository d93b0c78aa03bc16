/** A feed that stands still at a moment of a tape (once that is there), and goes on by a step when told to. */
import type { AnyRecord } from "../data/entries";
import type { Channel, Feed, Listener, Told, Wanted } from "../data/types";
import type { Tape } from "./tape";

interface Held {
  wanted: Wanted & { channel: Channel };
  listener: Listener<Channel>;
}

export class Scene implements Feed {
  private readonly held = new Set<Held>();

  constructor(
    private tape: Tape | null,
    private time: number,
  ) {}

  isOf(tape: Tape): boolean {
    return this.tape === tape;
  }

  /** The tape has come: everyone is told what was known at the moment. */
  fill(tape: Tape): void {
    this.tape = tape;
    for (const one of this.held) this.tellAll(one, tape);
  }

  subscribe<C extends Channel>(wanted: Wanted & { channel: C }, listener: Listener<C>): () => void {
    const one: Held = { wanted, listener: listener as Listener<Channel> };
    this.held.add(one);
    queueMicrotask(() => {
      if (this.tape !== null && this.held.has(one)) this.tellAll(one, this.tape);
    });
    return () => this.held.delete(one);
  }

  /** A later moment of the same tape: what came until then follows. */
  advance(time: number): void {
    const news = this.tape?.between(this.time, time) ?? [];
    this.time = time;
    for (const one of this.held)
      for (const { channel, data } of news)
        if (channel === one.wanted.channel && isWanted(one.wanted, data)) tell(one, data);
  }

  private tellAll(one: Held, tape: Tape): void {
    const { channel } = one.wanted;
    const isEvent = channel === "trade";
    const newest = tape.newest(channel, this.time).filter((data) => isWanted(one.wanted, data));
    const told = { type: "snapshot", data: isEvent ? [] : newest, complete: true };
    one.listener(told as unknown as Told<Channel>);
    // Of events not only the last counts: those of the piece come one after another.
    if (!isEvent) return;
    for (const { channel: of, data } of tape.between(null, this.time))
      if (of === channel && isWanted(one.wanted, data)) tell(one, data);
  }
}

function tell(one: Held, data: AnyRecord): void {
  one.listener({ type: "update", data, conflated: 0 } as unknown as Told<Channel>);
}

function isWanted(wanted: Wanted & { channel: Channel }, data: AnyRecord): boolean {
  if (wanted.symbol !== null && data["symbol"] !== wanted.symbol) return false;
  const only = wanted.channel === "ohlcv" ? wanted.timeframes : wanted.exchanges;
  if (!only || data["exchange"] === "*") return true;
  return only.includes(String(data[wanted.channel === "ohlcv" ? "timeframe" : "exchange"]));
}
