/** How long to wait before the next try. */
const FIRST_MS = 500;
const MOST_MS = 15_000;

/** Milliseconds before try number ``tries`` (0, 1 …): doubled each time up to 15 s, ±20 % so that not all come at once. */
export function waitMs(tries: number, random: () => number = Math.random): number {
  return Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(tries, 10)) * (0.8 + 0.4 * random());
}
