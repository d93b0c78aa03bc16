/** The server's time. The browser's own clock may be an hour off and is never asked what time it is. */

/** A connection's first message is on its way for no longer: an estimate that is further ahead is given up. */
const JUMP_MS = 5_000;
/** How fast an estimate that was the best gives way to worse ones: quartz drifts by less than this. */
const DRIFT = 0.0002;

export class Clock {
  /** Server time minus monotonic time; the largest seen, since a message that was long on its way says less. */
  private offset: number | null = null;
  private at = 0;

  constructor(private readonly monotonic: () => number = () => performance.now()) {}

  /**
   * A message of the server that was written at `serverMs` has just come. ``isFirst`` of its connection: it waited behind
   * no others, as later ones do on a slow network.
   */
  sample(serverMs: number, isFirst = false): void {
    const now = this.monotonic();
    const offset = serverMs - now;
    const before = this.offset === null ? offset : this.offset - (now - this.at) * DRIFT;
    this.offset = isFirst && before - offset > JUMP_MS ? offset : Math.max(offset, before);
    this.at = now;
  }

  /** Whether the server has said what time it is. */
  get isKnown(): boolean {
    return this.offset !== null;
  }

  /** Milliseconds since 1970 by the server, late by the way of its fastest message; null before the first. */
  now(): number | null {
    return this.offset === null ? null : this.monotonic() + this.offset;
  }
}

/** Milliseconds of an RFC 3339 text in UTC; its microseconds become the fraction. */
export function millis(time: string): number {
  const whole = Date.parse(`${time.slice(0, 19)}Z`);
  const dot = time.indexOf(".");
  return dot < 0 ? whole : whole + Number(time.slice(dot, -1)) * 1_000;
}
