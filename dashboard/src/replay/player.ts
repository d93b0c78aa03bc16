/**
 * What the replay bar orders. Where the past stands still, a short tape is held and shown (scene.ts), so that steps
 * back and forth are exact and cost nothing; where it moves, a session of the server plays it, like any client's.
 */
import type { Market, Mode } from "../app";
import { millis } from "../data/clock";
import { Problem } from "../data/rest";
import { Socket, type Link } from "../data/socket";
import { Store } from "../data/store";
import { stateOf } from "./linked";
import { Reels, TAPE_MS } from "./reels";
import { Scene } from "./scene";
import { text, type Change, type Sessions } from "./sessions";
import type { Tape } from "./tape";

export interface State {
  /**
   * `loading`: still, and the tape is on its way; `starting`: a session is; `ended`: it has played all that there was
   * when it began; `gone`: somebody has deleted it.
   */
  name: "live" | "loading" | "still" | "starting" | "running" | "paused" | "ended" | "gone" | "failed";
  /** The time that the picture has reached, milliseconds; null: live, before the first tick. */
  position: number | null;
  /** 0: as fast as can be. */
  speed: number;
  problem: unknown;
  /** How the session's connection stands; null: there is none. */
  link: Link["state"] | null;
  /** What of the range nobody has any more. */
  missing: readonly string[];
}

/** Nearer to now than this the past is what is live. */
const NOW_MS = 1_500;
/** A piece without ticks: how far a step goes then. */
const STEP_MS = 1_000;

interface Playing {
  id: string;
  from: number;
  to: number;
  socket: Socket;
  unwatch: () => void;
  /** Over when all orders that it was given have been answered: they go one after another. */
  ordered: Promise<unknown>;
}

export class Player {
  readonly state = new Store<State>({
    name: "live",
    position: null,
    speed: 1,
    problem: null,
    link: null,
    missing: [],
  });
  private playing: Playing | null = null;
  private readonly reels: Reels;
  private scene: Scene | null = null;
  private task = new AbortController();
  private readonly ends: (() => void)[] = [];

  constructor(
    private readonly market: Market,
    private readonly sessions: Sessions,
  ) {
    this.reels = new Reels(sessions);
    this.ends.push(this.state.watch((state) => this.show(state)));
    this.follow();
  }

  /** The picture of a moment, standing still; within what plays: play on from there. */
  go(time: number): void {
    const { playing, state } = this;
    const { name } = state.value;
    if (name === "running" || name === "starting") {
      if (playing && name === "running" && time >= playing.from && time < playing.to)
        void this.seek(playing, time);
      else this.play(time);
    } else void this.still(time);
  }

  toggle(): void {
    const { name, position } = this.state.value;
    if (name === "running" || name === "starting" || name === "live") this.pause();
    else this.play(position);
  }

  pause(): void {
    const { playing, state } = this;
    if (state.value.name === "running" && playing) void this.order(playing, "paused");
    else void this.still(state.value.position ?? this.market.now());
  }

  /** From ``time`` on, at the speed that is set. */
  play(time: number | null): void {
    const now = this.market.app.clock.now();
    if (time === null || now === null || time > now - NOW_MS) this.live();
    else if (this.state.value.name === "paused" && this.playing && time === this.state.value.position)
      void this.order(this.playing, "running");
    else void this.begin(time, now);
  }

  setSpeed(speed: number): void {
    this.state.patch({ speed });
    if (this.playing && ["running", "paused"].includes(this.state.value.name))
      void this.tell(this.playing, { speed });
  }

  /** The next tick, or the one before; what plays is halted. */
  async step(direction: 1 | -1): Promise<void> {
    const from = this.state.value.position ?? this.market.now();
    if (from === null) return;
    const { signal } = this.stop();
    this.state.patch({ name: "loading", position: from, problem: null });
    await this.guarded(signal, async () => {
      let tape = await this.tapeAt(from, signal);
      let time = tape.beside(from, direction);
      if (time === null) {
        // The piece ends here: the next one, which begins where this one has nothing more.
        const now = this.market.app.clock.now() ?? from;
        if (direction > 0 && from > now - NOW_MS) return this.live();
        tape = await this.tapeAt(Math.min(now, from + direction * (TAPE_MS + STEP_MS)), signal);
        time = tape.beside(from, direction) ?? from + direction * STEP_MS;
      }
      const goesOn = direction > 0 && this.scene?.isOf(tape);
      this.state.patch({ name: "still", position: time, missing: tape.missing });
      if (goesOn) this.scene?.advance(time);
      else this.change(new Scene(tape, time));
    });
  }

  /** Back to what is now. */
  live(): void {
    this.stop();
    this.scene = null;
    this.state.patch({ name: "live", position: null, problem: null, missing: [] });
    this.market.feed.change(this.market.app.socket);
  }

  /** The page is being left. */
  close(): void {
    this.stop(true);
    this.reels.close();
    for (const end of this.ends) end();
    this.market.feed.change(this.market.app.socket);
  }

  /** The picture of a moment: history at once, the panels as soon as the tape is there. */
  async still(time: number | null): Promise<void> {
    if (time === null) return;
    const { signal } = this.stop();
    const scene = new Scene(null, time);
    this.state.patch({ name: "loading", position: time, problem: null, missing: [] });
    this.change(scene);
    await this.guarded(signal, async () => {
      const tape = await this.tapeAt(time, signal);
      this.state.patch({ name: "still", missing: tape.missing });
      scene.fill(tape);
    });
  }

  private async begin(time: number, now: number): Promise<void> {
    const { signal } = this.stop();
    this.state.patch({ name: "starting", position: time, problem: null, missing: [] });
    await this.guarded(signal, async () => {
      const { symbol } = this.market.view.value;
      const session = await this.sessions.begin(symbol, time, now, this.state.value.speed, signal);
      // A faster order may have come meanwhile; then nobody wants it any more.
      if (signal.aborted) return this.sessions.end(session.id);
      const { clock, key } = this.market.app;
      const socket = new Socket({ clock, key, session: session.id });
      const unwatch = socket.link.watch((link) => this.linkChanged(link));
      const ordered = Promise.resolve();
      this.playing = { id: session.id, from: time, to: now, socket, unwatch, ordered };
      this.scene = null;
      this.state.patch({ name: "running" });
      this.market.feed.change(socket);
    });
  }

  private async seek(playing: Playing, time: number): Promise<void> {
    this.state.patch({ position: time });
    await this.tell(playing, { position: text(time) });
  }

  private async order(playing: Playing, state: "running" | "paused"): Promise<void> {
    this.state.patch({ name: state });
    await this.tell(playing, { state, speed: this.state.value.speed });
  }

  private async tell(playing: Playing, change: Change): Promise<void> {
    const answered = playing.ordered.then(() => this.sessions.change(playing.id, change));
    playing.ordered = answered.catch(() => undefined);
    try {
      await answered;
    } catch (error) {
      // One that was left meanwhile is nobody's concern.
      if (this.playing === playing) this.failed(error);
    }
  }

  private linkChanged(link: Link): void {
    const { value } = this.state;
    const found = stateOf(link);
    if (found !== null && found.name !== value.name) this.state.patch(found);
    if (link.state !== value.link) this.state.patch({ link: link.state });
  }

  private tapeAt(time: number, signal: AbortSignal): Promise<Tape> {
    const { app, view } = this.market;
    return this.reels.at(view.value.symbol, time, app.clock.now() ?? time, signal);
  }

  private change(scene: Scene): void {
    this.scene = scene;
    this.market.feed.change(scene);
  }

  /** Whatever is under way is not wanted any more; ``isLeft``: nobody will be here when an order is answered. */
  private stop(isLeft = false): AbortController {
    this.task.abort();
    this.task = new AbortController();
    if (this.playing) {
      const { id, socket, unwatch, ordered } = this.playing;
      unwatch();
      socket.close();
      if (isLeft) this.sessions.end(id);
      else void ordered.then(() => this.sessions.end(id));
      this.playing = null;
    }
    return this.task;
  }

  private async guarded(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) this.failed(error);
    }
  }

  private failed(error: unknown): void {
    const isGone = error instanceof Problem && error.code === "replay.unknown";
    this.state.patch({ name: isGone ? "gone" : "failed", problem: isGone ? null : error });
  }

  /** The position is that of the newest heatmap, whatever brings it. */
  private follow(): void {
    let end = (): void => undefined;
    let symbol = "";
    this.ends.push(
      this.market.view.watch((view) => {
        if (view.symbol === symbol) return;
        const isFirst = symbol === "";
        symbol = view.symbol;
        end();
        end = this.market.feed.subscribe({ channel: "heatmap", symbol }, (told) => {
          const newest = told.type === "update" ? told.data : told.type === "snapshot" ? told.data[0] : null;
          const { name } = this.state.value;
          if (newest && !["still", "loading", "starting"].includes(name))
            this.state.patch({ position: millis((newest as { timestamp: string }).timestamp) });
        });
        // Of another symbol the same moment is shown.
        if (!isFirst && this.state.value.name !== "live") void this.still(this.state.value.position);
      }),
      () => end(),
    );
  }

  private show(state: State): void {
    const mode: Mode =
      state.name === "live"
        ? { name: "live" }
        : {
            name: "replay",
            session: this.playing?.id ?? "",
            state: state.name,
            speed: state.speed,
            position: state.position,
          };
    this.market.mode.set(mode);
  }
}
