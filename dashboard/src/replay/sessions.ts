/** Replay sessions and pieces of a replay over REST. */
import { query, type Rest } from "../data/rest";
import type { Session } from "../data/types";
import { Tape, type Line } from "./tape";

/** Deleted by the server so long after its last order, should this page not come to it. */
const TTL_SECONDS = 6 * 3_600;
const PATH = "/v1/replay/sessions";

export interface Change {
  state?: "running" | "paused";
  speed?: number;
  position?: string;
}

export class Sessions {
  constructor(
    private readonly rest: Rest,
    private readonly key: () => string | null,
  ) {}

  /** A session of one symbol from ``from`` on, until now; it runs. */
  begin(symbol: string, from: number, to: number, speed: number, signal: AbortSignal): Promise<Session> {
    const range = { from: text(from), to: text(to) };
    const asked = { ...range, speed, symbols: [symbol], ttl_seconds: TTL_SECONDS, start: true };
    return this.rest.post<Session>(PATH, asked, signal);
  }

  change(id: string, change: Change): Promise<Session> {
    return this.rest.patch<Session>(`${PATH}/${id}`, change);
  }

  /** Take it away; it may be gone already. Goes out though the page is being left. */
  end(id: string): void {
    const key = this.key();
    const headers = key === null ? {} : { Authorization: `Bearer ${key}` };
    fetch(`${PATH}/${id}`, { method: "DELETE", keepalive: true, headers }).catch(() => undefined);
  }

  /** All records of a symbol in [from, to), with the scene before them. Throws Problem; Error where it has failed. */
  async tape(symbol: string, from: number, to: number, signal: AbortSignal): Promise<Tape> {
    const path = `/v1/replay${query({ from: text(from), to: text(to), symbol })}`;
    const lines = (await this.rest.lines(path, signal)) as Line[];
    return Tape.of(from, to, lines);
  }
}

/** Times of orders: to the millisecond. */
export function text(time: number): string {
  return new Date(Math.round(time)).toISOString();
}
