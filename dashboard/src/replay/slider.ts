/** The time slider: from the past to live, with the gaps marked on it. */
import { element } from "../shell/dom";
import type { Mark } from "./gaps";
import { timeText, type Window } from "./span";

/** While a hand drags it, the picture follows this often. */
const DRAG_MS = 150;
const MARKS = 200;

export class Slider {
  readonly root: HTMLElement;
  private readonly input: HTMLInputElement;
  private readonly track: HTMLElement;
  private timer = 0;
  private window: Window = { from: 0, to: 1 };

  /** ``moved``: to a moment, null: to its end, which is live. */
  constructor(private readonly moved: (time: number | null) => void) {
    this.track = element("div", { class: "slider-marks", "aria-hidden": "true" });
    this.input = element("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 1_000,
      "aria-label": "Time",
      class: "slider",
    });
    this.input.addEventListener("input", () => {
      this.said();
      this.timer ||= window.setTimeout(() => this.tell(), DRAG_MS);
    });
    this.input.addEventListener("change", () => this.tell());
    this.root = element("div", { class: "slider-place" }, this.track, this.input);
  }

  /** ``position`` null: live. Left alone while a hand is on it. */
  show(span: Window, position: number | null, marks: readonly Mark[]): void {
    if (this.timer) return;
    this.window = span;
    const length = span.to - span.from;
    const step = Math.max(100, Math.round(length / 1_000));
    this.input.step = String(step);
    this.input.max = String(Math.ceil(length / step) * step);
    this.input.value = String(position === null ? this.input.max : position - span.from);
    this.said();
    this.mark(marks, span);
  }

  private get time(): number | null {
    const value = Number(this.input.value);
    return value >= Number(this.input.max) ? null : this.window.from + value;
  }

  private said(): void {
    this.input.setAttribute("aria-valuetext", this.time === null ? "live" : timeText(this.time));
  }

  private tell(): void {
    window.clearTimeout(this.timer);
    this.timer = 0;
    this.moved(this.time);
  }

  private mark(marks: readonly Mark[], span: Window): void {
    const length = span.to - span.from;
    const shown = marks.filter((one) => one.to >= span.from && one.from <= span.to).slice(-MARKS);
    while (this.track.childElementCount > shown.length) this.track.lastElementChild?.remove();
    while (this.track.childElementCount < shown.length) this.track.append(element("i", {}));
    shown.forEach((one, at) => {
      const made = this.track.children[at] as HTMLElement;
      const from = Math.max(one.from, span.from);
      made.style.left = `${((from - span.from) / length) * 100}%`;
      made.style.width = `${(Math.max(0, Math.min(one.to, span.to) - from) / length) * 100}%`;
    });
  }

  close(): void {
    window.clearTimeout(this.timer);
  }
}
