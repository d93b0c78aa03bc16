/** The crosshair's numbers beside the pointer. What it reads is reading.ts's. */

import { element } from "../shell/dom";
import type { Layout } from "./layout";
import type { Cross } from "./picture";
import { readingAt } from "./reading";
import type { Reading, Volume } from "./reading";
import type { Scene } from "./scene";

const AWAY = 14;

export class Tip {
  readonly root = element("div", { class: "heat-tip" });

  constructor() {
    this.root.hidden = true;
  }

  /** What the crosshair reads, beside it; hidden where it is nowhere. */
  follow(scene: Scene, layout: Layout, cross: Cross | null): void {
    const { camera } = scene;
    const { ratio, plotWidth, plotHeight } = layout;
    this.root.hidden = !cross || camera.middle === null;
    if (!cross || this.root.hidden) return;
    const reading = readingAt(scene, camera.timeAt(cross.x), camera.bucketAt(cross.y));
    this.show(reading, cross.x / ratio, cross.y / ratio, plotWidth / ratio, plotHeight / ratio);
  }

  /** At `x`, `y` of a surface `width` × `height`, CSS pixels; it stays within. */
  private show(reading: Reading, x: number, y: number, width: number, height: number): void {
    const line = (name: string, text: string, style = ""): HTMLElement[] => [
      element("dt", {}, name),
      element("dd", { class: `number ${style}` }, text),
    ];
    const volume = (name: string, found: Volume | null): HTMLElement[] =>
      found ? line(name, `${found.text} (${found.exchanges} ex. at ${found.price})`, name.toLowerCase()) : [];
    const list = element(
      "dl",
      {},
      ...line("Price", reading.prices),
      ...volume("Ask", reading.ask),
      ...volume("Bid", reading.bid),
      ...(reading.best ? line("Best", reading.best) : []),
    );
    this.root.replaceChildren(element("p", { class: "number" }, reading.moment), list);
    if (reading.state) this.root.append(element("p", { class: "quiet" }, reading.state));
    if (reading.missing.length) {
      this.root.append(element("p", { class: "quiet" }, `Not in the sum: ${reading.missing.join(", ")}`));
    }
    const { offsetWidth, offsetHeight } = this.root;
    const left = x + AWAY + offsetWidth > width ? x - AWAY - offsetWidth : x + AWAY;
    const top = Math.min(Math.max(0, y + AWAY), Math.max(0, height - offsetHeight));
    this.root.style.transform = `translate(${Math.max(0, Math.round(left))}px, ${Math.round(top)}px)`;
  }
}
