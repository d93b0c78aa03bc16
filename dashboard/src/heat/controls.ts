/** The panel's controls: who is in the sum, bucket size, palette, zoom, what lies over the cells. */

import type { End, Market } from "../app";
import { element, put } from "../shell/dom";
import { PALETTES } from "./palette";
import type { Palette } from "./palette";
import type { Shown } from "./picture";
import { bucketText } from "./reading";

export interface Commands {
  zoomTime(by: number): void;
  zoomPrice(by: number): void;
  fit(): void;
  home(): void;
  table(): void;
  palette(name: Palette): void;
  bucketSize(size: string): void;
  shown(what: Partial<Shown>): void;
}

export class Controls {
  readonly root = element("div", { class: "heat-controls", role: "toolbar", "aria-label": "Heatmap" });
  readonly live = element("button", { type: "button", title: "Follow what is newest" }, "Newest");
  readonly table = element("button", { type: "button", "aria-pressed": false }, "Table");
  private readonly sizes = element("select", { "aria-label": "Bucket size" });
  private readonly sum = element("summary", {});
  private readonly boxes = new Map<string, HTMLInputElement>();
  private readonly end: End;

  constructor(
    private readonly market: Market,
    commands: Commands,
    palette: Palette,
    shown: Shown,
  ) {
    const button = (text: string, title: string, run: () => void): HTMLElement => {
      const made = element("button", { type: "button", title, "aria-label": title }, text);
      made.addEventListener("click", run);
      return made;
    };
    this.live.addEventListener("click", commands.home);
    this.table.addEventListener("click", commands.table);
    this.sizes.addEventListener("change", () => commands.bucketSize(this.sizes.value));
    this.root.append(
      this.exchanges(),
      element("label", {}, "Bucket ", this.sizes),
      paletteChoice(palette, commands),
      element(
        "span",
        { class: "heat-buttons" },
        button("−", "Zoom out in time", () => commands.zoomTime(-1)),
        button("+", "Zoom in in time", () => commands.zoomTime(1)),
        button("↕−", "Zoom out in price", () => commands.zoomPrice(-1)),
        button("↕+", "Zoom in in price", () => commands.zoomPrice(1)),
        button("Fit", "All prices of the newest column", commands.fit),
        this.live,
        this.table,
      ),
      toggles(shown, commands),
    );
    this.end = market.view.watch(({ exchanges }) => this.showSum(exchanges));
  }

  close(): void {
    this.end();
  }

  /** Which sizes there are, as texts, and which one is shown. */
  showSizes(sizes: ReadonlySet<string>, shown: string): void {
    const all = [...new Set([...sizes, shown])].sort((one, other) => Number(one) - Number(other));
    const had = [...this.sizes.options].map((option) => option.value);
    if (had.join() !== all.join()) {
      this.sizes.replaceChildren(...all.map((size) => element("option", { value: size }, bucketText(size))));
    }
    this.sizes.value = shown;
  }

  private exchanges(): HTMLElement {
    const names = this.market.exchanges.map((one) => one.exchange).sort();
    const list = element("fieldset", {}, element("legend", {}, "Exchanges in the sum"));
    for (const name of names) {
      const box = element("input", { type: "checkbox", value: name });
      box.addEventListener("change", () => this.choose());
      this.boxes.set(name, box);
      list.append(element("label", {}, box, ` ${name}`));
    }
    return element("details", { class: "heat-sum" }, this.sum, list);
  }

  private choose(): void {
    const chosen = [...this.boxes].filter(([, box]) => box.checked).map(([name]) => name);
    const isAll = chosen.length === this.boxes.size || chosen.length === 0;
    this.market.view.patch({ exchanges: isAll ? null : chosen });
  }

  private showSum(exchanges: readonly string[] | null): void {
    for (const [name, box] of this.boxes) box.checked = exchanges === null || exchanges.includes(name);
    const text =
      exchanges === null
        ? `all ${this.boxes.size}`
        : exchanges.length === 1
          ? exchanges[0]!
          : `${exchanges.length} of ${this.boxes.size}`;
    put(this.sum, `Sum: ${text}`);
  }
}

function paletteChoice(palette: Palette, commands: Commands): HTMLElement {
  const choice = element("select", { "aria-label": "Palette" });
  const names: Record<Palette, string> = {
    sides: "teal and amber",
    viridis: "viridis",
    magma: "magma",
    cividis: "cividis",
  };
  choice.append(...PALETTES.map((name) => element("option", { value: name }, names[name])));
  choice.value = palette;
  choice.addEventListener("change", () => commands.palette(choice.value as Palette));
  return element("label", {}, "Colours ", choice);
}

function toggles(shown: Shown, commands: Commands): HTMLElement {
  const names: Record<keyof Shown, string> = { best: "Best", trades: "Trades", vwap: "VWAP", marks: "Gaps" };
  const group = element("span", { class: "heat-toggles", role: "group", "aria-label": "Over the cells" });
  for (const [name, text] of Object.entries(names) as [keyof Shown, string][]) {
    const button = element("button", { type: "button", "aria-pressed": String(shown[name]) }, text);
    button.addEventListener("click", () => {
      const isOn = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(isOn));
      commands.shown({ [name]: isOn });
    });
    group.append(button);
  }
  return group;
}
