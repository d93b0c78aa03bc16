/** Tables whose rows are written anew only where they differ. */
import { element, put } from "./dom";

export interface Cell {
  text: string;
  class?: string;
}

/** A table with a caption; `rows` are cells in the order of the headings, numbers to the right by their class. */
export class Table {
  readonly root: HTMLElement;
  private readonly body = element("tbody", {});
  private readonly nothing: HTMLElement;

  constructor(caption: string, headings: readonly Cell[], nothing: string) {
    const head = headings.map((one) => element("th", { scope: "col", class: one.class }, one.text));
    this.nothing = element("p", { class: "quiet state" }, nothing);
    const table = element("table", { class: "rows" }, element("caption", {}, caption));
    table.append(element("thead", {}, element("tr", {}, ...head)), this.body);
    // Wider than a phone: it scrolls by itself, also by the keyboard.
    const scroll = element(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      table,
    );
    this.root = element("section", { class: "panel" }, scroll, this.nothing);
  }

  show(rows: readonly (readonly Cell[])[]): void {
    while (this.body.rows.length > rows.length) this.body.lastElementChild?.remove();
    rows.forEach((cells, at) => {
      const row = this.body.rows[at] ?? this.body.insertRow();
      cells.forEach((cell, column) => {
        const made = row.cells[column] ?? row.insertCell();
        put(made, cell.text);
        const name = cell.class ?? "";
        if (made.className !== name) made.className = name;
      });
    });
    this.nothing.hidden = rows.length > 0;
  }
}

export const number = (text: string, more = ""): Cell => ({ text, class: `number ${more}`.trim() });
export const words = (text: string, more = ""): Cell => (more ? { text, class: more } : { text });
