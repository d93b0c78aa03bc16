/** What is known of one place of the picture, and of a whole column, in exact numbers and in words. Pure. */

import { amountText, decimalsOf, isNothing, priceText } from "./amount";
import type { Amount } from "./amount";
import { lacking, placeOf } from "./columns";
import type { Cells, Column } from "./columns";
import { momentText } from "./layout";
import { title, words } from "./marks";
import type { Scene } from "./scene";

/** A volume, and how many exchanges have it. */
export interface Volume {
  readonly text: string;
  readonly exchanges: number;
  /** Lower edge of its bucket. */
  readonly price: string;
}

export interface Reading {
  readonly slot: number;
  /** T of the tick shown, or the first and last moment of a longer slot. */
  readonly moment: string;
  /** The bucket, or the range of buckets of a row: `64,210 – 64,220`. */
  readonly prices: string;
  /** What the place is, where it is no plain volume: `empty`, `unknown: …`, `not stored`. */
  readonly state: string;
  readonly bid: Volume | null;
  readonly ask: Volume | null;
  /** Best prices at that time, as text. */
  readonly best: string;
  /** Who is not in the sum: `name: stale`. */
  readonly missing: readonly string[];
  readonly exchanges: number;
}

/** What lies at a time and a bucket (which may be a fraction). */
export function readingAt(scene: Scene, time: number, bucket: number): Reading {
  const { camera, timeline } = scene;
  const slot = timeline.slotOf(time);
  const step = camera.step;
  const first = Math.floor(bucket / step) * step;
  // What is not drawn as it has not happened yet is not read.
  const hasBegun = slot <= timeline.slotOf(scene.now);
  const column = hasBegun ? timeline.columnAt(slot) : null;
  const decimals = decimalsOf(scene.bucketSize);
  const text = (at: number): string => priceText(at * scene.size, decimals);
  const isShown = column?.bucketSize === scene.bucketSize;
  const bid = column && isShown ? volumeIn(column.bids, first, step, text) : null;
  const ask = column && isShown ? volumeIn(column.asks, first, step, text) : null;
  return {
    slot,
    moment: momentOf(scene, slot, column),
    prices: `${text(first)} – ${text(first + step)}`,
    state: stateOf(scene, slot, column, first, step, bid !== null || ask !== null),
    bid,
    ask,
    best: hasBegun ? bestText(scene, slot) : "",
    missing: column ? lacking(column).map(title) : [],
    exchanges: column?.exchanges.length ?? 0,
  };
}

/** The largest volume of the buckets [first, first + step), as the row shows it. */
function volumeIn(
  cells: Cells,
  first: number,
  step: number,
  text: (bucket: number) => string,
): Volume | null {
  let best = -1;
  for (let bucket = first; bucket < first + step; bucket++) {
    const at = placeOf(cells, bucket);
    if (at >= 0 && (best < 0 || cells.level[at]! > cells.level[best]!)) best = at;
  }
  return best < 0 ? null : volumeAt(cells, best, text);
}

function volumeAt(cells: Cells, at: number, text: (bucket: number) => string): Volume {
  return {
    text: amountText({ whole: cells.whole[at]!, part: cells.part[at]! }),
    exchanges: cells.exchanges[at]!,
    price: text(cells.bucket[at]!),
  };
}

function momentOf(scene: Scene, slot: number, column: Column | null): string {
  const { timeline, pace } = scene;
  const start = timeline.timeOf(slot);
  if (timeline.period <= pace.stored) return momentText(column?.time ?? start);
  return `${momentText(start).replace(" UTC", "")} – ${momentText(start + timeline.period).slice(11)}`;
}

function stateOf(
  scene: Scene,
  slot: number,
  column: Column | null,
  first: number,
  step: number,
  hasVolume: boolean,
): string {
  const { timeline } = scene;
  if (!column) {
    const hole = timeline.holeAt(slot);
    if (hole) return words(hole.reason);
    return timeline.timeOf(slot) >= (scene.liveAt ?? scene.now) ? "still to come" : "loading";
  }
  if (column.bucketSize !== scene.bucketSize)
    return `stored with bucket size ${bucketText(column.bucketSize)}`;
  if (!column.exchanges.length) return "blind: no exchange in the sum";
  const isCovered = first >= column.low && first + step <= column.high;
  if (hasVolume) return isCovered ? "" : "at least: not all exchanges sent this price";
  return isCovered ? "empty: zero at every exchange in the sum" : "unknown: outside of what was sent";
}

/** `10`, `0.5`. */
export function bucketText(bucketSize: string): string {
  return priceText(Number(bucketSize), decimalsOf(bucketSize));
}

function bestText(scene: Scene, slot: number): string {
  const best = scene.bests.at(scene.timeline, slot);
  if (!best) return "";
  const decimals = Math.max(2, decimalsOf(scene.bucketSize));
  const text = (price: number | null): string => (price === null ? "none" : priceText(price, decimals));
  return `${text(best.bid)} / ${text(best.ask)}`;
}

export interface Row {
  readonly price: string;
  readonly bid: string;
  readonly ask: string;
  readonly exchanges: number;
}

/** A column's cells, highest price first. */
export function rowsOf(column: Column): Row[] {
  const size = Number(column.bucketSize);
  const decimals = decimalsOf(column.bucketSize);
  const buckets = [...new Set([...column.bids.bucket, ...column.asks.bucket])].sort(
    (one, other) => other - one,
  );
  const text = (bucket: number): string => priceText(bucket * size, decimals);
  return buckets.map((bucket) => {
    const [bid, ask] = [column.bids, column.asks].map((cells) => {
      const at = placeOf(cells, bucket);
      return at < 0 ? null : volumeAt(cells, at, text);
    });
    return {
      price: text(bucket),
      bid: bid?.text ?? "",
      ask: ask?.text ?? "",
      exchanges: Math.max(bid?.exchanges ?? 0, ask?.exchanges ?? 0),
    };
  });
}

/** The column's strongest cell of a side; null: it has none. */
function wall(cells: Cells): { volume: Amount; bucket: number } | null {
  let best = -1;
  for (let at = 0; at < cells.level.length; at++)
    if (best < 0 || cells.level[at]! > cells.level[best]!) best = at;
  if (best < 0) return null;
  return { volume: { whole: cells.whole[best]!, part: cells.part[best]! }, bucket: cells.bucket[best]! };
}

/** A few sentences for who can't see the picture: where the price is, the walls, who is missing, the newest gap. */
export function summary(scene: Scene, symbol: string): string {
  const column = scene.timeline.newestBefore(Math.min(scene.now, scene.camera.edge));
  if (!column) return `${symbol}: no order book is known of this time yet.`;
  const slot = scene.timeline.slotOf(column.time);
  const decimals = decimalsOf(column.bucketSize);
  const size = Number(column.bucketSize);
  const said = [`${symbol} at ${momentText(column.time)}`];
  const best = bestText(scene, slot);
  if (best) said.push(`best bid and ask ${best}`);
  for (const [name, cells] of [
    ["bids", column.bids],
    ["asks", column.asks],
  ] as const) {
    const found = wall(cells);
    if (!found || isNothing(found.volume)) said.push(`no ${name}`);
    else
      said.push(`largest ${name} ${amountText(found.volume)} at ${priceText(found.bucket * size, decimals)}`);
  }
  const lacks = lacking(column);
  const count = column.exchanges.length + lacks.length;
  said.push(`${column.exchanges.length} of ${count} exchanges in the sum`);
  if (lacks.length) said.push(`missing ${lacks.map(title).join(", ")}`);
  const gap = scene.spans().at(-1);
  if (gap) said.push(`newest gap ${title(gap)} at ${momentText(gap.from)}`);
  return `${said.join("; ")}.`;
}
