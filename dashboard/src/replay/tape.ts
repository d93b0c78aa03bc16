/** A short piece of a replay that is held whole: what was known at any of its moments. Pure. */
import { millis } from "../data/clock";
import { keyOf, type AnyRecord } from "../data/entries";
import type { Channel } from "../data/types";

/** A line of /v1/replay. */
export type Line =
  | { type: "record"; channel: Channel; prelude: boolean; n: number; data: AnyRecord }
  | { type: "end"; records: number; missing: string[]; error: string | null };

export interface Told {
  channel: Channel;
  data: AnyRecord;
}

/** Channels whose records tell the time that has been reached: one each at every tick. */
const TICKS: ReadonlySet<Channel> = new Set<Channel>(["book", "consolidated", "heatmap"]);

export class Tape {
  /** Moments of which there is a picture, rising. */
  readonly ticks: readonly number[];
  /** By tick: how many records belong to the time until it. */
  private readonly cuts: readonly number[];

  /** ``records`` in the order of the replay, the scene before the range among them; [from, to) in milliseconds. */
  constructor(
    readonly from: number,
    readonly to: number,
    readonly records: readonly Told[],
    /** What of the range nobody has any more, in words. */
    readonly missing: readonly string[] = [],
  ) {
    const cuts = new Map<number, number>();
    records.forEach(({ channel, data }, at) => {
      if (TICKS.has(channel)) cuts.set(millis(String(data["timestamp"])), at + 1);
    });
    // Later ticks may be told before an earlier one of another exchange: a cut never lies before that of an earlier tick.
    this.ticks = [...cuts.keys()].sort((a, b) => a - b);
    let most = 0;
    this.cuts = this.ticks.map((tick) => (most = Math.max(most, cuts.get(tick) ?? 0)));
  }

  /** Of the lines of an answer. Throws where it was cut off or has failed. */
  static of(from: number, to: number, lines: readonly Line[]): Tape {
    const end = lines.at(-1);
    if (end?.type !== "end") throw new Error("the replay's answer was cut off");
    if (end.error !== null) throw new Error(end.error);
    const records = lines.flatMap((line) => (line.type === "record" ? [line] : []));
    return new Tape(from, to, records, end.missing);
  }

  /** Whether a moment lies in it. */
  holds(time: number): boolean {
    return time >= this.from && time <= this.to;
  }

  /** The first tick after ``time``, or the last one before it; null where the piece has none. */
  beside(time: number, step: 1 | -1): number | null {
    const found = step > 0 ? this.ticks.find((one) => one > time) : this.ticks.findLast((one) => one < time);
    return found ?? null;
  }

  /** What came after ``after`` (null: from the beginning on) until ``time``, in its order. */
  between(after: number | null, time: number): readonly Told[] {
    return this.records.slice(after === null ? 0 : this.cut(after), this.cut(time));
  }

  /** The newest record of each key of a channel at ``time``. */
  newest(channel: Channel, time: number): AnyRecord[] {
    const found = new Map<string, AnyRecord>();
    for (const one of this.between(null, time))
      if (one.channel === channel) found.set(keyOf(channel, one.data), one.data);
    return [...found.values()];
  }

  private cut(time: number): number {
    const at = this.ticks.findLastIndex((one) => one <= time);
    return this.cuts[at] ?? 0;
  }
}
