/** Candles of one timeframe, with the one that is being formed out of shorter ones, and holes as holes. Pure. */
import { millis } from "../data/clock";
import type { OhlcvRecord } from "../data/records";

export const TIMEFRAMES = {
  "1s": 1,
  "1m": 60,
  "5m": 300,
  "15m": 900,
  "1h": 3_600,
  "4h": 14_400,
  "1d": 86_400,
};
export type Timeframe = keyof typeof TIMEFRAMES;

export type Candle = Pick<
  OhlcvRecord,
  | "timestamp"
  | "timeframe"
  | "open"
  | "high"
  | "low"
  | "close"
  | "volume"
  | "revision"
  | "complete"
  | "received_at"
>;

/** What is drawn. ``time``: seconds since 1970. */
export interface Bar {
  time: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
  /** `final`; `forming`: made of what has come so far; `incomplete`: an exchange was missing at some of its ticks. */
  state: "final" | "forming" | "incomplete";
}

/** A time without a candle. */
export interface Hole {
  time: number;
  state: "hole";
}

/** Bars of holes, counted from the newest; each hole has one at least. */
const MOST_HOLES = 500;
/** Beyond these the oldest go, a thousand at once. */
export const MOST_CANDLES = 6_000;
const GOING = 1_000;

export function isHole(one: Bar | Hole): one is Hole {
  return one.state === "hole";
}

/** The shorter timeframes of which a forming candle is made: whole minutes, then seconds. */
export function partsOf(timeframe: Timeframe): Timeframe[] {
  return timeframe === "1s" ? [] : timeframe === "1m" ? ["1s"] : ["1m", "1s"];
}

/**
 * What is asked for at a moment: (timeframe, from, to), seconds; the last ``most`` candles, and the parts of the one that
 * forms. No candle ends later: it would hold what has not happened at the moment of a replay.
 */
export function storedOf(timeframe: Timeframe, nowMs: number, most: number): [Timeframe, number, number][] {
  const now = Math.floor(nowMs / 1_000);
  const start = (of: Timeframe): number => now - (now % TIMEFRAMES[of]);
  const end = start(timeframe);
  const parts = partsOf(timeframe).map((part): [Timeframe, number, number] => [
    part,
    (part === "1s" ? start("1m") : end) - 60,
    start(part),
  ]);
  return [[timeframe, end - most * TIMEFRAMES[timeframe], end], ...parts];
}

export class Candles {
  private readonly final = new Map<number, Candle>();
  private readonly parts: Record<string, Map<number, Candle>> = {};
  private readonly step: number;
  private newest = -Infinity;

  constructor(readonly timeframe: Timeframe) {
    this.step = TIMEFRAMES[timeframe];
    for (const part of partsOf(timeframe)) this.parts[part] = new Map();
  }

  /** Whether it changes anything; an older revision does not. */
  add(candle: Candle): boolean {
    const map = candle.timeframe === this.timeframe ? this.final : this.parts[candle.timeframe];
    const time = secondsOf(candle);
    const there = map?.get(time);
    if (map === undefined || (there && there.revision > candle.revision) || isOpen(candle)) return false;
    map.set(time, candle);
    if (map === this.final) {
      this.forget(time + this.step);
      // Older ones come because somebody looks at them.
      if (time > this.newest) this.shorten();
      this.newest = Math.max(this.newest, time);
    }
    return true;
  }

  /** How many are final. */
  get size(): number {
    return this.final.size;
  }

  /** All bars in order, holes between them, the forming ones last. */
  bars(): (Bar | Hole)[] {
    const times = [...this.final.keys()].sort((one, other) => one - other);
    const bars = times.map((time) => barOf(time, this.final.get(time)!));
    return withHoles([...bars, ...this.forming(times.at(-1))], this.step);
  }

  /** The start of the oldest; null: none. */
  get first(): number | null {
    let least: number | null = null;
    for (const time of this.final.keys()) least = least === null || time < least ? time : least;
    return least;
  }

  /** What has come since the newest final candle, as bars of this timeframe. */
  private forming(last: number | undefined): Bar[] {
    const since = last === undefined ? -Infinity : last + this.step;
    const minutes = this.parts["1m"] ?? new Map<number, Candle>();
    const seconds = [...(this.parts["1s"] ?? [])].filter(([time]) => !minutes.has(time - (time % 60)));
    const bars = new Map<number, Bar>();
    for (const [time, candle] of [...minutes, ...seconds].sort(([one], [other]) => one - other)) {
      const start = time - (time % this.step);
      if (start < since) continue;
      const bar = barOf(start, candle);
      const there = bars.get(start);
      bars.set(start, there ? joined(there, bar) : { ...bar, state: "forming" });
    }
    return [...bars.values()];
  }

  private shorten(): void {
    if (this.final.size <= MOST_CANDLES) return;
    const times = [...this.final.keys()].sort((one, other) => one - other);
    for (const time of times.slice(0, times.length - (MOST_CANDLES - GOING))) this.final.delete(time);
  }

  private forget(before: number): void {
    for (const map of Object.values(this.parts))
      for (const time of map.keys()) if (time < before) map.delete(time);
  }
}

/** No candle is no trade, or unknown: either way the time passes, and is seen to. */
export function withHoles(bars: readonly Bar[], step: number): (Bar | Hole)[] {
  const made: (Bar | Hole)[] = [];
  let left = MOST_HOLES;
  for (const bar of [...bars].reverse()) {
    const later = made.at(-1);
    const lacking = later ? (later.time - bar.time) / step - 1 : 0;
    const drawn = Math.min(lacking, Math.max(1, left));
    for (let steps = drawn; steps >= 1; steps--) made.push({ time: bar.time + steps * step, state: "hole" });
    left -= drawn;
    made.push(bar);
  }
  return made.reverse();
}

/** A replay's scene has the candles that are open there: they stand still, and what follows comes in parts. */
function isOpen(candle: Candle): boolean {
  return millis(candle.received_at) < (secondsOf(candle) + TIMEFRAMES[candle.timeframe as Timeframe]) * 1_000;
}

export function secondsOf(candle: { timestamp: string }): number {
  return Math.floor(millis(candle.timestamp) / 1_000);
}

function barOf(time: number, candle: Candle): Bar {
  const [open, high, low, close] = [candle.open, candle.high, candle.low, candle.close].map(Number);
  const state = candle.complete ? "final" : "incomplete";
  return { time, open: open!, high: high!, low: low!, close: close!, volume: Number(candle.volume), state };
}

function joined(one: Bar, next: Bar): Bar {
  return {
    ...one,
    high: Math.max(one.high, next.high),
    low: Math.min(one.low, next.low),
    close: next.close,
    volume: one.volume + next.volume,
  };
}
