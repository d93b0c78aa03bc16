/** One book of the exchanges in the sum for all panels that show it, at most once a frame. */
import type { End, Market } from "../app";
import { millis } from "../data/clock";
import { Store } from "../data/store";
import type { BookRecord } from "../data/types";
import { lackOf, ofBooks, ofConsolidated, type Levels } from "./levels";

export interface LevelsSource {
  /** Null: there is none that is of now. */
  levels: Store<Levels | null>;
  /** Why there is none, in words; "": there is one. */
  lack: Store<string>;
  end: End;
}

const JUDGED_MS = 1_000;

export function levelsOf(market: Market): LevelsSource {
  const levels = new Store<Levels | null>(null);
  const lack = new Store(lackOf(null, false));
  let newest: Levels | null = null;
  let stop: End = () => undefined;
  // What does not come any more is not told: only its age shows it.
  const judge = (): void => {
    const now = market.now();
    const age = newest && (now === null ? 0 : now - millis(newest.timestamp));
    const isLive = market.mode.value.name === "live";
    const why = lackOf(age, isLive && market.app.socket.link.value.reduced);
    lack.set(why);
    levels.set(why === "" ? newest : null);
  };
  const take = (found: Levels | null): void => {
    newest = found;
    judge();
  };
  const follow = (): void => {
    stop();
    take(null);
    const { symbol, exchanges } = market.view.value;
    stop = exchanges === null ? followAll(market, symbol, take) : followSome(market, symbol, exchanges, take);
  };
  let shown = "";
  const unwatch = market.view.watch(({ symbol, exchanges }) => {
    const now = JSON.stringify([symbol, exchanges]);
    if (now !== shown) follow();
    shown = now;
  });
  const judging = setInterval(judge, JUDGED_MS);
  return {
    levels,
    lack,
    end: () => {
      clearInterval(judging);
      unwatch();
      stop();
    },
  };
}

function followAll(market: Market, symbol: string, take: (found: Levels | null) => void): End {
  return market.feed.subscribe({ channel: "consolidated", symbol }, (told) => {
    if (told.type === "reset") take(null);
    else if (told.type === "snapshot") take(told.data[0] ? ofConsolidated(told.data[0]) : null);
    else if (told.type === "update") take(ofConsolidated(told.data));
  });
}

function followSome(
  market: Market,
  symbol: string,
  exchanges: readonly string[],
  take: (found: Levels | null) => void,
): End {
  const isListed = (name: string): boolean =>
    market.exchanges.find((one) => one.exchange === name)?.symbols[symbol] !== null;
  const names = exchanges.filter(isListed);
  const books = new Map<string, BookRecord>();
  let frame = 0;
  const show = (): void => {
    // Books of one tick come one by one: they are added up once a frame.
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      take(ofBooks([...books.values()], names));
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
