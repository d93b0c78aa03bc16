/** Tapes around moments, fetched once: the one that is there, or on its way, serves all that lies in it. */
import type { Sessions } from "./sessions";
import type { Tape } from "./tape";

/** To each side of the moment that it is fetched for. */
export const TAPE_MS = 10_000;

interface Reel {
  symbol: string;
  from: number;
  to: number;
  abort: AbortController;
  tape: Promise<Tape>;
}

export class Reels {
  private held: Reel | null = null;

  constructor(private readonly sessions: Sessions) {}

  /** The tape that holds ``time``. Throws Problem, Error where it has failed, and what ``signal`` aborts with. */
  async at(symbol: string, time: number, now: number, signal: AbortSignal): Promise<Tape> {
    const { held } = this;
    const fits = held?.symbol === symbol && time >= held.from && time <= held.to;
    if (!fits) held?.abort.abort();
    const reel = fits ? held : this.fetched(symbol, time, now);
    this.held = reel;
    try {
      const tape = await reel.tape;
      signal.throwIfAborted();
      return tape;
    } catch (error) {
      // What has failed is asked for anew the next time.
      if (this.held === reel && !signal.aborted) this.held = null;
      throw error;
    }
  }

  close(): void {
    this.held?.abort.abort();
  }

  private fetched(symbol: string, time: number, now: number): Reel {
    const [from, to] = [time - TAPE_MS, Math.max(time + 1, Math.min(now, time + TAPE_MS))];
    const abort = new AbortController();
    const tape = this.sessions.tape(symbol, from, to, abort.signal);
    tape.catch(() => undefined); // who waits for it is told
    return { symbol, from, to, abort, tape };
  }
}
