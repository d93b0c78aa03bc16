/** One WebSocket connection of /v1/ws on the own origin, live or of a replay session. */
import type { Clock } from "./clock";
import type { Channel } from "./records";
import { Store } from "./store";
import type { Feed, Listener, Wanted } from "./types";

/** How the connection stands. */
export interface Link {
  state: "connecting" | "open" | "silent" | "waiting" | "refused" | "closed";
  /** What went wrong last, as a sentence; null: nothing. */
  error: string | null;
  /** Server time of the newest heartbeat, milliseconds; null: none yet. */
  heardAt: number | null;
  /** When the next try is, by performance.now(); only while waiting. */
  retryAt: number | null;
  /** Messages that proved to be missing (a number was left out) since the page was opened. */
  lost: number;
  /** Trades and books were given up, as the network is too slow for them. */
  reduced: boolean;
  /** Of a replay: its end's reason. */
  ended: string | null;
}

export interface SocketOptions {
  clock: Clock;
  url?: string;
  /** A replay session's id. */
  session?: string;
  key?: () => string | null;
}

export class Socket implements Feed {
  readonly link = new Store<Link>({
    state: "connecting",
    error: null,
    heardAt: null,
    retryAt: null,
    lost: 0,
    reduced: false,
    ended: null,
  });

  constructor(readonly options: SocketOptions) {}

  subscribe<C extends Channel>(wanted: Wanted & { channel: C }, listener: Listener<C>): () => void {
    (void wanted, listener);
    return () => undefined;
  }

  /** End it for good. */
  close(): void {
    this.link.patch({ state: "closed" });
  }
}
