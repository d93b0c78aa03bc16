/** The replay bar: what time is shown, and the buttons that change it. */
import type { Market } from "../app";
import { element, put } from "../shell/dom";
import { problemBox } from "../shell/states";
import type { Player, State } from "./player";
import { SPANS, SPEEDS, speedText, timeText, typedTime } from "./span";
import { ago, note, word } from "./words";

export interface BarOrders {
  nextGap: (direction: 1 | -1) => void;
  copyLink: () => void;
  spanChosen: () => void;
}

export class Bar {
  readonly root: HTMLElement;
  readonly span: HTMLSelectElement;
  private readonly word = element("strong", { class: "replay-word" });
  private readonly ago = element("span", { class: "quiet number" });
  private readonly time: HTMLInputElement;
  private readonly play: HTMLButtonElement;
  private readonly live: HTMLButtonElement;
  private readonly speed: HTMLSelectElement;
  private readonly note = element("p", { class: "replay-note", role: "status" });
  private readonly problem = element("div", {});
  private problemShown: unknown = null;
  /** What is wrong with the time typed; it stands until something else is. */
  private hint = "";

  constructor(
    private readonly player: Player,
    slider: HTMLElement,
    orders: BarOrders,
  ) {
    this.play = button("▶", "Play", () => player.toggle());
    this.live = button("Live", "Back to live (Home)", () => player.live());
    this.speed = choice(
      "Speed",
      SPEEDS.map((one) => [one, speedText(one)]),
      1,
    );
    this.speed.addEventListener("change", () => player.setSpeed(Number(this.speed.value)));
    this.span = choice("Time on the slider", SPANS, 15 * 60_000);
    this.span.addEventListener("change", orders.spanChosen);
    this.time = element("input", {
      type: "text",
      class: "number time-input",
      "aria-label": "Time shown, UTC; type another one and press Enter",
      spellcheck: "false",
      autocomplete: "off",
    });
    this.time.addEventListener("change", () => this.typed());
    this.time.addEventListener("input", () => this.hinted(""));
    const buttons = element(
      "div",
      { class: "replay-buttons", role: "group", "aria-label": "Replay" },
      button("⇤", "Gap before (Shift + G)", () => orders.nextGap(-1)),
      button("−1", "−1: step back (,)", () => void player.step(-1)),
      this.play,
      button("+1", "+1: step forward (.)", () => void player.step(1)),
      button("⇥", "Next gap (G)", () => orders.nextGap(1)),
      this.speed,
    );
    const row = element("div", { class: "replay-row" }, this.word, buttons, this.time, this.ago);
    const more = element(
      "div",
      { class: "replay-buttons" },
      button("Copy link", "Copy link to this picture (L)", orders.copyLink),
      this.span,
      this.live,
    );
    row.append(more);
    this.root = element("section", { class: "panel replay", "aria-label": "Time: live and replay" });
    this.root.append(row, slider, this.note, this.problem);
  }

  show(state: State, market: Market): void {
    put(this.word, word(state));
    put(this.ago, ago(state, market.app.clock.now()));
    put(this.note, this.hint || note(state));
    const moves = ["live", "running", "starting"].includes(state.name);
    put(this.play, moves ? "❚❚" : "▶");
    const label = moves ? "Pause (Space)" : "Play (Space)";
    this.play.setAttribute("aria-label", label);
    this.play.title = label;
    this.live.disabled = state.name === "live";
    this.speed.value = String(state.speed);
    const now = market.now();
    if (document.activeElement !== this.time) this.time.value = now === null ? "" : timeText(now);
    if (state.problem !== this.problemShown) {
      this.problemShown = state.problem;
      this.problem.replaceChildren();
      if (state.problem !== null) this.problem.append(problemBox(state.problem, null));
    }
  }

  private typed(): void {
    const time = typedTime(this.time.value);
    this.hinted(time === null ? "A time looks like 2026-01-02 03:04:05 and is UTC." : "");
    if (time === null) return;
    this.time.blur();
    this.player.go(time);
  }

  private hinted(hint: string): void {
    this.hint = hint;
    this.time.setAttribute("aria-invalid", String(hint !== ""));
    put(this.note, hint);
  }
}

function button(text: string, label: string, run: () => void): HTMLButtonElement {
  const made = element("button", { type: "button", title: label, "aria-label": label }, text);
  made.addEventListener("click", run);
  return made;
}

function choice(label: string, values: readonly [number, string][], chosen: number): HTMLSelectElement {
  const options = values.map(([value, text]) => element("option", { value }, text));
  const made = element("select", { "aria-label": label, title: label }, ...options);
  made.value = String(chosen);
  return made;
}
