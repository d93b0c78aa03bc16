/** The depth profile: how much one could sell or buy down to, up to each price. */
import type { End, Market } from "../app";
import { rounded, shown } from "../data/decimal";
import { mountCanvas, type Surface } from "../shell/canvas";
import { element, put } from "../shell/dom";
import { cumulated, type Levels } from "./levels";
import type { LevelsSource } from "./source";

const FOOT = 18;

export function mountProfile(root: HTMLElement, _: Market, source: LevelsSource): End {
  const place = element("div", { class: "profile" });
  const said = element("p", { class: "heard" });
  root.append(element("h2", {}, "Depth"), place, said);
  const canvas = mountCanvas(place, (surface) => draw(surface, source.levels.value));
  canvas.surface.canvas.setAttribute("aria-hidden", "true");
  const end = source.levels.watch(() => canvas.redraw());
  const timer = window.setInterval(() => put(said, summary(source.levels.value)), 5_000);
  return () => {
    window.clearInterval(timer);
    end();
    canvas.end();
  };
}

function draw({ context, width, height, color }: Surface, levels: Levels | null): void {
  context.clearRect(0, 0, width, height);
  const [bids, asks] = [cumulated(levels?.bids ?? []), cumulated(levels?.asks ?? [])];
  const prices = [...bids, ...asks].map((one) => one.price);
  if (prices.length === 0) return;
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
  context.font = "11px ui-monospace, monospace";
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

function summary(levels: Levels | null): string {
  if (levels === null) return "";
  const total = (side: Levels["bids"]): string =>
    rounded(side.reduce((sum, one) => sum + Number(one.size), 0).toFixed(8), 2);
  return (
    `Depth: bids of ${total(levels.bids)} down to ${shown(levels.bids.at(-1)?.price ?? "0")}, ` +
    `asks of ${total(levels.asks)} up to ${shown(levels.asks.at(-1)?.price ?? "0")}.`
  );
}
