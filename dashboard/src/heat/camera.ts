/**
 * What part of time and price is seen, and where it lies on the surface, in device pixels. Pure.
 *
 * Columns and rows are whole pixels wide, and never less than one: a slot or a bucket is never dropped by scaling.
 * Further out, slots are longer and rows hold more buckets, each showing the largest volume in it.
 */

import type { Pace } from "./timeline";

export interface Zoom {
  /** Milliseconds of a slot. */
  readonly period: number;
  readonly columnPx: number;
}

const WIDTHS = [2, 3, 4, 6, 8, 12, 16, 24];
const PERIODS = [1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000];
/** Pixels of a bucket; below 1 a row holds several. */
export const BUCKET_PX = [
  1 / 64,
  1 / 32,
  1 / 16,
  1 / 8,
  1 / 4,
  1 / 2,
  1,
  2,
  3,
  4,
  6,
  8,
  10,
  12,
  16,
  20,
  24,
  32,
];
/** Rows seen at once; the ring has some more, so that it need not be put anew with each move. */
const MOST_ROWS = 900;
/** How far the price may be from the middle, of half the height, before the picture follows it. */
const LEEWAY = 0.55;

/** All widths of time, from near to far: the finest slots that are two pixels wide or more. */
export function zooms(pace: Pace): Zoom[] {
  const longer = [pace.stored, ...PERIODS].filter((one) => one >= pace.stored && one % pace.stored === 0);
  const periods = [...new Set([pace.tick, ...longer])].sort((one, other) => one - other);
  const found: Zoom[] = [];
  periods.forEach((period, place) => {
    const finer = place ? periods[place - 1]! / WIDTHS[0]! : 0;
    for (const columnPx of [...WIDTHS].reverse()) {
      if (period / columnPx > finer) found.push({ period, columnPx });
    }
  });
  return found;
}

export class Camera {
  width = 1;
  height = 1;
  /** Time at the right edge, milliseconds; null: it follows the newest. */
  right: number | null = null;
  /** Buckets at half the height; null: not known yet. */
  middle: number | null = null;
  isFollowingPrice = true;
  /** Place in `levels`. */
  level: number;
  readonly levels: readonly Zoom[];
  private bucketLevel: number;
  /** Free pixels right of the newest column while it follows. */
  margin = 0;
  private newest = 0;
  private left = 0;

  constructor(pace: Pace, columnPx = 4) {
    this.levels = zooms(pace);
    this.level = this.levels.findIndex((one) => one.columnPx === columnPx);
    this.bucketLevel = BUCKET_PX.indexOf(6);
  }

  get zoom(): Zoom {
    return this.levels[this.level]!;
  }

  get bucketPx(): number {
    return BUCKET_PX[this.bucketLevel]!;
  }

  /** Buckets of a row: a power of two, so many that the rows of a high screen are no more than the ring has. */
  get step(): number {
    let step = 1;
    while (this.bucketPx * step < 1 || this.height > MOST_ROWS * this.bucketPx * step) step *= 2;
    return step;
  }

  get rowPx(): number {
    return this.bucketPx * this.step;
  }

  get msPerPx(): number {
    return this.zoom.period / this.zoom.columnPx;
  }

  get isLive(): boolean {
    return this.right === null;
  }

  /** The time at the right edge, on the grid of pixels, so that all columns move as one. */
  get edge(): number {
    const right = this.right ?? this.newest + this.margin * this.msPerPx;
    return Math.round(right / this.msPerPx) * this.msPerPx;
  }

  get start(): number {
    return this.edge - this.width * this.msPerPx;
  }

  /** It is this time now; whether the picture has moved by a pixel or more. */
  tick(now: number): boolean {
    const former = this.edge;
    this.newest = now;
    return this.edge !== former;
  }

  /** The best prices lie around this bucket now; whether the picture follows. */
  see(bucket: number): boolean {
    if (this.middle === null) {
      this.middle = Math.round(bucket);
      return true;
    }
    if (!this.isFollowingPrice) return false;
    if (Math.abs(bucket - this.middle) * this.bucketPx <= (LEEWAY * this.height) / 2) return false;
    this.middle = Math.round(bucket);
    return true;
  }

  /** The nearest zoom of prices at which so many buckets fit. */
  fit(buckets: number): void {
    const found = BUCKET_PX.findLastIndex((px) => px * buckets <= this.height);
    this.bucketLevel = Math.max(0, found);
  }

  xOf(time: number): number {
    return this.width - (this.edge - time) / this.msPerPx;
  }

  timeAt(x: number): number {
    return this.edge - (this.width - x) * this.msPerPx;
  }

  /** The upper edge of a place given in buckets. */
  yOf(bucket: number): number {
    return Math.round(this.height / 2) - (bucket - (this.middle ?? 0)) * this.bucketPx;
  }

  bucketAt(y: number): number {
    return (this.middle ?? 0) + (Math.round(this.height / 2) - y) / this.bucketPx;
  }

  /** Slots [from, until) that are seen at all. */
  slots(): readonly [number, number] {
    const { period } = this.zoom;
    return [Math.floor(this.start / period), Math.floor((this.edge - 1) / period) + 1];
  }

  panTime(px: number): void {
    this.right = this.edge + px * this.msPerPx;
    if (this.right >= this.newest + this.margin * this.msPerPx) this.right = null;
  }

  /** By whole buckets, so that rows stay where their codes are; what is left over counts with the next move. */
  panPrice(px: number): void {
    if (this.middle === null) return;
    this.left += px / this.bucketPx;
    const buckets = Math.trunc(this.left);
    if (!buckets) return;
    this.left -= buckets;
    this.isFollowingPrice = false;
    this.middle += buckets;
  }

  /** Nearer (1) or further (-1) in time; what is at `x` stays there, or the newest does. Whether anything changed. */
  zoomTime(by: number, x: number): boolean {
    const level = Math.min(this.levels.length - 1, Math.max(0, this.level - by));
    if (level === this.level) return false;
    const time = this.timeAt(x);
    this.level = level;
    if (this.right !== null) this.right = time + (this.width - x) * this.msPerPx;
    return true;
  }

  /** Nearer or further in price; what is at `y` stays there. */
  zoomPrice(by: number, y: number): boolean {
    const level = Math.min(BUCKET_PX.length - 1, Math.max(0, this.bucketLevel + by));
    if (level === this.bucketLevel) return false;
    const bucket = this.bucketAt(y);
    this.bucketLevel = level;
    if (this.middle !== null && !this.isFollowingPrice) this.middle += Math.round(bucket - this.bucketAt(y));
    return true;
  }

  /** The range [from, until) as wide as it can be seen. */
  show(from: number, until: number): void {
    const level = this.levels.findIndex((one) => ((until - from) / one.period) * one.columnPx <= this.width);
    this.level = level < 0 ? this.levels.length - 1 : level;
    this.right = until;
  }

  /** Back to what is newest, and to the price. */
  home(): void {
    this.right = null;
    this.isFollowingPrice = true;
  }
}
