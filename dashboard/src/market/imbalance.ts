/** Who is heavier, bids or asks, at several depths. */
import type { End, Market } from "../app";
import { element, put } from "../shell/dom";
import type { Imbalances } from "./levels";
import type { LevelsSource } from "./source";

const ROWS: readonly [keyof Imbalances, string, string][] = [
  ["top", "best", "of the best level"],
  ["depth5", "5 levels", "of the best 5 levels"],
  ["depth20", "20 levels", "of the best 20 levels"],
  ["bucketed", "heatmap", "of the heatmap's cells"],
];

export function mountImbalance(root: HTMLElement, _: Market, source: LevelsSource): End {
  root.append(element("h2", {}, "Imbalance"));
  const list = element("dl", { class: "imbalances" });
  const rows = ROWS.map(([name, words, long]) => {
    const bar = element("span", { class: "bar", "aria-hidden": "true" });
    const value = element("span", { class: "number" });
    const term = element("dt", { title: `(bids − asks) ÷ (bids + asks) ${long}` }, words);
    list.append(element("div", {}, term, element("dd", {}, element("span", { class: "track" }, bar), value)));
    return { name, bar, value };
  });
  root.append(list);
  return source.levels.watch((levels) => {
    for (const { name, bar, value } of rows) {
      const share = levels?.imbalances[name] ?? null;
      put(value, share === null ? "—" : `${share < 0 ? "−" : "+"}${Math.abs(share).toFixed(2)}`);
      bar.style.width = `${(Math.abs(share ?? 0) * 50).toFixed(1)}%`;
      bar.dataset["side"] = (share ?? 0) < 0 ? "ask" : "bid";
    }
  });
}
