/** Live and the past: a slider, a player, a coloured frame, a link to what is shown. */
import type { End, Market } from "../app";
import { Bar } from "./bar";
import { beside, besideText, Gaps, marksOf, pieces, type Mark } from "./gaps";
import { Player, type State } from "./player";
import { Sessions } from "./sessions";
import { Slider } from "./slider";
import { nextSpeed, windowOf, type Window } from "./span";
import { word } from "./words";
import "./replay.css";

const SHOW_MS = 250;
const MARKS_MS = 15_000;
/** Of a gap that one goes to, so much behind its end is seen. */
const BEHIND_GAP_MS = 2_000;

export function mountReplay(root: HTMLElement, market: Market): End {
  const replay = new Replay(market);
  root.append(replay.root);
  return () => replay.close();
}

class Replay {
  private readonly player: Player;
  private readonly slider: Slider;
  private readonly bar: Bar;
  private readonly ends: End[];
  private readonly abort = new AbortController();
  private readonly gaps: Gaps;
  private marks: Mark[] = [];
  /** Marks as the slider shows them. */
  private drawn: Mark[] = [];
  /** Since when all gaps are known; null: in all of the slider's time. */
  private since: number | null = null;
  private symbol = "";
  private marksOf = "";
  private said = "";
  private endHome: End | null = null;

  constructor(private readonly market: Market) {
    const { app, view } = market;
    this.gaps = new Gaps(app.rest);
    this.player = new Player(market, new Sessions(app.rest, app.key));
    this.slider = new Slider((time) => (time === null ? this.player.live() : this.player.go(time)));
    this.bar = new Bar(this.player, this.slider.root, {
      nextGap: (direction) => void this.nextGap(direction),
      copyLink: () => void this.copyLink(),
      spanChosen: () => this.show(),
    });
    // First of all: what is live has no range, and would take the link's away.
    const { from, to } = view.value;
    if (from !== null) void this.player.still(to ?? from + market.seenMs);
    const showing = window.setInterval(() => this.show(), SHOW_MS);
    const leaving = (): void => this.player.close();
    window.addEventListener("pagehide", leaving);
    this.ends = [
      () => window.clearInterval(showing),
      () => window.removeEventListener("pagehide", leaving),
      () => this.slider.close(),
      this.player.state.watch((state) => this.changed(state)),
      ...this.keys(),
    ];
  }

  get root(): HTMLElement {
    return this.bar.root;
  }

  close(): void {
    this.abort.abort();
    this.ends.forEach((end) => end());
    this.player.close();
    this.endHome?.();
    delete document.documentElement.dataset["mode"];
  }

  private keys(): End[] {
    const { player } = this;
    const on = (keys: readonly string[], what: string, run: () => void, shift?: boolean): End =>
      this.market.app.keys.on({
        keys,
        group: "Replay",
        what,
        run,
        ...(shift === undefined ? {} : { shift }),
      });
    const faster = (direction: 1 | -1): void =>
      player.setSpeed(nextSpeed(player.state.value.speed, direction));
    return [
      on([" "], "pause, play", () => player.toggle()),
      on([","], "step back", () => void player.step(-1)),
      on(["."], "step forward", () => void player.step(1)),
      on(["["], "slower", () => faster(-1)),
      on(["]"], "faster", () => faster(1)),
      on(["g"], "next gap", () => void this.nextGap(1), false),
      on(["g"], "gap before", () => void this.nextGap(-1), true),
      on(["l"], "copy a link to what is shown", () => void this.copyLink()),
    ];
  }

  /** The frame and its words; the address, once the picture stands still. */
  private changed(state: State): void {
    const { view, app } = this.market;
    document.documentElement.dataset["mode"] = state.name === "live" ? "live" : "replay";
    this.bindHome(state.name !== "live");
    const { from, to } = view.value;
    if (state.name === "live" && from !== null) view.patch({ from: null, to: null });
    if (["still", "loading", "paused", "ended"].includes(state.name) && state.position !== null) {
      const [first, last] = [state.position - this.market.seenMs, state.position].map(Math.round);
      if (last !== to) view.patch({ from: first ?? null, to: last ?? null });
    }
    const now = word(state);
    if (now !== this.said && this.said !== "") app.say(now);
    this.said = now;
    this.show();
  }

  /** In a replay Home leads to live; else it is the heatmap's. */
  private bindHome(isReplay: boolean): void {
    if (!isReplay) this.endHome?.();
    const home = { keys: ["Home"], group: "Replay", what: "back to live", run: () => this.player.live() };
    this.endHome = isReplay ? (this.endHome ?? this.market.app.keys.on(home)) : null;
  }

  private get window(): Window | null {
    const now = this.market.app.clock.now();
    return now === null ? null : windowOf(Number(this.bar.span.value), now, this.player.state.value.position);
  }

  private show(): void {
    const state = this.player.state.value;
    this.bar.show(state, this.market);
    const span = this.window;
    if (span === null) return;
    const { symbol } = this.market.view.value;
    // Another symbol's gaps are none of this one.
    if (symbol !== this.symbol) this.marks = this.drawn = [];
    this.symbol = symbol;
    this.slider.show(span, state.name === "live" ? null : state.position, this.drawn);
    const asked = [symbol, this.bar.span.value, Math.floor(span.to / MARKS_MS)].join();
    if (asked === this.marksOf) return;
    this.marksOf = asked;
    this.load(span).catch(() => undefined); // the marks are a help, and come again
  }

  private async load(span: Window): Promise<void> {
    const { symbol } = this.market.view.value;
    const { rows, since } = await this.gaps.look(symbol, span, this.abort.signal);
    if (symbol !== this.market.view.value.symbol) return;
    this.since = since;
    this.marks = marksOf(rows, span);
    // Where they are too many to know, it looks like one.
    const unknown = since === null ? [] : [{ from: span.from, to: since, name: "unknown" }];
    this.drawn = pieces([...unknown, ...this.marks], span);
  }

  private async nextGap(direction: 1 | -1): Promise<void> {
    const { app } = this.market;
    const span = this.window;
    if (span === null) return;
    try {
      await this.load(span);
    } catch {
      if (!this.abort.signal.aborted) app.say("the gaps are not known: they could not be asked for");
      return;
    }
    const { name, position } = this.player.state.value;
    // From live the gap before is the newest one, even if it has only just ended; else the one before that shown.
    const behind = direction < 0 && name !== "live" ? 2 * BEHIND_GAP_MS : 0;
    const from = (name === "live" ? span.to : (position ?? span.to)) - behind;
    const mark = beside(this.marks, from, direction);
    app.say(besideText(mark, from, direction, this.since));
    if (mark !== null) void this.player.still(Math.min(mark.to + BEHIND_GAP_MS, span.to));
  }

  private async copyLink(): Promise<void> {
    const { app, view } = this.market;
    if (this.player.state.value.name === "live") {
      const now = this.market.now();
      if (now !== null) view.patch({ from: now - this.market.seenMs, to: now });
    }
    const link = window.location.href;
    if (this.player.state.value.name === "live") view.patch({ from: null, to: null });
    try {
      await navigator.clipboard.writeText(link);
      app.say("the link is copied");
    } catch {
      app.say("the link is the page's address: copy it from there");
    }
  }
}
