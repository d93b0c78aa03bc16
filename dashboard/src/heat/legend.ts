/** The legend, which is the contrast slider: a bar of the palette with two cut-offs to drag. */

import type { Theme } from "../app";
import { element } from "../shell/dom";
import { BLIND, UNCOVERED, ZERO } from "./codes";
import { GROUNDS, STEPS, css, ramp } from "./palette";
import type { Palette } from "./palette";
import { PER_OCTAVE, automatic, levelOf, scaleTicks, volumeOf } from "./scale";
import type { Contrast } from "./scale";
import type { Scene } from "./scene";

/** The bar reaches this far beyond the cut-offs of the data. */
const BEYOND = 2 * PER_OCTAVE;
const LEAST_SPAN = PER_OCTAVE / 2;
const STEP = PER_OCTAVE / 5;

export class Legend {
  readonly root: HTMLElement;
  private readonly bar = element("canvas", { class: "heat-bar", "aria-hidden": true });
  private readonly ticks = element("div", { class: "heat-ticks", "aria-hidden": true });
  private readonly thumbs: Record<"low" | "high", HTMLElement>;
  private readonly auto = element("button", { type: "button", "aria-pressed": true }, "Auto");
  private readonly swatches = element("ul", { class: "heat-swatches" });
  private range: Contrast = { low: 0, high: 1 };
  private contrast: Contrast = { low: 0, high: 1 };
  private painted = "";

  /** `changed`: the cut-offs were moved by hand; null: they are to follow the data. */
  constructor(private readonly changed: (contrast: Contrast | null) => void) {
    this.thumbs = { low: this.thumb("low"), high: this.thumb("high") };
    const scale = element(
      "div",
      { class: "heat-scale" },
      this.bar,
      this.thumbs.low,
      this.thumbs.high,
      this.ticks,
    );
    this.auto.addEventListener("click", () => this.changed(null));
    this.root = element("div", { class: "heat-legend" }, scale, this.auto, this.swatches);
  }

  show(scene: Scene, palette: Palette, theme: Theme): void {
    const { contrast } = scene;
    const data = automatic(scene.timeline.histogram, contrast);
    this.auto.setAttribute("aria-pressed", String(scene.chosen === null));
    this.contrast = contrast;
    this.range = {
      low: Math.min(contrast.low, data.low - BEYOND),
      high: Math.max(contrast.high, data.high + BEYOND),
    };
    for (const side of ["low", "high"] as const) {
      const thumb = this.thumbs[side];
      thumb.style.left = `${100 * this.shareOf(contrast[side])}%`;
      thumb.setAttribute("aria-valuemin", String(this.range.low));
      thumb.setAttribute("aria-valuemax", String(this.range.high));
      thumb.setAttribute("aria-valuenow", String(contrast[side]));
      thumb.setAttribute("aria-valuetext", volumeText(volumeOf(contrast[side])));
    }
    const now = JSON.stringify([contrast, this.range, palette, theme]);
    if (now === this.painted) return;
    this.painted = now;
    this.paint(palette, theme);
    this.write();
    this.explain(theme);
  }

  private paint(palette: Palette, theme: Theme): void {
    const context = this.bar.getContext("2d")!;
    const width = (this.bar.width = STEPS);
    this.bar.height = 2;
    const sides = [ramp(palette, theme, "ask"), ramp(palette, theme, "bid")];
    const { low, high } = this.contrast;
    for (let x = 0; x < width; x++) {
      const level = this.range.low + (x / (width - 1)) * (this.range.high - this.range.low);
      const share = Math.min(1, Math.max(0, (level - low) / (high - low)));
      sides.forEach((colours, row) => {
        context.fillStyle = css(colours[Math.round(share * (STEPS - 1))]!);
        context.fillRect(x, row, 1, 1);
      });
    }
  }

  private write(): void {
    this.ticks.replaceChildren(
      ...scaleTicks(this.range, 6).map((volume) => {
        const tick = element("span", {}, volumeText(volume));
        tick.style.left = `${100 * this.shareOf(levelOf(volume))}%`;
        return tick;
      }),
    );
  }

  private explain(theme: Theme): void {
    const of = (name: string, code: number | null, style: string): HTMLElement => {
      const box = element("span", { class: `heat-swatch ${style}` });
      if (code !== null) box.style.backgroundColor = css(GROUNDS[theme][code]!);
      return element("li", {}, box, name);
    };
    this.swatches.replaceChildren(
      of("empty", ZERO, ""),
      of("not sent", UNCOVERED, ""),
      of("gap", null, "hatched"),
      of("blind", BLIND, ""),
      of("crossed", null, "crossed"),
    );
  }

  private thumb(side: "low" | "high"): HTMLElement {
    const name = side === "low" ? "Lower cut-off of the colours" : "Upper cut-off of the colours";
    const thumb = element("div", {
      class: `heat-thumb ${side}`,
      role: "slider",
      tabindex: 0,
      "aria-label": name,
      "aria-orientation": "horizontal",
      "aria-valuemin": 0,
      "aria-valuemax": 1,
      "aria-valuenow": 0,
    });
    thumb.addEventListener("keydown", (event) => this.keyed(event, side));
    thumb.addEventListener("dblclick", () => this.changed(null));
    thumb.addEventListener("pointerdown", (event) => {
      thumb.setPointerCapture(event.pointerId);
      event.preventDefault();
      thumb.focus();
    });
    thumb.addEventListener("pointermove", (event) => {
      if (!thumb.hasPointerCapture(event.pointerId)) return;
      const box = this.bar.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      this.move(side, this.range.low + share * (this.range.high - this.range.low));
    });
    return thumb;
  }

  private keyed(event: KeyboardEvent, side: "low" | "high"): void {
    const steps: Record<string, number> = {
      ArrowLeft: -STEP,
      ArrowDown: -STEP,
      ArrowRight: STEP,
      ArrowUp: STEP,
      PageDown: -5 * STEP,
      PageUp: 5 * STEP,
      Home: -Infinity,
      End: Infinity,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.move(side, Math.max(this.range.low, Math.min(this.range.high, this.contrast[side] + step)));
  }

  private move(side: "low" | "high", level: number): void {
    const { low, high } = this.contrast;
    const found = Math.round(Math.max(1, Math.min(8_191, level)));
    this.changed(
      side === "low"
        ? { low: Math.min(found, high - LEAST_SPAN), high }
        : { low, high: Math.max(found, low + LEAST_SPAN) },
    );
  }

  private shareOf(level: number): number {
    return (level - this.range.low) / (this.range.high - this.range.low);
  }
}

/** `0.02`, `1.5`, `120`, `3.4k`. */
export function volumeText(volume: number): string {
  const units: [number, string][] = [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ];
  const [by, unit] = units.find(([one]) => volume >= one) ?? [1, ""];
  return `${Number((volume / by).toPrecision(2))}${unit}`;
}
