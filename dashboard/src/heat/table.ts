/** The column under the crosshair as a table, for eyes that want numbers and for screen readers. */

import { element } from "../shell/dom";
import { lacking } from "./columns";
import type { Column } from "./columns";
import { momentText } from "./layout";
import { title } from "./marks";
import type { Cross } from "./picture";
import { bucketText, rowsOf } from "./reading";
import type { Scene } from "./scene";

export class ColumnTable {
  readonly root: HTMLElement;
  private readonly caption = element("caption", {});
  private readonly body = element("tbody", {});
  private shown: Column | null = null;

  constructor() {
    const head = element(
      "tr",
      {},
      ...["Price from", "Bids", "Asks", "Exchanges"].map((name) =>
        element("th", { scope: "col", class: "number" }, name),
      ),
    );
    const table = element(
      "table",
      { class: "heat-table" },
      this.caption,
      element("thead", {}, head),
      this.body,
    );
    this.root = element(
      "div",
      { class: "heat-column", tabindex: 0, role: "region", "aria-label": "Column under the crosshair" },
      table,
    );
    this.root.hidden = true;
  }

  get isOpen(): boolean {
    return !this.root.hidden;
  }

  toggle(scene: Scene, cross: Cross | null): boolean {
    this.root.hidden = !this.root.hidden;
    this.shown = null;
    // At once: a picture that stands still is not painted again.
    this.follow(scene, cross);
    return this.isOpen;
  }

  /** The column under the crosshair; without one the newest that is seen. */
  follow(scene: Scene, cross: Cross | null): void {
    if (!this.isOpen) return;
    const { camera, timeline } = scene;
    this.show(
      cross
        ? timeline.columnAt(timeline.slotOf(camera.timeAt(cross.x)))
        : timeline.newestBefore(Math.min(scene.now, camera.edge)),
    );
  }

  private show(column: Column | null): void {
    if (column === this.shown) return;
    this.shown = column;
    if (!column) {
      this.caption.textContent = "No column is known of this time.";
      this.body.replaceChildren();
      return;
    }
    const lacks = lacking(column).map(title);
    const said = [
      momentText(column.time),
      `cells of ${bucketText(column.bucketSize)}`,
      `in the sum: ${column.exchanges.join(", ") || "nobody"}`,
    ];
    if (lacks.length) said.push(`missing: ${lacks.join(", ")}`);
    this.caption.textContent = said.join(" · ");
    this.body.replaceChildren(
      ...rowsOf(column).map((row) =>
        element(
          "tr",
          {},
          element("th", { scope: "row", class: "number" }, row.price),
          element("td", { class: "number bid" }, row.bid),
          element("td", { class: "number ask" }, row.ask),
          element("td", { class: "number" }, String(row.exchanges)),
        ),
      ),
    );
  }
}
