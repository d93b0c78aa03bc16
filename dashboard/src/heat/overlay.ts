/** What lies over the cells: marks of what is not known and the exchanges' lanes; lines and axes are drawn by others. */

import type { Theme } from "../app";
import { drawAxes, drawCross, font } from "./axes";
import type { Layout } from "./layout";
import { ALL, kindOf, title, words } from "./marks";
import type { Span } from "./marks";
import type { Context, Picture } from "./picture";
import type { Scene } from "./scene";
import { drawBest, drawBubbles, drawVwap } from "./strokes";

export class Overlay {
  private readonly context: Context;
  private hatches: { theme: Theme; ratio: number; gap: CanvasPattern; lane: CanvasPattern } | null = null;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.context = canvas.getContext("2d")!;
  }

  paint(picture: Picture): void {
    const { context } = this;
    const { scene, layout, shown } = picture;
    context.clearRect(0, 0, layout.width, layout.height);
    const spans = scene.spans();
    context.save();
    context.beginPath();
    context.rect(0, 0, layout.plotWidth, layout.plotHeight);
    context.clip();
    if (shown.marks) this.marks(picture, spans);
    if (scene.camera.middle !== null) {
      if (shown.vwap) drawVwap(context, picture);
      if (shown.best) drawBest(context, picture);
      if (shown.trades) drawBubbles(context, picture);
    }
    context.restore();
    this.lanes(picture, spans);
    drawAxes(context, picture);
    drawCross(context, picture);
  }

  /** Hatched over the whole height: a time that lacks all, or in which something was lost; named at the top. */
  private marks(picture: Picture, spans: readonly Span[]): void {
    const { scene, layout, ink } = picture;
    const { context } = this;
    let labelEnd = -Infinity;
    for (const span of spans) {
      const kind = kindOf(span.reason);
      if (kind !== "gap" && span.exchange !== ALL) continue;
      const [x, width] = extent(scene, layout, span);
      if (width <= 0) continue;
      if (kind === "crossed") {
        context.fillStyle = ink.warn;
        context.fillRect(x, 0, width, 3 * layout.ratio);
        continue;
      }
      context.fillStyle = this.patterns(picture).gap;
      context.fillRect(x, 0, width, layout.plotHeight);
      labelEnd = this.label(picture, title(span), x, labelEnd);
    }
  }

  private label(picture: Picture, text: string, x: number, former: number): number {
    const { layout, ink } = picture;
    const { context } = this;
    context.font = font(layout, 11);
    const width = context.measureText(text).width + 8 * layout.ratio;
    const left = Math.max(0, Math.min(x, layout.plotWidth - width));
    if (left < former) return former;
    context.fillStyle = ink.panel;
    context.fillRect(left, 4 * layout.ratio, width, 17 * layout.ratio);
    context.fillStyle = ink.text;
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(text, left + 4 * layout.ratio, 12.5 * layout.ratio);
    return left + width + 4 * layout.ratio;
  }

  /** A lane an exchange: a thin line where its book is in the sum, hatched, grey or amber where it is not, and why. */
  private lanes(picture: Picture, spans: readonly Span[]): void {
    const { scene, layout, ink, lanes } = picture;
    const { context } = this;
    const height = layout.laneHeight;
    context.font = font(layout, Math.min(11, Math.max(7, height / layout.ratio - 2)));
    context.textBaseline = "middle";
    lanes.forEach((exchange, place) => {
      const y = layout.lanesTop + place * height;
      this.presence(picture, exchange, y + height / 2);
      for (const span of spans) {
        if (span.exchange !== exchange && !(span.exchange === ALL && kindOf(span.reason) === "gap")) continue;
        const [x, width] = extent(scene, layout, span);
        if (width > 0) this.lane(picture, span, x, y, width);
      }
      context.fillStyle = ink.quiet;
      context.textAlign = "left";
      context.fillText(exchange, layout.plotWidth + 6 * layout.ratio, y + height / 2);
    });
  }

  private presence(picture: Picture, exchange: string, y: number): void {
    const { scene, layout, ink } = picture;
    const { context } = this;
    const { camera, timeline } = scene;
    const [from, until] = scene.slots();
    context.fillStyle = ink.good;
    let start: number | null = null;
    let list: readonly string[] | undefined;
    let isThere = false;
    for (let slot = from; slot <= until; slot++) {
      const exchanges = slot < until ? timeline.columnAt(slot)?.exchanges : undefined;
      if (exchanges !== list) isThere = exchanges?.includes(exchange) ?? false; // equal lists are one
      list = exchanges;
      if (isThere) start ??= slot;
      else if (start !== null) {
        const x = camera.xOf(timeline.timeOf(start));
        const end = Math.min(layout.plotWidth, camera.xOf(timeline.timeOf(slot)));
        context.fillRect(x, y, end - x, Math.max(1, layout.ratio));
        start = null;
      }
    }
  }

  private lane(picture: Picture, span: Span, x: number, y: number, width: number): void {
    const { layout, ink } = picture;
    const { context } = this;
    const kind = kindOf(span.reason);
    const height = layout.laneHeight - 1;
    context.fillStyle = kind === "crossed" ? ink.warn : ink.blind;
    context.fillRect(x, y, width, height);
    if (kind === "gap") {
      context.fillStyle = this.patterns(picture).lane;
      context.fillRect(x, y, width, height);
    }
    const text = words(span.reason);
    if (context.measureText(text).width + 6 * layout.ratio > width) return;
    context.fillStyle = ink.panel;
    context.textAlign = "left";
    context.fillText(text, x + 3 * layout.ratio, y + height / 2);
  }

  private patterns({ theme, ink, layout }: Picture): { gap: CanvasPattern; lane: CanvasPattern } {
    if (this.hatches?.theme !== theme || this.hatches.ratio !== layout.ratio) {
      this.hatches = {
        theme,
        ratio: layout.ratio,
        gap: hatch(this.context, ink.quiet, Math.round(10 * layout.ratio), 0.6, layout.ratio),
        lane: hatch(this.context, ink.panel, Math.round(6 * layout.ratio), 0.55, layout.ratio),
      };
    }
    return this.hatches;
  }
}

/** Left edge and width of a span within the plot, of its columns if it has any; at least two pixels wide, so that no gap is too short to be seen. */
function extent(scene: Scene, layout: Layout, span: Span): [number, number] {
  const { camera } = scene;
  const { from, until: end } = span.columns ?? span;
  // The newest column is drawn as a whole.
  const until = Math.min(end ?? Infinity, span.columns ? scene.timeline.after(scene.now) : scene.now);
  const left = Math.max(0, Math.round(camera.xOf(from)));
  const right = Math.min(layout.plotWidth, Math.round(camera.xOf(until)));
  if (right < 0 || left > layout.plotWidth || until < from) return [0, 0];
  return [left, Math.max(2 * layout.ratio, right - left)];
}

function hatch(context: Context, colour: string, size: number, alpha: number, ratio: number): CanvasPattern {
  const tile = document.createElement("canvas");
  tile.width = tile.height = size;
  const on = tile.getContext("2d")!;
  on.globalAlpha = alpha;
  on.strokeStyle = colour;
  on.lineWidth = Math.max(1, ratio);
  on.beginPath();
  for (const from of [-size, 0, size]) {
    on.moveTo(from, size);
    on.lineTo(from + size, 0);
  }
  on.stroke();
  return context.createPattern(tile, "repeat")!;
}
