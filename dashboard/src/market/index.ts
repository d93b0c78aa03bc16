/** The market page: one symbol over all exchanges, live or replayed. */
import type { App, End, Market, Mode, Page, Place } from "../app";
import { SwitchFeed } from "../data/feed";
import { Store } from "../data/store";
import type { ExchangeRow, SymbolRow } from "../data/types";
import { mountHeat } from "../heat";
import { mountReplay } from "../replay";
import { element } from "../shell/dom";
import { untilLoaded } from "../shell/states";
import { searchOf, viewOf } from "../shell/view";
import { mountCandles } from "./candles";
import { mountImbalance } from "./imbalance";
import { mountLadder } from "./ladder";
import { mountLights } from "./lights";
import { mountProfile } from "./profile";
import { levelsOf } from "./source";
import { mountTrades } from "./trades";
import "./panels.css";
import "./market.css";

export const marketPage: Page = {
  path: "/",
  title: "Market",
  mount: (root, app) => {
    const place = element("div", { class: "page-state" });
    root.append(place);
    const abort = new AbortController();
    let end: End = () => undefined;
    const load = async (signal: AbortSignal): Promise<[SymbolRow[], ExchangeRow[]]> => {
      const symbols = app.rest.answer<SymbolRow>("/v1/symbols", {}, signal);
      const exchanges = app.rest.answer<ExchangeRow>("/v1/exchanges", {}, signal);
      return [(await symbols).data, (await exchanges).data];
    };
    untilLoaded(place, "Loading symbols and exchanges", load, abort.signal).then(
      ([symbols, exchanges]) => {
        place.remove();
        end = mountMarket(root, app, symbols, exchanges);
      },
      () => undefined, // the page was left
    );
    return () => {
      abort.abort();
      end();
    };
  },
};

function mountMarket(root: HTMLElement, app: App, symbols: SymbolRow[], exchanges: ExchangeRow[]): End {
  const market = marketOf(app, symbols, exchanges);
  const bar = element("div", { class: "market-bar" });
  const heat = element("div", { class: "panel heat-place" });
  const [candles, profile, imbalance, ladder, trades] = [
    panel("candles", "Candles"),
    panel("depth", "Depth profile"),
    panel("imbalance", "Imbalance"),
    panel("book", "Order book"),
    panel("tape", "Last trades"),
  ];
  trades.tabIndex = 0; // it scrolls
  const replay = element("div", { class: "replay-place" });
  const side = element("div", { class: "side" }, imbalance, profile, ladder, trades);
  root.append(element("div", { class: "market" }, bar, heat, side, candles, replay));
  const source = levelsOf(market);
  const ends = [
    mountPicker(bar, market),
    mountLights(bar, market),
    mountHeat(heat, market),
    mountCandles(candles, market),
    mountImbalance(imbalance, market, source),
    mountProfile(profile, market, source),
    mountLadder(ladder, market, source),
    mountTrades(trades, market),
    mountReplay(replay, market),
    () => source.end(),
    market.view.watch((view) => {
      const search = searchOf(view);
      if (search !== window.location.search) window.history.replaceState(null, "", search);
      document.title = `${view.symbol} · COBY`;
    }),
  ];
  return () => ends.reverse().forEach((end) => end());
}

function marketOf(app: App, symbols: SymbolRow[], exchanges: ExchangeRow[]): Market {
  const names = [symbols.map((one) => one.symbol), exchanges.map((one) => one.exchange)] as const;
  const mode = new Store<Mode>({ name: "live" });
  return {
    app,
    symbols,
    exchanges,
    view: new Store(viewOf(window.location.search, ...names)),
    mode,
    feed: new SwitchFeed(app.socket),
    place: new Store<Place | null>(null),
    seenMs: 300_000,
    now: () => (mode.value.name === "live" ? app.clock.now() : mode.value.position),
  };
}

/** The list of symbols. */
function mountPicker(root: HTMLElement, market: Market): End {
  const options = market.symbols.map(({ symbol }) => element("option", { value: symbol }, symbol));
  const select = element("select", { id: "symbol" }, ...options);
  select.addEventListener("change", () => market.view.patch({ symbol: select.value }));
  root.append(element("label", { class: "picker" }, element("span", { class: "heard" }, "Symbol"), select));
  const ends = [
    market.view.watch(({ symbol }) => (select.value = symbol)),
    market.app.keys.on({
      keys: ["/"],
      group: "Market",
      what: "choose the symbol",
      run: () => select.focus(),
    }),
  ];
  return () => ends.forEach((end) => end());
}

function panel(name: string, label: string): HTMLElement {
  return element("section", { class: `panel ${name}`, "aria-label": label });
}
