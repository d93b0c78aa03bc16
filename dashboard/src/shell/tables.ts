/** Tables whose rows are written anew only where they differ. */
import { element, put } from "./dom";

export interface Cell {
  text: string;
  class?: string;
}

/** The sentence below a table: that there is nothing, or that it is not known. None before anything is. */
export class TableState {
  readonly root = element("p", { class: "quiet state", hidden: true });

  say(text: string): void {
    put(this.root, text);
    this.root.hidden = text === "";
  }
}

/** That no answer came; ``rows``: of an earlier one. */
export function failure(rows: number, error: unknown): string {
  const why = error instanceof Error ? error.message : String(error);
  return `${rows > 0 ? "This is old" : "This is not known"}: ${why.replace(/\.$/, "")}.`;
}

/** A table with a caption; `rows` are cells in the order of the headings, numbers to the right by their class. */
export class Table {
  readonly root: HTMLElement;
  private readonly body = element("tbody", {});
  private readonly state = new TableState();

  /** ``nothing``: what an answer without rows means. */
  constructor(
    caption: string,
    headings: readonly Cell[],
    private readonly nothing: string,
  ) {
    const head = headings.map((one) => element("th", { scope: "col", class: one.class }, one.text));
    const table = element("table", { class: "rows" }, element("caption", {}, caption));
    table.append(element("thead", {}, element("tr", {}, ...head)), this.body);
    // Wider than a phone: it scrolls by itself, also by the keyboard.
    const scroll = element(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      table,
    );
    this.root = element("section", { class: "panel" }, scroll, this.state.root);
  }

  /** ``isAll``: false while others may be there that are not known yet. */
  show(rows: readonly (readonly Cell[])[], isAll = true): void {
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
    this.root.classList.remove("stale");
    this.state.say(rows.length === 0 && isAll ? this.nothing : "");
  }

  /** No answer came: what is there is old. */
  failed(error: unknown): void {
    this.root.classList.add("stale");
    this.state.say(failure(this.body.rows.length, error));
  }
}

export const number = (text: string, more = ""): Cell => ({ text, class: `number ${more}`.trim() });
export const words = (text: string, more = ""): Cell => (more ? { text, class: more } : { text });
