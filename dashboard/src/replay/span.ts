/** The piece of time that the slider covers, and words for times and speeds. Pure. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

export const SPANS: readonly [number, string][] = [
  [5 * MINUTE, "5 minutes"],
  [15 * MINUTE, "15 minutes"],
  [HOUR, "1 hour"],
  [6 * HOUR, "6 hours"],
  [24 * HOUR, "24 hours"],
  [7 * 24 * HOUR, "7 days"],
];
/** As the API has them; 0: as fast as can be. */
export const SPEEDS: readonly number[] = [0.1, 0.5, 1, 2, 5, 10, 50, 100, 1000, 0];

export interface Window {
  from: number;
  to: number;
}

/** The last ``span`` before now, made to hold ``position``: a longer span, or, longer ago, one around it. */
export function windowOf(span: number, now: number, position: number | null): Window {
  if (position === null || position >= now - span) return { from: now - span, to: now };
  const longer = SPANS.find(([length]) => length >= span && position >= now - length);
  if (longer) return { from: now - longer[0], to: now };
  const to = Math.min(now, position + span / 2);
  return { from: to - span, to };
}

/** The next faster or slower speed; what is none of the list goes to the nearest. */
export function nextSpeed(speed: number, direction: 1 | -1): number {
  const order = (one: number): number => (one === 0 ? Number.POSITIVE_INFINITY : one);
  const at = SPEEDS.findIndex((one) => order(one) >= order(speed));
  const next = Math.min(SPEEDS.length - 1, Math.max(0, at + direction));
  return SPEEDS[next] ?? speed;
}

/** "× 10", "at full speed". */
export function speedText(speed: number): string {
  return speed === 0 ? "at full speed" : `× ${speed}`;
}

/** "2026-01-02 03:04:05.500 UTC". */
export function timeText(time: number): string {
  return `${new Date(time).toISOString().slice(0, 23).replace("T", " ")} UTC`;
}

/** The time that was typed, by UTC; null: none. */
export function typedTime(text: string): number | null {
  const found = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?) ?(?:UTC|Z)?$/.exec(text.trim());
  const time = found ? Date.parse(`${found[1]}T${found[2]}Z`) : Number.NaN;
  return Number.isNaN(time) ? null : time;
}

/** "3 s", "4 min 10 s", "2 h 5 min", "3 d 4 h". */
export function lengthText(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1_000);
  if (seconds < 1) return `${Math.round(milliseconds)} ms`;
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}
