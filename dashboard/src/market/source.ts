/** One book of the exchanges in the sum for all panels that show it, at most once a frame. */
import type { End, Market } from "../app";
import { Store } from "../data/store";
import type { BookRecord } from "../data/types";
import { ofBooks, ofConsolidated, type Levels } from "./levels";

export interface LevelsSource {
  levels: Store<Levels | null>;
  end: End;
}

export function levelsOf(market: Market): LevelsSource {
  const levels = new Store<Levels | null>(null);
  let stop: End = () => undefined;
  const follow = (): void => {
    stop();
    levels.set(null);
    const { symbol, exchanges } = market.view.value;
    stop =
      exchanges === null ? followAll(market, symbol, levels) : followSome(market, symbol, exchanges, levels);
  };
  let shown = "";
  const unwatch = market.view.watch(({ symbol, exchanges }) => {
    const now = JSON.stringify([symbol, exchanges]);
    if (now !== shown) follow();
    shown = now;
  });
  return {
    levels,
    end: () => {
      unwatch();
      stop();
    },
  };
}

function followAll(market: Market, symbol: string, levels: Store<Levels | null>): End {
  return market.feed.subscribe({ channel: "consolidated", symbol }, (told) => {
    if (told.type === "reset") levels.set(null);
    else if (told.type === "snapshot") levels.set(told.data[0] ? ofConsolidated(told.data[0]) : null);
    else if (told.type === "update") levels.set(ofConsolidated(told.data));
  });
}

function followSome(
  market: Market,
  symbol: string,
  exchanges: readonly string[],
  levels: Store<Levels | null>,
): End {
  const books = new Map<string, BookRecord>();
  let frame = 0;
  const show = (): void => {
    // Books of one tick come one by one: they are added up once a frame.
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      levels.set(ofBooks([...books.values()]));
    });
  };
  const end = market.feed.subscribe({ channel: "book", symbol, exchanges }, (told) => {
    if (told.type === "reset" || told.type === "snapshot") books.clear();
    if (told.type === "snapshot") for (const one of told.data) books.set(one.exchange, one);
    if (told.type === "update") books.set(told.data.exchange, told.data);
    show();
  });
  return () => {
    end();
    cancelAnimationFrame(frame);
  };
}
