/** How each exchange stands, from what the newest tick and the newest status of each slot say. Pure. */
import { millis } from "../data/clock";
import type { HeatmapRecord, StatusRecord } from "../data/records";
import { reason } from "../data/reasons";

export type Kind = "live" | "blind" | "crossed" | "down" | "unknown" | "unlisted";

export interface Standing {
  exchange: string;
  kind: Kind;
  /** One or two words. */
  word: string;
  /** A sentence for what is not live, with what the producer says. */
  why: string;
  /** How old the last frame was when the producer last told, or is, where that is longer ago; null: unknown. */
  ageMs: number | null;
}

/** Ticks come each 100 ms: after this nobody can say how an exchange stands. */
const OLD_MS = 5_000;
/** The producer tells each second. */
const TOLD_MS = 2_500;
const DOWN = new Set(["disconnected", "producer_lost", "never_connected", "no_tick"]);

/** ``now``: the time of what is shown, milliseconds; null: not known yet. */
export function standingOf(
  exchange: string,
  tick: Pick<HeatmapRecord, "timestamp" | "exchanges" | "missing"> | null,
  statuses: readonly StatusRecord[],
  now: number | null,
): Standing {
  const age = now === null ? null : ageOf(statuses, now);
  const about = { exchange, ageMs: age };
  if (tick === null) return { ...about, kind: "unknown", word: "unknown", why: "no tick has come yet" };
  const tickAge = now === null ? 0 : now - millis(tick.timestamp);
  if (tickAge > OLD_MS) {
    const seconds = Math.round(tickAge / 1_000);
    return { ...about, kind: "unknown", word: "unknown", why: `the newest tick is ${seconds} s old` };
  }
  if (tick.exchanges.some((one) => one.exchange === exchange))
    return { ...about, kind: "live", word: "live", why: "" };
  const code = tick.missing.find((one) => one.exchange === exchange)?.reason ?? "no_tick";
  const said = statuses.map((one) => one.error).find((error) => error !== null);
  const why = said ? `${reason(code)}: ${said}` : reason(code);
  if (code === "not_listed") return { ...about, kind: "unlisted", word: "not listed", why: "", ageMs: null };
  if (code === "crossed") return { ...about, kind: "crossed", word: "crossed", why };
  return { ...about, kind: DOWN.has(code) ? "down" : "blind", word: DOWN.has(code) ? "down" : "blind", why };
}

/** "118 ms", "4.2 s", "3 min". */
export function ageText(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}

function ageOf(statuses: readonly StatusRecord[], now: number): number | null {
  let least: number | null = null;
  for (const one of statuses) {
    if (one.last_message_at === null) continue;
    const observed = millis(one.observed_at);
    const at = now - observed > TOLD_MS ? now : observed;
    const age = at - millis(one.last_message_at);
    least = least === null ? age : Math.min(least, age);
  }
  return least;
}
