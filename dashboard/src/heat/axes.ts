/** The axes of time and price, the newest best prices on them, and the crosshair. */

import { decimalsOf, priceText } from "./amount";
import { clockText, dayText, priceTicks, timeTicks } from "./layout";
import type { Layout } from "./layout";
import type { Context, Picture } from "./picture";

export function drawAxes(context: Context, picture: Picture): void {
  const { scene, layout, ink } = picture;
  const { camera } = scene;
  const { ratio } = layout;
  context.font = font(layout, 11);
  context.fillStyle = ink.quiet;
  context.strokeStyle = ink.line;
  context.lineWidth = 1;
  context.textBaseline = "middle";
  const { times, stepMs } = timeTicks(camera.start, camera.edge, 90 * ratio * camera.msPerPx);
  context.textAlign = "center";
  for (const time of times) {
    const x = Math.round(camera.xOf(time));
    if (x < 30 * ratio || x > layout.plotWidth - 30 * ratio) continue;
    context.fillRect(x, layout.axisTop, 1, 4 * ratio);
    context.fillText(clockText(time, stepMs), x, layout.axisTop + 13 * ratio);
  }
  context.textAlign = "left";
  context.fillText(`${dayText(camera.edge)} UTC`, layout.plotWidth + 6 * ratio, layout.axisTop + 13 * ratio);
  if (camera.middle === null) return;
  const decimals = decimalsOf(scene.bucketSize);
  const price = (y: number): number => camera.bucketAt(y) * scene.size;
  const least = Math.max(scene.size, (34 * ratio * scene.size) / camera.bucketPx);
  for (const tick of priceTicks(price(layout.plotHeight), price(0), least)) {
    const y = Math.round(camera.yOf(tick / scene.size));
    if (y < 8 * ratio || y > layout.plotHeight - 8 * ratio) continue;
    context.fillRect(layout.plotWidth, y, 4 * ratio, 1);
    context.fillText(priceText(tick, decimals), layout.plotWidth + 6 * ratio, y);
  }
  drawLastPrices(context, picture);
}

/** The newest best prices on the axis, as chips. */
function drawLastPrices(context: Context, picture: Picture): void {
  const { scene, layout, ink } = picture;
  const { bests, camera, timeline } = scene;
  const slot = timeline.slotOf(Math.min(scene.now, camera.edge));
  for (let back = 0; back < 12; back++) {
    const best = bests.at(timeline, slot - back);
    if (!best) continue;
    for (const side of ["ask", "bid"] as const) {
      const price = best[side];
      if (price === null) continue;
      const y = camera.yOf(price / scene.size) + (side === "bid" ? 9 : -9) * layout.ratio;
      if (y < 0 || y > layout.plotHeight) continue;
      chip(
        context,
        layout,
        layout.plotWidth + 2,
        y,
        exactText(price, scene.bucketSize),
        ink[side],
        ink.panel,
      );
    }
    return;
  }
}

export function drawCross(context: Context, picture: Picture): void {
  const { scene, layout, ink, cross } = picture;
  if (!cross) return;
  const { camera } = scene;
  context.fillStyle = ink.text;
  context.globalAlpha = 0.6;
  context.fillRect(Math.floor(cross.x), 0, 1, layout.axisTop);
  context.fillRect(0, Math.floor(cross.y), layout.plotWidth, 1);
  context.globalAlpha = 1;
  if (camera.middle === null) return;
  const price = Math.floor(camera.bucketAt(cross.y)) * scene.size;
  chip(
    context,
    layout,
    layout.plotWidth + 2,
    cross.y,
    priceText(price, decimalsOf(scene.bucketSize)),
    ink.text,
    ink.panel,
  );
}

function exactText(price: number, bucketSize: string): string {
  const decimals = Math.max(2, decimalsOf(bucketSize));
  return priceText(price, decimals);
}

function chip(
  context: Context,
  layout: Layout,
  x: number,
  y: number,
  text: string,
  ground: string,
  ink: string,
): void {
  const { ratio } = layout;
  context.font = font(layout, 11);
  context.fillStyle = ground;
  context.fillRect(x, y - 8.5 * ratio, layout.width - x, 17 * ratio);
  context.fillStyle = ink;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillText(text, x + 4 * ratio, y);
}

export function font(layout: Layout, px: number): string {
  return `${Math.round(px * layout.ratio)}px system-ui, sans-serif`;
}
