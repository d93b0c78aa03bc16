/** The heatmap as a panel of the market page. */

import "./heat.css";
import type { End, Market } from "../app";
import { element } from "../shell/dom";
import { Panel } from "./panel";

export function mountHeat(root: HTMLElement, market: Market): End {
  const own = element("section", { class: "heat", "aria-label": "Order book heatmap" });
  root.append(own);
  const panel = new Panel(own, market);
  return () => {
    panel.end();
    own.remove();
  };
}
