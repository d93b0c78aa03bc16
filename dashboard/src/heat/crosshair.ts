/** The crosshair's numbers beside the pointer. What it reads is reading.ts's. */

import { element } from "../shell/dom";
import type { Reading, Volume } from "./reading";

const AWAY = 14;

export class Tip {
  readonly root = element("div", { class: "heat-tip" });

  constructor() {
    this.root.hidden = true;
  }

  hide(): void {
    this.root.hidden = true;
  }

  /** At `x`, `y` of a surface `width` × `height`, CSS pixels; it stays within. */
  show(reading: Reading, x: number, y: number, width: number, height: number): void {
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
    this.root.hidden = false;
    const { offsetWidth, offsetHeight } = this.root;
    const left = x + AWAY + offsetWidth > width ? x - AWAY - offsetWidth : x + AWAY;
    const top = Math.min(Math.max(0, y + AWAY), Math.max(0, height - offsetHeight));
    this.root.style.transform = `translate(${Math.max(0, Math.round(left))}px, ${Math.round(top)}px)`;
  }
}
