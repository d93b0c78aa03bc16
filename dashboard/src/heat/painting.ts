/** The two canvases of the picture, painted when something has changed and at most once a frame. */

import type { Theme } from "../app";
import { element } from "../shell/dom";
import { Cells } from "./canvas";
import { layoutOf } from "./layout";
import type { Layout } from "./layout";
import type { Bubble } from "./lines";
import { Overlay } from "./overlay";
import type { Palette } from "./palette";
import type { Cross, Ink, Shown } from "./picture";
import { ROWS } from "./ring";
import type { Point } from "./pointer";
import type { Scene } from "./scene";
import { SLOTS } from "./slots";

/** Free space right of the newest column, CSS pixels. */
const MARGIN = 28;
const BUBBLES_MS = 250;
/** A ratio beyond this shows nothing more and costs the square of it. */
const MOST_RATIO = 2;

export class Painting {
  readonly cells = element("canvas", { class: "heat-cells", "aria-hidden": true });
  readonly over = element("canvas", { class: "heat-over", "aria-hidden": true });
  readonly shown: Shown = { best: true, trades: true, vwap: true, marks: true };
  layout: Layout = layoutOf(1, 1, 1, 0);
  palette: Palette = "sides";
  lanes: readonly string[] = [];
  /** In device pixels of the plot. */
  cross: Cross | null = null;
  private readonly painter = new Cells(this.cells, SLOTS, ROWS);
  private readonly overlay = new Overlay(this.over);
  private ink: Ink | null = null;
  private theme: Theme = "dark";
  private bubbles: readonly Bubble[] = [];
  private bubblesOf = "";
  private bubblesAt = -Infinity;

  /** The surface has this size in CSS pixels. */
  resize(width: number, height: number, ratio: number): void {
    this.layout = layoutOf(width, height, Math.min(MOST_RATIO, ratio), this.lanes.length);
    const { layout } = this;
    for (const [canvas, of] of [
      [this.cells, [layout.plotWidth, layout.plotHeight]],
      [this.over, [layout.width, layout.height]],
    ] as const) {
      [canvas.width, canvas.height] = of as [number, number];
      canvas.style.width = `${of[0]! / layout.ratio}px`;
      canvas.style.height = `${of[1]! / layout.ratio}px`;
    }
  }

  /** Colours of the theme, as the style sheet has them. */
  dress(theme: Theme): void {
    this.theme = theme;
    const style = getComputedStyle(document.documentElement);
    const of = (name: string): string => style.getPropertyValue(`--${name}`).trim();
    const names = [
      "text",
      "quiet",
      "line",
      "panel",
      "bid",
      "ask",
      "warn",
      "blind",
      "accent",
      "good",
    ] as const;
    this.ink = Object.fromEntries(names.map((name) => [name, of(name)])) as unknown as Ink;
  }

  /** The camera sees what the plot has room for. */
  aim(scene: Scene): void {
    const { camera } = scene;
    camera.width = this.layout.plotWidth;
    camera.height = this.layout.plotHeight;
    camera.margin = Math.round(Math.min(MARGIN * this.layout.ratio, this.layout.plotWidth / 10));
  }

  /**
   * The middle of the pixel at a place of the surface, CSS pixels; null: not of the cells. What is read in the middle is
   * what is drawn there, never a neighbour by a rounding.
   */
  pixelAt(at: Point): Cross | null {
    const { ratio, plotWidth, plotHeight } = this.layout;
    const [x, y] = [Math.floor(at.x * ratio) + 0.5, Math.floor(at.y * ratio) + 0.5];
    return x > 0 && y > 0 && x < plotWidth && y < plotHeight ? { x, y } : null;
  }

  /** Beside the crosshair by columns and rows, CSS pixels; null: there is none. */
  beside(scene: Scene, columns: number, rows: number): Point | null {
    const { camera } = scene;
    const { ratio } = this.layout;
    if (!this.cross) return null;
    const { x, y } = this.cross;
    return { x: (x + columns * camera.zoom.columnPx) / ratio, y: (y - rows * camera.rowPx) / ratio };
  }

  /** The newest column's place, at half the height. */
  newest(scene: Scene): Point {
    const { ratio, plotWidth, plotHeight } = this.layout;
    const { camera, timeline, now } = scene;
    // A tick at the very edge is drawn from there on: it is not seen.
    const column = timeline.newestBefore(Math.min(now, camera.edge - 1));
    const x = column ? camera.xOf(column.time) + 1 : plotWidth / 2;
    return { x: x / ratio, y: plotHeight / 2 / ratio };
  }

  /** `isWhole` false: only the crosshair has moved. */
  paint(scene: Scene, isWhole: boolean, frameAt: number): void {
    if (!this.ink) return;
    if (isWhole) {
      this.painter.paint(scene, this.palette, this.theme);
      this.gather(scene, frameAt);
    }
    const { ink, layout, lanes, shown, bubbles, cross } = this;
    this.overlay.paint({ scene, layout, ink, theme: this.theme, shown, lanes, bubbles, cross });
  }

  /** Bubbles are added up anew a few times a second, or at once where columns or rows are others. */
  private gather(scene: Scene, frameAt: number): void {
    if (!this.shown.trades) return;
    const { camera, timeline } = scene;
    const [from, until] = scene.slots();
    const of = `${timeline.period} ${camera.step} ${scene.bucketSize} ${camera.isLive ? "" : from}`;
    if (of === this.bubblesOf && frameAt - this.bubblesAt < BUBBLES_MS) return;
    this.bubblesOf = of;
    this.bubblesAt = frameAt;
    this.bubbles = scene.trades.bubbles(timeline.period, from, until, scene.size * camera.step);
  }
}
