/** The last trades of the exchanges in the sum, newest first. */
import type { App, End, Market } from "../app";
import { placesOf, rounded, shown } from "../data/decimal";
import type { TradeRecord } from "../data/types";
import { element, put } from "../shell/dom";
import { Tape, type Trade } from "./tape";

const ROWS = 60;
const SHOWN_MS = 250;
/** How far back the first ones are fetched. */
const BACK_MS = 30_000;

export function mountTrades(root: HTMLElement, market: Market): End {
  const tape = new Tape(ROWS);
  const body = element("tbody");
  const cells = Array.from({ length: ROWS }, () => addRow(body));
  const head = ["Time", "Price", "Size", "Exchange"].map((text) => element("th", { scope: "col" }, text));
  const note = element("p", { class: "quiet small" });
  root.append(
    element("h2", {}, "Last trades"),
    element(
      "table",
      { class: "trades" },
      element("caption", { class: "heard" }, "Last trades, newest first; side is the taker's"),
      element("thead", {}, element("tr", {}, ...head)),
      body,
    ),
    note,
  );
  let isNew = true;
  const show = (): void => {
    if (!isNew) return;
    isNew = false;
    const trades = tape.newest();
    const places = placesOf(trades.map((one) => one.price));
    cells.forEach((row, at) => fill(row, trades[at], places));
  };
  const showNote = (): void => {
    const isLeftOut = market.mode.value.name === "live" && market.app.socket.link.value.reduced;
    put(note, noteOf(tape.newest().length, isLeftOut));
  };
  const end = followView(market, (symbol, exchanges) => {
    tape.clear();
    isNew = true;
    return follow(market, symbol, exchanges, tape, () => (isNew = true));
  });
  const timer = window.setInterval(() => {
    show();
    showNote();
  }, SHOWN_MS);
  return () => {
    window.clearInterval(timer);
    end();
  };
}

/** ``isLeftOut``: no trades come, whatever rows are left of before. */
export function noteOf(rows: number, isLeftOut: boolean): string {
  return isLeftOut ? "left out: slow network" : rows > 0 ? "" : "none yet";
}

/** Begin anew whenever symbol or exchanges change. */
export function followView(
  market: Market,
  begin: (symbol: string, exchanges: readonly string[] | null) => End,
): End {
  let [shown, stop]: [string, End] = ["", () => undefined];
  const end = market.view.watch(({ symbol, exchanges }) => {
    const now = JSON.stringify([symbol, exchanges]);
    if (now === shown) return;
    shown = now;
    stop();
    stop = begin(symbol, exchanges);
  });
  return () => {
    end();
    stop();
  };
}

export function follow(
  market: Pick<Market, "feed" | "now"> & { app: Pick<App, "rest"> },
  symbol: string,
  exchanges: readonly string[] | null,
  tape: Tape,
  changed: () => void,
): End {
  let abort = new AbortController();
  const wanted = { channel: "trade" as const, symbol, ...(exchanges && { exchanges }) };
  const isWanted = (one: { exchange: string }): boolean =>
    exchanges === null || exchanges.includes(one.exchange);
  const fetchLast = async (signal: AbortSignal): Promise<void> => {
    const now = market.now();
    if (now === null) return;
    const range = { symbol, from: Math.floor(now - BACK_MS), to: Math.ceil(now), limit: 10_000 };
    const found = await market.app.rest.answer<TradeRecord>("/v1/trades", range, signal);
    signal.throwIfAborted();
    tape.add(found.data.filter(isWanted));
    changed();
  };
  const end = market.feed.subscribe(wanted, (told) => {
    if (told.type === "reset" || told.type === "snapshot") {
      // An answer that is on its way is about another moment.
      abort.abort();
      abort = new AbortController();
      tape.clear();
    }
    if (told.type === "snapshot") {
      tape.add(told.data);
      // What cannot be had is not missed: live trades fill the list in a moment.
      fetchLast(abort.signal).catch(() => undefined);
    }
    if (told.type === "update") tape.add([told.data]);
    changed();
  });
  return () => {
    abort.abort();
    end();
  };
}

function addRow(body: HTMLElement): HTMLElement[] {
  const cells = [element("td", { class: "number quiet" }), element("td", { class: "number" })];
  cells.push(element("td", { class: "number" }), element("td", { class: "quiet" }));
  body.append(element("tr", {}, ...cells));
  return cells;
}

function fill(row: readonly HTMLElement[], trade: Trade | undefined, places: number): void {
  const [time, price, size, exchange] = row;
  if (!time || !price || !size || !exchange) return;
  put(time, trade ? trade.timestamp.slice(11, 23) : "");
  put(price, trade ? `${trade.side === "buy" ? "▲" : "▼"} ${shown(trade.price, places)}` : "");
  put(size, trade ? rounded(trade.size, 4) : "");
  put(exchange, trade?.exchange ?? "");
  price.title = trade ? `${trade.side} ${shown(trade.size)} at ${shown(trade.price)}` : "";
  price.dataset["side"] = trade?.side === "buy" ? "bid" : "ask";
}
