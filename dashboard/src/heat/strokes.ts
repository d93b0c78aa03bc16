/** Lines and bubbles over the cells: best prices, the volume-weighted price, trades. */

import { radius } from "./lines";
import type { Context, Picture } from "./picture";
import type { Scene } from "./scene";

export function drawBest(context: Context, picture: Picture): void {
  const { scene, layout, ink } = picture;
  for (const side of ["bid", "ask"] as const) {
    context.beginPath();
    trace(context, scene, side);
    // A dark edge keeps the line apart from bright cells.
    context.strokeStyle = ink.panel;
    context.lineWidth = 3 * layout.ratio;
    context.stroke();
    context.strokeStyle = ink[side];
    context.lineWidth = 1.5 * layout.ratio;
    context.stroke();
  }
}

/** Steps, with corners only where the price changes; cut where none is known. */
function trace(context: Context, scene: Scene, side: "bid" | "ask"): void {
  const { bests, camera, timeline } = scene;
  const [from, until] = scene.slots();
  let former: number | null = null;
  for (let slot = from; slot <= until; slot++) {
    const price = slot < until ? (bests.at(timeline, slot)?.[side] ?? null) : null;
    if (price === former) continue;
    const x = camera.xOf(timeline.timeOf(slot));
    if (former !== null) context.lineTo(x, camera.yOf(former / scene.size));
    if (price !== null) {
      const y = camera.yOf(price / scene.size);
      if (former === null) context.moveTo(x, y);
      else context.lineTo(x, y);
    }
    former = price;
  }
}

export function drawVwap(context: Context, picture: Picture): void {
  const { scene, layout, ink } = picture;
  const { camera } = scene;
  context.beginPath();
  let former: number | null = null;
  for (const { time, price } of scene.vwap.points()) {
    const x = camera.xOf(time);
    if (x < -layout.plotWidth || time > scene.now + 60_000) continue;
    const y = camera.yOf(price / scene.size);
    // Days are apart: the sum begins anew.
    if (former !== null && time - former <= 3_600_000 && time % 86_400_000 !== 60_000) context.lineTo(x, y);
    else context.moveTo(x, y);
    former = time;
  }
  context.strokeStyle = ink.accent;
  context.lineWidth = 1.5 * layout.ratio;
  context.setLineDash([6 * layout.ratio, 4 * layout.ratio]);
  context.stroke();
  context.setLineDash([]);
}

export function drawBubbles(context: Context, picture: Picture): void {
  const { scene, layout, ink, bubbles } = picture;
  const { camera, timeline } = scene;
  const largest = bubbles[0]?.size ?? 0;
  context.lineWidth = layout.ratio;
  context.strokeStyle = ink.panel;
  for (const side of ["buy", "sell"]) {
    context.beginPath();
    for (const bubble of bubbles) {
      if (bubble.side !== side) continue;
      const x = camera.xOf(timeline.timeOf(bubble.slot)) + camera.zoom.columnPx / 2;
      const y = camera.yOf((bubble.row + 0.5) * camera.step);
      const size = radius(bubble.size, largest, 13 * layout.ratio);
      context.moveTo(x + size, y);
      context.arc(x, y, size, 0, 2 * Math.PI);
    }
    context.globalAlpha = 0.75;
    context.fillStyle = side === "buy" ? ink.bid : ink.ask;
    context.fill();
    context.globalAlpha = 1;
    context.stroke();
  }
}
