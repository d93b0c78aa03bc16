/** How late heatmaps come to this page: the last hop. Pure. */
import type { Hop } from "./rows";

const MOST = 20;
const OLD_MS = 5_000;

export class Arrivals {
  private readonly held: { delay: number; at: number }[] = [];

  /** ``at`` in milliseconds, by whatever clock `hop` is asked by. */
  add(delay: number, at: number): void {
    this.held.push({ delay, at });
    if (this.held.length > MOST) this.held.shift();
  }

  /** Of those of the last seconds; none: nothing has come, and what was says nothing of now. */
  hop(now: number): Hop[] {
    const values = this.held.flatMap(({ delay, at }) => (now - at > OLD_MS ? [] : [delay]));
    if (values.length === 0) return [];
    values.sort((a, b) => a - b);
    const value = (share: number): number => values[Math.floor(share * (values.length - 1))] ?? 0;
    const figures = { median_ms: value(0.5), p99_ms: value(0.99), max_ms: value(1) };
    return [{ hop: "page", what: "tick to this page", exchange: null, records: values.length, ...figures }];
  }
}
