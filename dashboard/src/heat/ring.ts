/**
 * The plane of the picture: codes of 2048 columns × 1024 rows; columns are a ring by slot, rows a window of prices. Pure.
 *
 * A row holds `step` buckets and shows the largest of them, so that walls stay however far one zooms out.
 */

import {
  ABSENT,
  ASK,
  ASK_BOUND,
  BID,
  BID_BOUND,
  BLIND,
  GAP,
  LEVEL_MASK,
  OTHER,
  UNCOVERED,
  ZERO,
  hasVolume,
} from "./codes";
import type { Cells, Column } from "./columns";
import { SLOTS } from "./slots";
import type { Timeline } from "./timeline";

export const ROWS = 1_024;

/** What lies where on the drawing surface and in the ring, for one copy without a seam. */
export interface Piece {
  readonly place: number;
  readonly slot: number;
  readonly count: number;
}

export class Ring {
  readonly codes: Uint16Array;
  /** Row 0 holds buckets from `top * step` to below `(top + 1) * step`. */
  top = 0;
  step = 1;
  bucketSize = "";

  constructor(
    readonly columns: number = SLOTS,
    readonly rows: number = ROWS,
  ) {
    this.codes = new Uint16Array(columns * rows);
  }

  /** Where a slot lies. */
  place(slot: number): number {
    return ((slot % this.columns) + this.columns) % this.columns;
  }

  /** The row of a bucket; not in 0 … rows - 1: it is outside the window. */
  rowOf(bucket: number): number {
    return this.top - Math.floor(bucket / this.step);
  }

  /** The first bucket of a row. */
  bucketOf(row: number): number {
    return (this.top - row) * this.step;
  }

  /** Whether all buckets between these are in the window. */
  holds(low: number, high: number): boolean {
    return this.rowOf(high) >= 0 && this.rowOf(low) < this.rows;
  }

  /** The window lies around the bucket; all columns have to be put anew. */
  anchor(middle: number, step: number, bucketSize: string): void {
    this.step = step;
    this.bucketSize = bucketSize;
    this.top = Math.floor(middle / step) + (this.rows >> 1);
  }

  /** Codes of one slot, as the timeline has it. */
  put(timeline: Timeline, slot: number): void {
    const column = timeline.columnAt(slot);
    if (column) this.putColumn(this.place(slot), column);
    else this.fill(this.place(slot), 0, this.rows, timeline.holeAt(slot) ? GAP : ABSENT);
  }

  /** All slots of the timeline's window. */
  putAll(timeline: Timeline): void {
    this.codes.fill(ABSENT);
    for (let slot = timeline.first; slot < timeline.end; slot++) {
      if (timeline.isKnown(slot)) this.put(timeline, slot);
    }
  }

  /** The slots [from, until) as parts of the ring that are not cut by its end. */
  pieces(from: number, until: number): Piece[] {
    const found: Piece[] = [];
    for (let slot = from; slot < until;) {
      const place = this.place(slot);
      const count = Math.min(until - slot, this.columns - place);
      found.push({ place, slot, count });
      slot += count;
    }
    return found;
  }

  private putColumn(place: number, column: Column): void {
    if (column.bucketSize !== this.bucketSize) return this.fill(place, 0, this.rows, OTHER);
    if (!column.exchanges.length) return this.fill(place, 0, this.rows, BLIND);
    const { step, rows, top } = this;
    // A row is covered if all of its buckets are: from ceil(low / step) to below floor(high / step).
    const first = clamp(top - Math.floor(column.high / step) + 1, 0, rows);
    const end = clamp(top - Math.ceil(column.low / step) + 1, first, rows);
    this.fill(place, 0, first, UNCOVERED);
    this.fill(place, first, end, ZERO);
    this.fill(place, end, rows, UNCOVERED);
    this.putCells(place, column.bids, first, end, BID, BID_BOUND);
    this.putCells(place, column.asks, first, end, ASK, ASK_BOUND);
  }

  private putCells(
    place: number,
    cells: Cells,
    first: number,
    end: number,
    known: number,
    bound: number,
  ): void {
    const { codes, columns, rows, step, top } = this;
    const { bucket, level } = cells;
    for (let i = 0; i < bucket.length; i++) {
      const row = top - Math.floor(bucket[i]! / step);
      if (row < 0 || row >= rows) continue;
      const at = row * columns + place;
      const former = codes[at]!;
      if (hasVolume(former) && (former & LEVEL_MASK) >= level[i]!) continue;
      codes[at] = (row >= first && row < end ? known : bound) | level[i]!;
    }
  }

  private fill(place: number, from: number, until: number, code: number): void {
    const { codes, columns } = this;
    for (let at = from * columns + place; at < until * columns; at += columns) codes[at] = code;
  }
}

function clamp(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}
