/** One column of the heatmap: made of a record, or of several by the largest volume of each cell. Pure. */

import { parseAmount } from "./amount";
import type { HeatRecord, Missing } from "./records";
import { levelOf } from "./scale";

export const NOT_LISTED = "not_listed";

/** The cells of a side by rising bucket number; all arrays of one length. */
export interface Cells {
  /** Price of the cell's lower edge in bucket sizes. */
  readonly bucket: Float64Array;
  /** The volume exactly: whole part and hundred-millionths. */
  readonly whole: Float64Array;
  readonly part: Uint32Array;
  readonly level: Uint16Array;
  readonly exchanges: Uint8Array;
}

export interface Column {
  /** T of the (last) tick that it shows, milliseconds. */
  readonly time: number;
  /** As the record has it: `10.00000000`. */
  readonly bucketSize: string;
  readonly bids: Cells;
  readonly asks: Cells;
  /** Buckets from `low` to below `high` are known of every exchange in the sum; infinite: no limit. */
  readonly low: number;
  readonly high: number;
  /** Exchanges that were in the sum at all its ticks, and those that were not, by name. */
  readonly exchanges: readonly string[];
  readonly missing: readonly Missing[];
  /** How many ticks it is made of. */
  readonly ticks: number;
}

export function emptyCells(length: number): Cells {
  return {
    bucket: new Float64Array(length),
    whole: new Float64Array(length),
    part: new Uint32Array(length),
    level: new Uint16Array(length),
    exchanges: new Uint8Array(length),
  };
}

/** The column of a record; its cells come best first, bids before asks. */
export function columnOf(record: HeatRecord): Column {
  const size = Number(record.bucket_size);
  const count = record.data.reduce((sum, cell) => sum + (cell.side === "bid" ? 1 : 0), 0);
  const bids = emptyCells(count);
  const asks = emptyCells(record.data.length - count);
  let bid = count;
  let ask = 0;
  for (const cell of record.data) {
    const isBid = cell.side === "bid";
    const cells = isBid ? bids : asks;
    const at = isBid ? --bid : ask++;
    const volume = parseAmount(cell.volume);
    cells.bucket[at] = Math.round(Number(cell.price) / size);
    cells.whole[at] = volume.whole;
    cells.part[at] = volume.part;
    cells.level[at] = levelOf(Number(cell.volume));
    cells.exchanges[at] = cell.exchange_count;
  }
  return {
    time: Date.parse(record.timestamp),
    bucketSize: record.bucket_size,
    bids,
    asks,
    low: record.covered_low === null ? -Infinity : Math.round(Number(record.covered_low) / size),
    high: record.covered_high === null ? Infinity : Math.round(Number(record.covered_high) / size),
    exchanges: shared(record.exchanges.map((one) => one.exchange)),
    missing: shared(record.missing),
    ticks: record.ticks ?? 1,
  };
}

const lists = new Map<string, readonly unknown[]>();
/** Different lists that are remembered; then it begins anew. */
const MOST_LISTS = 1_000;

/** One list for all that are equal: thousands of columns have the same exchanges, and are told alike by it at once. */
export function shared<T>(list: readonly T[]): readonly T[] {
  const key = JSON.stringify(list);
  const known = lists.get(key);
  if (known) return known as readonly T[];
  if (lists.size >= MOST_LISTS) lists.clear();
  lists.set(key, list);
  return list;
}

/**
 * Two columns as one, by the rule of `/v1/heatmap?resolution=`: of each cell the largest volume, so that walls stay; who
 * was missing in one is missing, with its last reason; known is what was known in both. `other` is the later one.
 */
export function combined(one: Column, other: Column): Column {
  const missing = new Map([...one.missing, ...other.missing].map((item) => [item.exchange, item]));
  const exchanges = new Set([...one.exchanges, ...other.exchanges].filter((name) => !missing.has(name)));
  return {
    time: other.time,
    bucketSize: other.bucketSize,
    bids: largest(one.bids, other.bids),
    asks: largest(one.asks, other.asks),
    low: Math.max(one.low, other.low),
    high: Math.min(one.high, other.high),
    exchanges: shared([...exchanges].sort()),
    missing: shared([...missing.values()].sort((a, b) => (a.exchange < b.exchange ? -1 : 1))),
    ticks: one.ticks + other.ticks,
  };
}

function largest(one: Cells, other: Cells): Cells {
  const most = emptyCells(one.bucket.length + other.bucket.length);
  let i = 0;
  let j = 0;
  let count = 0;
  while (i < one.bucket.length || j < other.bucket.length) {
    const a = i < one.bucket.length ? one.bucket[i]! : Infinity;
    const b = j < other.bucket.length ? other.bucket[j]! : Infinity;
    const isOther = b < a || (a === b && exceeds(other, j, one, i));
    const [from, at] = isOther ? [other, j] : [one, i];
    most.bucket[count] = from.bucket[at]!;
    most.whole[count] = from.whole[at]!;
    most.part[count] = from.part[at]!;
    most.level[count] = from.level[at]!;
    most.exchanges[count] = a === b ? Math.max(one.exchanges[i]!, other.exchanges[j]!) : from.exchanges[at]!;
    count++;
    if (a <= b) i++;
    if (b <= a) j++;
  }
  return {
    bucket: most.bucket.slice(0, count),
    whole: most.whole.slice(0, count),
    part: most.part.slice(0, count),
    level: most.level.slice(0, count),
    exchanges: most.exchanges.slice(0, count),
  };
}

function exceeds(one: Cells, i: number, other: Cells, j: number): boolean {
  const difference = one.whole[i]! - other.whole[j]!;
  return difference > 0 || (difference === 0 && one.part[i]! > other.part[j]!);
}

/** Where in the cells a bucket is; -1 where it has no volume. */
export function placeOf(cells: Cells, bucket: number): number {
  let low = 0;
  let high = cells.bucket.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const found = cells.bucket[middle]!;
    if (found === bucket) return middle;
    if (found < bucket) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** The best buckets, null where a side has no cell. */
export function bestBuckets(column: Column): { readonly bid: number | null; readonly ask: number | null } {
  const { bids, asks } = column;
  return { bid: bids.bucket[bids.bucket.length - 1] ?? null, ask: asks.bucket[0] ?? null };
}

/** Whether bids lie above asks by more than a bucket's own width: exchanges that cross each other. */
export function isCrossed(column: Column): boolean {
  const { bid, ask } = bestBuckets(column);
  return bid !== null && ask !== null && bid > ask;
}

/** Who lists the symbol and was not in the sum, and why. */
export function lacking(column: Column): Missing[] {
  return column.missing.filter((one) => one.reason !== NOT_LISTED);
}
