/** A light for each exchange: shape, word, colour and age; pressed means that it is in the sum. */
import type { End, Market } from "../app";
import type { HeatmapRecord, StatusRecord } from "../data/types";
import { element, put, svg } from "../shell/dom";
import { ageText, standingOf, type Kind } from "./standing";

const SHAPES: Record<Kind, string> = {
  live: "M8 2a6 6 0 1 1 0 12a6 6 0 1 1 0-12z",
  blind: "M8 1.5L15 14H1z",
  crossed: "M3 1L8 6L13 1L15 3L10 8L15 13L13 15L8 10L3 15L1 13L6 8L1 3z",
  down: "M2 2h12v12H2z",
  unknown: "M8 2a6 6 0 1 1 0 12a6 6 0 1 1 0-12zM8 4.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7z",
  unlisted: "M2 6.8h12v2.4H2z",
};
const SHOWN_MS = 500;

interface Light {
  button: HTMLButtonElement;
  path: SVGPathElement;
  word: HTMLElement;
  age: HTMLElement;
  kind: Kind | null;
}

export function mountLights(root: HTMLElement, market: Market): End {
  const list = element("ul", { class: "lights", "aria-label": "Exchanges: pressed ones are in the sum" });
  root.append(list);
  const lights = new Map(
    market.exchanges.map(({ exchange }) => [exchange, addLight(list, market, exchange)]),
  );
  const statuses = new Map<string, StatusRecord>();
  let tick: HeatmapRecord | null = null;
  let endTicks: End = () => undefined;
  let symbol = "";

  const show = (): void => {
    const { exchanges } = market.view.value;
    const isReplay = market.mode.value.name === "replay";
    for (const [exchange, light] of lights) {
      const own = isReplay ? [] : [...statuses.values()].filter((one) => one.exchange === exchange);
      const now = standingOf(exchange, tick, own, market.now());
      light.button.setAttribute("aria-pressed", String(exchanges === null || exchanges.includes(exchange)));
      light.button.title = now.why ? `${exchange}: ${now.why}` : exchange;
      put(light.word, now.why && now.kind !== "unknown" ? now.why : now.word);
      put(light.age, now.ageMs === null ? "" : ageText(now.ageMs));
      if (light.kind === now.kind) continue;
      if (light.kind !== null && light.kind !== "unknown")
        market.app.say(`${exchange}: ${now.word} ${now.why}`);
      light.kind = now.kind;
      light.button.dataset["kind"] = now.kind;
      light.path.setAttribute("d", SHAPES[now.kind]);
    }
  };

  const endStatus = market.app.socket.subscribe({ channel: "status", symbol: null }, (told) => {
    if (told.type === "snapshot") statuses.clear();
    if (told.type === "snapshot") for (const one of told.data) statuses.set(one.slot, one);
    if (told.type === "update") statuses.set(told.data.slot, told.data);
  });
  const endView = market.view.watch((view) => {
    if (view.symbol !== symbol) {
      endTicks();
      symbol = view.symbol;
      tick = null;
      endTicks = market.feed.subscribe({ channel: "heatmap", symbol }, (told) => {
        const before = tick;
        if (told.type === "update") tick = told.data;
        else if (told.type !== "gap") tick = (told.type === "snapshot" && told.data[0]) || null;
        if (told.type === "gap" || isOther(before, tick)) show();
      });
    }
    show();
  });
  const timer = window.setInterval(show, SHOWN_MS);
  return () => {
    window.clearInterval(timer);
    endView();
    endTicks();
    endStatus();
  };
}

/** Whether another set of exchanges is in it: that is shown at once, ages at leisure. */
function isOther(before: HeatmapRecord | null, now: HeatmapRecord | null): boolean {
  if (before === null || now === null) return before !== now;
  return (
    before.missing.length !== now.missing.length ||
    before.missing.some((one, at) => {
      const other = now.missing[at];
      return one.exchange !== other?.exchange || one.reason !== other.reason;
    })
  );
}

function addLight(list: HTMLElement, market: Market, exchange: string): Light {
  const path = svg("path", { "fill-rule": "evenodd" });
  const word = element("span", { class: "word" });
  const age = element("span", { class: "number age" });
  const button = element(
    "button",
    { type: "button", class: "exchange" },
    svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, path),
    element("span", { class: "name" }, exchange),
    word,
    age,
  );
  button.addEventListener("click", () => toggle(market, exchange));
  list.append(element("li", {}, button));
  return { button, path, word, age, kind: null };
}

/** In or out of the sum; the last one stays in. */
function toggle(market: Market, exchange: string): void {
  const all = market.exchanges.map((one) => one.exchange);
  const chosen = market.view.value.exchanges ?? all;
  const next = all.filter((one) => (one === exchange) !== chosen.includes(one));
  if (next.length === 0) {
    market.app.say("At least one exchange stays in the sum.");
    return;
  }
  market.view.patch({ exchanges: next.length === all.length ? null : next });
}
