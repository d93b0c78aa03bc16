/** The depth profile: how much one could sell or buy down to, up to each price. */
import type { End, Market } from "../app";
import { rounded, shown } from "../data/decimal";
import { mountCanvas, type Surface } from "../shell/canvas";
import { element, put } from "../shell/dom";
import { cumulated, type Levels } from "./levels";
import type { LevelsSource } from "./source";

const FOOT = 18;
const FONT = "11px ui-monospace, monospace";

export function mountProfile(root: HTMLElement, _: Market, source: LevelsSource): End {
  const place = element("div", { class: "profile" });
  const said = element("p", { class: "heard" });
  root.append(element("h2", {}, "Depth"), place, said);
  const canvas = mountCanvas(place, (surface) => draw(surface, source.levels.value, source.lack.value));
  canvas.surface.canvas.setAttribute("aria-hidden", "true");
  const ends = [source.levels, source.lack].map((one) => one.watch(() => canvas.redraw()));
  const timer = window.setInterval(() => put(said, summary(source.levels.value, source.lack.value)), 5_000);
  return () => {
    window.clearInterval(timer);
    ends.forEach((end) => end());
    canvas.end();
  };
}

function draw({ context, width, height, color }: Surface, levels: Levels | null, lack: string): void {
  context.clearRect(0, 0, width, height);
  const [bids, asks] = [cumulated(levels?.bids ?? []), cumulated(levels?.asks ?? [])];
  const prices = [...bids, ...asks].map((one) => one.price);
  if (prices.length === 0) {
    context.fillStyle = color("--quiet");
    context.font = FONT;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(lackOf(levels, lack), width / 2, height / 2);
    return;
  }
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const most = Math.max(bids.at(-1)?.total ?? 0, asks.at(-1)?.total ?? 0);
  const floor = height - FOOT;
  const x = (price: number): number => (high === low ? width / 2 : ((price - low) / (high - low)) * width);
  const y = (total: number): number => floor - (most === 0 ? 0 : (total / most) * (floor - 4));
  for (const [side, name] of [
    [bids, "--bid"],
    [asks, "--ask"],
  ] as const) {
    if (side.length === 0) continue;
    context.beginPath();
    context.moveTo(x(side[0]!.price), floor);
    let before = floor;
    for (const { price, total } of side) {
      // Steps: between two prices nothing is added.
      context.lineTo(x(price), before);
      before = y(total);
      context.lineTo(x(price), before);
    }
    context.lineTo(x(side.at(-1)!.price), floor);
    context.closePath();
    context.globalAlpha = 0.28;
    context.fillStyle = color(name);
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = color(name);
    context.lineWidth = 1.5;
    context.stroke();
  }
  foot({ context, width, height, color }, low, high, levels);
}

function foot(
  { context, width, height, color }: Pick<Surface, "context" | "width" | "height" | "color">,
  low: number,
  high: number,
  levels: Levels | null,
): void {
  context.fillStyle = color("--quiet");
  context.font = FONT;
  context.textBaseline = "bottom";
  const texts: [string, number, CanvasTextAlign][] = [
    [shown(low.toFixed(8)), 0, "left"],
    [levels?.mid ? shown(levels.mid) : "", width / 2, "center"],
    [shown(high.toFixed(8)), width, "right"],
  ];
  for (const [text, at, align] of texts) {
    context.textAlign = align;
    context.fillText(text, at, height - 2);
  }
}

/** Why there is nothing. */
function lackOf(levels: Levels | null, lack: string): string {
  if (levels === null) return lack;
  return levels.exchanges.length === 0 ? "no exchange in the sum" : "both sides are empty";
}

/** The profile for who does not see it; ``lack``: why there is no book. */
export function summary(levels: Levels | null, lack: string): string {
  if (!levels || levels.bids.length + levels.asks.length === 0) return `Depth: ${lackOf(levels, lack)}.`;
  const total = (side: Levels["bids"]): string =>
    rounded(side.reduce((sum, one) => sum + Number(one.size), 0).toFixed(8), 2);
  const told = (name: string, to: string, side: Levels["bids"]): string => {
    const last = side.at(-1);
    return last ? `${name} of ${total(side)} ${to} to ${shown(last.price)}` : `no ${name}`;
  };
  return `Depth: ${told("bids", "down", levels.bids)}, ${told("asks", "up", levels.asks)}.`;
}
