/** The panel's controls: bucket size, palette, zoom, what lies over the cells. */

import { element } from "../shell/dom";
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
  readonly table = element("button", { type: "button", "aria-pressed": "false" }, "Table");
  private readonly sizes = element("select", { "aria-label": "Bucket size" });

  constructor(commands: Commands, palette: Palette, shown: Shown) {
    const button = (text: string, title: string, run: () => void): HTMLElement => {
      const made = element("button", { type: "button", title, "aria-label": title }, text);
      made.addEventListener("click", run);
      return made;
    };
    this.live.addEventListener("click", commands.home);
    this.table.addEventListener("click", commands.table);
    this.sizes.addEventListener("change", () => commands.bucketSize(this.sizes.value));
    this.root.append(
      element("label", {}, "Bucket ", this.sizes),
      paletteChoice(palette, commands),
      element(
        "span",
        { class: "heat-buttons" },
        button("−", "Zoom out in time", () => commands.zoomTime(-1)),
        button("+", "Zoom in in time", () => commands.zoomTime(1)),
        button("↕−", "Zoom out in price", () => commands.zoomPrice(-1)),
        button("↕+", "Zoom in in price", () => commands.zoomPrice(1)),
        button("Fit", "Fit all prices of the newest column", commands.fit),
        this.live,
        this.table,
      ),
      toggles(shown, commands),
    );
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
