/** Lines and bubbles over the cells: best prices, the volume-weighted price, trades. */

import { radius } from "./lines";
import type { Context, Picture } from "./picture";

export function drawBest(context: Context, picture: Picture): void {
  const { scene, layout, ink } = picture;
  const { bests, camera, timeline } = scene;
  const [from, until] = camera.slots();
  for (const side of ["bid", "ask"] as const) {
    context.beginPath();
    let isDrawing = false;
    for (let slot = from; slot < until; slot++) {
      const price = bests.at(timeline, slot)?.[side] ?? null;
      if (price === null) {
        isDrawing = false;
        continue;
      }
      const x = camera.xOf(timeline.timeOf(slot));
      const y = camera.yOf(price / scene.size);
      if (isDrawing) context.lineTo(x, y);
      else context.moveTo(x, y);
      context.lineTo(x + camera.zoom.columnPx, y);
      isDrawing = true;
    }
    // A dark edge keeps the line apart from bright cells.
    context.lineJoin = "round";
    context.strokeStyle = ink.panel;
    context.lineWidth = 3 * layout.ratio;
    context.stroke();
    context.strokeStyle = ink[side];
    context.lineWidth = 1.5 * layout.ratio;
    context.stroke();
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
  for (const bubble of bubbles) {
    const x = camera.xOf(timeline.timeOf(bubble.slot)) + camera.zoom.columnPx / 2;
    const y = camera.yOf((bubble.row + 0.5) * camera.step);
    context.beginPath();
    context.arc(x, y, radius(bubble.size, largest, 14 * layout.ratio), 0, 2 * Math.PI);
    context.globalAlpha = 0.75;
    context.fillStyle = bubble.side === "buy" ? ink.bid : ink.ask;
    context.fill();
    context.globalAlpha = 1;
    context.stroke();
  }
}
