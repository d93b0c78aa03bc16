/**
 * The heatmap's own panel on a market that is made up: 1,024 cells a column, the ring full from the beginning, 20 columns
 * and 100 trades a second as texts, as a socket brings them. Measured: each frame's interval, and all script within it.
 */

import type { Market, Mode, Place, View } from "../src/app";
import type { SwitchFeed } from "../src/data/feed";
import { Store } from "../src/data/store";
import type { Channel, Listener, Wanted } from "../src/data/types";
import { SLOTS } from "../src/heat/slots";
import { Keys } from "../src/shell/keys";

const TICK_MS = 50;
const CELLS = 1_024;
const SIZE = 10;
const START = Date.UTC(2026, 0, 2);

export interface Frames {
  /** Milliseconds from frame to frame, and of script within each. */
  intervals: number[];
  scripts: number[];
  columns: number;
}

declare global {
  interface Window {
    heatFrames: Frames;
  }
}

const found: Frames = (window.heatFrames = { intervals: [], scripts: [], columns: 0 });
let script = 0;

function timed<T>(run: () => T): T {
  const before = performance.now();
  try {
    return run();
  } finally {
    script += performance.now() - before;
  }
}

const plain = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (run) => plain((at) => timed(() => run(at)));

let seed = 7;
function random(): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
  return seed / 2 ** 31;
}

/** A column's text; walls stay for a while, the price wanders. */
const walls = Array.from({ length: 200 }, () => 5 + 200 * random());
let middle = 6_400;
function text(number: number): string {
  middle += Math.round(2 * random() - 1);
  const data = [];
  for (const side of ["bid", "ask"]) {
    for (let at = 0; at < CELLS / 2; at++) {
      const bucket = side === "bid" ? middle - at : middle + 1 + at;
      const volume = walls[bucket % walls.length]! * (0.6 + 0.4 * random());
      data.push({
        price: (bucket * SIZE).toFixed(8),
        volume: volume.toFixed(8),
        intensity: "0.50000000",
        side,
        exchange_count: 7,
      });
    }
  }
  return JSON.stringify({
    symbol: "BTCUSDT",
    timestamp: new Date(START + number * TICK_MS).toISOString(),
    bucket_size: SIZE.toFixed(8),
    data,
    covered_low: ((middle - 400) * SIZE).toFixed(8),
    covered_high: ((middle + 400) * SIZE).toFixed(8),
    exchanges: ["north", "east", "west"].map((exchange) => ({ exchange })),
    missing: number % 400 < 40 ? [{ exchange: "south", reason: "stale" }] : [],
  });
}

const listeners = new Map<Channel, Listener<Channel>>();
const feed = {
  subscribe: (wanted: Wanted, listener: Listener<Channel>) => {
    listeners.set(wanted.channel, listener);
    return () => listeners.delete(wanted.channel);
  },
} as unknown as SwitchFeed;

const began = performance.now();
const names = ["east", "north", "south", "west"];
const empty = {
  data: [],
  page: { next_cursor: null, has_more: false },
  meta: { complete: true, gaps: [], more_gaps: false },
};
const market = {
  app: {
    rest: {
      answer: () => Promise.resolve(empty),
      pages: async function* () {
        yield empty;
      },
    },
    keys: new Keys(document),
    theme: new Store("dark"),
    say: () => undefined,
    clock: { now: () => null },
  },
  symbols: [
    {
      symbol: "BTCUSDT",
      bucket_size: "10.00",
      heatmap_depth: CELLS / 2,
      tick_ms: TICK_MS,
      store_interval_ms: TICK_MS,
      exchanges: names,
    },
  ],
  exchanges: names.map((exchange) => ({ exchange, symbols: {}, slots: [] })),
  view: new Store<View>({ symbol: "BTCUSDT", exchanges: null, from: null, to: null }),
  mode: new Store<Mode>({ name: "live" }),
  feed,
  place: new Store<Place | null>(null),
  now: () => START + SLOTS * TICK_MS + performance.now() - began,
} as unknown as Market;

const { mountHeat } = await import("../src/heat");
document.body.style.height = "100vh";
mountHeat(document.body, market);
(document.body.firstElementChild as HTMLElement).style.height = "100%";

function tell(channel: Channel, data: unknown): void {
  listeners.get(channel)?.({ type: "update", data: data as never, conflated: 0 });
}

let number = 0;
let trades = 0;
/** Texts are made outside of what is measured. */
let next = "";
function column(): void {
  const record = JSON.parse(next) as { timestamp: string };
  tell("heatmap", record);
  const bid = (middle + 0.9) * SIZE;
  const level = (price: number) => [{ price: price.toFixed(8), size: "1.00000000", exchange_count: 1 }];
  tell("consolidated", { timestamp: record.timestamp, bids: level(bid), asks: level(bid + 1.5) });
  for (let one = 0; one < 5; one++) {
    tell("trade", {
      exchange: "west",
      timestamp: record.timestamp,
      trade_id: String(trades++),
      price: (bid + 20 * random() - 10).toFixed(8),
      size: (random() ** 4 * 20).toFixed(8),
      side: random() < 0.5 ? "buy" : "sell",
    });
  }
  found.columns++;
}

function bring(): void {
  const due = Math.floor((performance.now() - began) / TICK_MS) + SLOTS;
  for (; number < due; number++) {
    next = text(number);
    if (number < SLOTS) column();
    else timed(column);
  }
}
// The panel knows its size only after its first frame, and has to before its window can be filled.
setTimeout(() => {
  bring();
  setInterval(bring, TICK_MS / 2);
  let former = performance.now();
  const count = (at: number): void => {
    found.intervals.push(at - former);
    found.scripts.push(script);
    script = 0;
    former = at;
    plain(count);
  };
  setTimeout(() => plain(count), 2_000);
}, 300);
