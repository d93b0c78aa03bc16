/** The best levels of both sides, with exact prices. */
import type { End, Market } from "../app";
import { placesOf, rounded, shown } from "../data/decimal";
import { element, put } from "../shell/dom";
import type { Level, Levels } from "./levels";
import type { LevelsSource } from "./source";

const ROWS = 10;
/** On low screens the others are left out. */
const NEAR = 8;

interface Row {
  row: HTMLTableRowElement;
  price: HTMLElement;
  size: HTMLElement;
  total: HTMLElement;
  count: HTMLElement;
}

export function mountLadder(root: HTMLElement, _: Market, source: LevelsSource): End {
  const head = ["Price", "Size", "Sum", "Ex."].map((text) => element("th", { scope: "col" }, text));
  const table = element("table", { class: "ladder" });
  const [asks, bids] = [rowsOf("ask"), rowsOf("bid")];
  const spread = element("td", { class: "number", colspan: 4 });
  table.append(
    element("caption", { class: "heard" }, "Best asks and bids of the exchanges in the sum"),
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...asks.map((one) => one.row).reverse()),
    element("tbody", {}, element("tr", { class: "spread" }, spread)),
    element("tbody", {}, ...bids.map((one) => one.row)),
  );
  const note = element("p", { class: "quiet small" });
  root.append(element("h2", {}, "Order book"), table, note);
  const show = (levels: Levels | null): void => {
    const [ask, bid] = [levels?.asks.slice(0, ROWS) ?? [], levels?.bids.slice(0, ROWS) ?? []];
    const places = placesOf([...ask, ...bid].map((one) => one.price));
    const most = Math.max(sumOf(ask), sumOf(bid), Number.MIN_VALUE);
    fill(asks, ask, places, most);
    fill(bids, bid, places, most);
    put(spread, spreadText(levels, places));
    spread.parentElement?.toggleAttribute("data-crossed", levels?.spread?.startsWith("-") ?? false);
    const missing =
      levels?.missing.filter((one) => one.reason !== "not_listed").map((one) => one.exchange) ?? [];
    if (levels !== null) put(note, missing.length > 0 ? `without ${missing.join(", ")}` : "");
  };
  const ends = [
    eachFrame(source, show),
    source.lack.watch((why) => {
      if (why) put(note, why);
    }),
  ];
  return () => ends.forEach((end) => end());
}

/** Call ``show`` with the newest levels, once a frame at most. */
export function eachFrame(source: LevelsSource, show: (levels: Levels | null) => void): End {
  let frame = 0;
  const end = source.levels.watch(() => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      show(source.levels.value);
    });
  });
  return () => {
    end();
    cancelAnimationFrame(frame);
  };
}

function rowsOf(side: "bid" | "ask"): Row[] {
  return Array.from({ length: ROWS }, (_, at) => {
    const [size, total, count] = ["number size", "number", "number quiet"].map((name) =>
      element("td", { class: name }),
    );
    const price = element("th", { scope: "row", class: `number ${side}` });
    const row = element(
      "tr",
      { "data-side": side, class: at < NEAR ? "near" : "far" },
      price,
      size!,
      total!,
      count!,
    );
    row.style.visibility = "hidden";
    return { row, price, size: size!, total: total!, count: count! };
  });
}

function fill(rows: readonly Row[], levels: readonly Level[], places: number, most: number): void {
  let total = 0;
  rows.forEach(({ row, price, size, total: sum, count }, at) => {
    const level = levels[at];
    total += level ? Number(level.size) : 0;
    put(price, level ? shown(level.price, places) : "");
    put(size, level ? rounded(level.size, 4) : "");
    put(sum, level ? rounded(total.toFixed(8), 2) : "");
    put(count, level ? String(level.exchanges) : "");
    size.title = level ? shown(level.size) : "";
    // It keeps its place, but is no row of the table: a row without a price has no header.
    row.style.visibility = level ? "" : "hidden";
    row.style.setProperty("--share", level ? `${((100 * total) / most).toFixed(1)}%` : "0%");
  });
}

function sumOf(levels: readonly Level[]): number {
  return levels.reduce((total, one) => total + Number(one.size), 0);
}

/** The line between the sides. */
export function spreadText(levels: Levels | null, places: number): string {
  if (levels === null) return "—";
  if (levels.exchanges.length === 0) return "no exchange in the sum";
  if (levels.spread === null || levels.mid === null) return "one side is empty";
  const crossed = levels.spread.startsWith("-");
  const spread = crossed ? `−${shown(levels.spread.slice(1))}, crossed` : shown(levels.spread);
  return `${shown(levels.mid, places)} · spread ${spread}`;
}
