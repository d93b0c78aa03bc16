/**
 * One WebSocket connection of /v1/ws on the own origin, live or of a replay session.
 *
 * It comes back by itself: from where it was (cursors) after a short cut, with new snapshots after a long one or a
 * sleep. What becomes of the messages is in subscriptions.ts.
 */
import { waitMs } from "./backoff";
import { millis, type Clock } from "./clock";
import type { Channel, ErrorMessage, ServerMessage } from "./records";
import { Store } from "./store";
import { Subscriptions } from "./subscriptions";
import type { Feed, Listener, Wanted } from "./types";

/** How the connection stands. */
export interface Link {
  /**
   * `silent`: open, and nothing heard for SILENT_MS. `waiting`: for the next try. `refused`: not before something is
   * changed (a key, another session).
   */
  state: "connecting" | "open" | "silent" | "waiting" | "refused" | "closed";
  /** What went wrong last: its code and a sentence; null: nothing. */
  error: { code: string; message: string } | null;
  /** Server time of the newest heartbeat, milliseconds; null: none yet. */
  heardAt: number | null;
  /** When the next try is, by performance.now(); only while waiting. */
  retryAt: number | null;
  /** Messages that proved to be missing since the page was opened; their subscriptions began anew. */
  lost: number;
  /** Trades and books are left out, as the network is too slow for them. */
  reduced: boolean;
  /** Of a replay: why it has ended. */
  ended: string | null;
}

export interface SocketOptions {
  clock: Clock;
  url?: string;
  /** A replay session's id. */
  session?: string;
  key?: () => string | null;
}

/** Heartbeats come each second. */
const SILENT_MS = 5_000;
const DEAD_MS = 20_000;
/** After waking up nobody waits that long. */
const DEAD_ON_WAKING_MS = 8_000;
/** A cut that lasted longer is not made up message by message: snapshots, and history by REST, are faster. */
const RESUME_MS = 30_000;
const REDUCED_MS = 300_000;
const REFUSED_RETRY_MS = 5_000;
/** Changes of one moment go in one message: the server takes 20 a second. */
const GATHER_MS = 100;
/** Codes with which trying again would not help. */
const FINAL = /^(api\.key_|api\.scope|replay\.unknown)/;

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
  private readonly subscriptions: Subscriptions;
  private ws: WebSocket | null = null;
  private tries = 0;
  private heard = performance.now();
  private retry = 0;
  private gathering = 0;
  private slowSince: number | null = null;
  /** A refusal that may pass: its error is shown until nothing is refused. */
  private refusal: Link["error"] = null;
  private readonly watching: number;
  private readonly wake = (): void => this.woken();

  constructor(readonly options: SocketOptions) {
    this.subscriptions = new Subscriptions(
      (error) => this.refused(error),
      () => this.gather(),
    );
    this.watching = window.setInterval(() => this.watch(), 1_000);
    document.addEventListener("visibilitychange", this.wake);
    for (const name of ["online", "pageshow"]) window.addEventListener(name, this.wake);
    this.connect();
  }

  subscribe<C extends Channel>(wanted: Wanted & { channel: C }, listener: Listener<C>): () => void {
    return this.subscriptions.add(wanted, listener);
  }

  /** Try at once: a key was given, a person asks for it. */
  connect(): void {
    window.clearTimeout(this.retry);
    this.drop();
    this.link.patch({ state: "connecting", retryAt: null, ended: null });
    this.heard = performance.now();
    const ws = new WebSocket(this.options.url ?? ownUrl());
    this.ws = ws;
    ws.onmessage = (event) => {
      if (ws === this.ws) this.take(JSON.parse(event.data as string) as ServerMessage);
    };
    ws.onclose = (event) => {
      if (ws === this.ws) this.lostIt(event);
    };
  }

  /** End it for good. */
  close(): void {
    window.clearInterval(this.watching);
    window.clearTimeout(this.retry);
    window.clearTimeout(this.gathering);
    document.removeEventListener("visibilitychange", this.wake);
    for (const name of ["online", "pageshow"]) window.removeEventListener(name, this.wake);
    this.drop();
    this.link.patch({ state: "closed", retryAt: null });
  }

  private drop(): void {
    this.subscriptions.closed();
    const ws = this.ws;
    this.ws = null;
    ws?.close();
  }

  private take(message: ServerMessage): void {
    this.heard = performance.now();
    if (this.link.value.state === "silent") this.link.patch({ state: "open" });
    switch (message.type) {
      case "welcome":
        this.welcome(message.time, message.must_authenticate);
        break;
      case "authenticated":
        this.enter();
        break;
      case "replaying":
        this.open(this.link.value.heardAt !== null);
        break;
      case "heartbeat":
        this.options.clock.sample(millis(message.time));
        this.link.patch({ heardAt: millis(message.time) });
        this.tries = 0;
        break;
      case "end":
        if (message.reason !== "server_stopping") {
          const error =
            message.error === null ? null : { code: `replay.${message.reason}`, message: message.error };
          this.link.patch({ ended: message.reason, error });
        }
        break;
      default:
        // A replay that has ended may be ordered to go on.
        if (this.link.value.ended !== null && message.type === "snapshot") this.link.patch({ ended: null });
        this.subscriptions.take(message);
        if (this.subscriptions.lost !== this.link.value.lost)
          this.link.patch({ lost: this.subscriptions.lost });
        if (message.type === "subscribed") this.granted();
    }
  }

  private welcome(time: string, mustAuthenticate: boolean): void {
    const now = millis(time);
    this.options.clock.sample(now, true);
    const { heardAt } = this.link.value;
    if (heardAt !== null && now - heardAt > RESUME_MS && !this.options.session)
      this.link.patch({ heardAt: null });
    if (!mustAuthenticate) {
      this.enter();
      return;
    }
    const key = this.options.key?.() ?? null;
    if (key === null) this.stop({ code: "api.key_missing", message: "The API wants a key." });
    else this.send({ op: "auth", key, id: "auth" });
  }

  private enter(): void {
    if (this.options.session) this.send({ op: "replay", session: this.options.session, id: "replay" });
    else this.open(this.link.value.heardAt !== null);
  }

  private open(resume: boolean): void {
    this.link.patch({ state: "open", error: null });
    this.subscriptions.opened(resume);
  }

  private refused(error: ErrorMessage): void {
    const said = { code: error.code, message: error.message };
    if (error.code === "slow_consumer") {
      this.slowSince = performance.now();
      this.subscriptions.reduced = true;
      this.link.patch({ reduced: true, error: said });
    } else if (error.id === "replay" || FINAL.test(error.code)) {
      this.stop(said);
    } else {
      if (error.subscription !== null || this.subscriptions.isDenied) this.refusal = said;
      this.link.patch({ error: said });
      window.setTimeout(() => this.subscriptions.retry(), REFUSED_RETRY_MS);
    }
  }

  private granted(): void {
    if (this.refusal === null || this.subscriptions.isDenied) return;
    if (this.link.value.error === this.refusal) this.link.patch({ error: null });
    this.refusal = null;
  }

  private stop(error: { code: string; message: string }): void {
    this.drop();
    this.link.patch({ state: "refused", error });
  }

  private lostIt(event: CloseEvent): void {
    this.drop();
    const wait = waitMs(this.tries++);
    const { error, ended } = this.link.value;
    if (this.options.session && ended !== null && ended !== "finished") {
      this.link.patch({ state: "closed" });
      return;
    }
    const said = event.reason
      ? { code: event.reason, message: "The server has ended the connection." }
      : { code: "no_connection", message: "The API or the network is away." };
    this.link.patch({
      state: "waiting",
      error: event.reason === error?.code ? error : said,
      retryAt: performance.now() + wait,
    });
    this.retry = window.setTimeout(() => this.connect(), wait);
  }

  private watch(): void {
    const now = performance.now();
    const quiet = now - this.heard;
    if (this.ws && quiet > DEAD_MS) this.connect();
    else if (this.link.value.state === "open" && quiet > SILENT_MS) this.link.patch({ state: "silent" });
    if (this.slowSince !== null && now - this.slowSince > REDUCED_MS) {
      this.slowSince = null;
      this.subscriptions.reduced = false;
      this.link.patch({ reduced: false });
      this.gather();
    }
  }

  private woken(): void {
    if (document.visibilityState !== "visible") return;
    const isDead = performance.now() - this.heard > DEAD_ON_WAKING_MS;
    if (this.link.value.state === "waiting" || (this.ws && isDead)) this.connect();
  }

  private gather(): void {
    if (this.gathering !== 0) return;
    this.gathering = window.setTimeout(() => {
      this.gathering = 0;
      for (const operation of this.subscriptions.operations()) this.send(operation);
      this.granted();
    }, GATHER_MS);
  }

  private send(operation: object): void {
    if (this.ws?.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(operation));
  }
}

function ownUrl(): string {
  const { protocol, host } = window.location;
  return `${protocol === "https:" ? "wss" : "ws"}://${host}/v1/ws`;
}
