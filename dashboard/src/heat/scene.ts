/**
 * All that the picture is made of, and what of it has changed since it was last painted. No DOM, no clock: it is told
 * what time it is.
 */

import { Camera } from "./camera";
import { bestBuckets } from "./columns";
import type { Column } from "./columns";
import { Bests, Trades, Vwap } from "./lines";
import type { Best } from "./lines";
import { Gaps, merged, seen } from "./marks";
import type { Span } from "./marks";
import { Ring } from "./ring";
import { automatic } from "./scale";
import type { Contrast } from "./scale";
import { SLOTS } from "./slots";
import { Timeline } from "./timeline";
import type { Hole, Pace } from "./timeline";

/** Slots left free behind the newest, so that the window need not move with each. */
const AHEAD = 48;
/** More changed columns than this are painted as a whole. */
const MOST_CHANGED = 48;

export class Scene {
  readonly camera: Camera;
  readonly ring = new Ring();
  readonly trades = new Trades();
  readonly vwap = new Vwap();
  readonly gaps = new Gaps();
  timeline: Timeline;
  bests: Bests;
  /** The one that is shown, as text; that of the newest column unless chosen. */
  bucketSize: string;
  contrast: Contrast;
  /** Cut-offs set by hand; null: they follow the data. */
  chosen: Contrast | null = null;
  /** Newest time that a column came for, live; null: none yet. */
  liveAt: number | null = null;
  /** The first such time. */
  firstLiveAt: number | null = null;
  now = 0;
  /** Ring columns to paint; null: all. */
  private changed: Set<number> | null = null;
  private spansMade: { readonly of: string; readonly spans: readonly Span[] } | null = null;
  private isSizeChosen = false;
  private followed: Column | null = null;

  constructor(
    readonly pace: Pace,
    readonly depth: number,
    bucketSize: string,
    columnPx?: number,
  ) {
    this.bucketSize = bucketSize;
    this.camera = new Camera(pace, columnPx);
    this.timeline = new Timeline(this.camera.zoom.period, pace);
    this.bests = new Bests(this.timeline.period, SLOTS);
    this.contrast = automatic(this.timeline.histogram);
  }

  /** Another source begins: live, or a replay. What is known of a time stays known; what is newest is to be told. */
  restart(): void {
    this.liveAt = this.firstLiveAt = null;
    this.camera.isFollowingPrice = true;
    this.followed = null;
    this.isAllChanged();
  }

  /** It is this time; whether the picture has moved. */
  tick(now: number): boolean {
    this.now = now;
    const hasMoved = this.camera.tick(now);
    const hasFollowed = this.follow();
    return this.frame() || hasMoved || hasFollowed;
  }

  /** The price at the right edge is kept in sight, also in the past; whether the picture had to move for it. */
  private follow(): boolean {
    const column = this.timeline.newestBefore(Math.min(this.now, this.camera.edge));
    if (column === null || column === this.followed) return false;
    this.followed = column;
    return this.see(column);
  }

  put(column: Column, isLive: boolean): void {
    if (isLive) {
      this.liveAt = Math.max(this.liveAt ?? 0, column.time);
      this.firstLiveAt ??= column.time;
      // Configured anew: what comes from now on is shown, unless a size was chosen.
      if (column.bucketSize !== this.bucketSize && !this.isSizeChosen) this.choose(column.bucketSize);
    }
    const [from, until] = this.timeline.put(column);
    this.touch(from, until);
  }

  putHole(from: number, until: number, hole: Hole): void {
    if (this.timeline.putHole(from, until, hole)) this.touch(from, until);
  }

  putBest(best: Best): void {
    this.bests.put(best);
  }

  /** Slots [from, until) of the timeline are others than before. */
  touch(from: number, until: number): void {
    this.spansMade = null;
    for (let slot = from; slot < until; slot++) {
      if (slot < this.timeline.first || slot >= this.timeline.end) continue;
      this.ring.put(this.timeline, slot);
      this.changed?.add(this.ring.place(slot));
    }
    if (this.changed && this.changed.size > MOST_CHANGED) this.changed = null;
  }

  /** Show columns of this bucket size; `isByHand`: whatever size comes live. */
  choose(bucketSize: string, isByHand = false): void {
    this.isSizeChosen = isByHand;
    this.followed = null;
    if (this.camera.middle !== null)
      this.camera.middle = Math.round((this.camera.middle * Number(this.bucketSize)) / Number(bucketSize));
    this.bucketSize = bucketSize;
  }

  /** Cut-offs by hand; null: from the data again. */
  setContrast(contrast: Contrast | null): void {
    this.chosen = contrast;
    this.contrast = contrast ?? automatic(this.timeline.histogram);
    this.isAllChanged();
  }

  /** Let the cut-offs follow the data; whether they have moved. To be asked now and then, not each frame. */
  adjust(isAnew = false): boolean {
    if (this.chosen) return false;
    const found = automatic(this.timeline.histogram, isAnew ? undefined : this.contrast);
    const isSame = found.low === this.contrast.low && found.high === this.contrast.high;
    if (isSame) return false;
    this.contrast = found;
    this.isAllChanged();
    return true;
  }

  /** All has to be painted anew: colours, prices, everything. */
  isAllChanged(): void {
    this.changed = null;
    this.spansMade = null;
  }

  /** What has changed since the last call; null: all. */
  takeChanges(): ReadonlySet<number> | null {
    const found = this.changed;
    this.changed = new Set();
    return found;
  }

  /** What is not known of the time that is seen, of whom and why; by records of gaps and by the columns. */
  spans(): readonly Span[] {
    const { timeline } = this;
    const [from, until] = this.camera.slots();
    const of = `${from} ${until} ${timeline.period}`;
    if (this.spansMade?.of === of) return this.spansMade.spans;
    const told = this.gaps.within(timeline.timeOf(from), timeline.timeOf(until));
    const spans = merged(told, seen(timeline, from, until), Math.max(timeline.period, this.pace.stored));
    this.spansMade = { of, spans };
    return spans;
  }

  /** Slots [from, until) that are seen and have begun: in a replay later ones may be known, which have not happened yet. */
  slots(): readonly [number, number] {
    const [from, until] = this.camera.slots();
    return [from, Math.min(until, this.timeline.slotOf(this.now) + 1)];
  }

  spansChanged(): void {
    this.spansMade = null;
  }

  /** All buckets of a heatmap, and some more, fit into the height, around the price. */
  fit(): void {
    this.camera.fit(2 * this.depth * 1.15);
    this.camera.isFollowingPrice = true;
    const column = this.timeline.newestBefore(Math.min(this.now, this.camera.edge));
    if (column) {
      this.camera.middle = null;
      this.see(column);
    }
  }

  /** Price of one bucket. */
  get size(): number {
    return Number(this.bucketSize);
  }

  /** Window, zoom and rows follow the camera; whether all was put anew. */
  frame(): boolean {
    if (this.timeline.period !== this.camera.zoom.period) this.changePeriod(this.camera.zoom.period);
    this.moveWindow();
    return this.anchor();
  }

  private see(column: Column): boolean {
    const { bid, ask } = bestBuckets(column);
    if (column.bucketSize !== this.bucketSize || (bid === null && ask === null)) return false;
    return this.camera.see(((bid ?? ask!) + (ask ?? bid!) + 1) / 2);
  }

  private moveWindow(): void {
    const { camera, timeline } = this;
    const [from, until] = camera.slots();
    let first = timeline.first;
    if (until + AHEAD / 2 > timeline.end) first = until + AHEAD - timeline.length;
    if (from < first) first = Math.max(from - timeline.length / 8, until - timeline.length);
    if (first === timeline.first) return;
    first = Math.floor(first);
    const [oldFirst, oldEnd] = [timeline.first, timeline.end];
    timeline.moveTo(first);
    this.bests.moveTo(first);
    this.spansMade = null;
    if (Math.abs(first - oldFirst) > MOST_CHANGED) {
      this.ring.putAll(timeline);
      this.changed = null;
    } else if (first > oldFirst) this.touch(oldEnd, timeline.end);
    else this.touch(first, oldFirst);
  }

  private anchor(): boolean {
    const { camera, ring } = this;
    if (camera.middle === null) return false;
    const [low, high] = [camera.bucketAt(camera.height), camera.bucketAt(0)];
    const isSame = ring.step === camera.step && ring.bucketSize === this.bucketSize;
    if (isSame && ring.holds(low, high)) return false;
    ring.anchor((low + high) / 2, camera.step, this.bucketSize);
    ring.putAll(this.timeline);
    this.changed = null;
    return true;
  }

  /** Columns that make up a whole new slot are taken along; the rest is history's to tell. */
  private changePeriod(period: number): void {
    const former = this.timeline;
    this.timeline = new Timeline(period, this.pace);
    this.bests = new Bests(period, SLOTS);
    const [from, until] = this.camera.slots();
    this.timeline.moveTo(Math.max(from - 64, until + AHEAD - this.timeline.length));
    this.bests.moveTo(this.timeline.first);
    if (period > former.period) this.takeAlong(former);
    this.ring.putAll(this.timeline);
    this.isAllChanged();
  }

  private takeAlong(former: Timeline): void {
    const each = this.timeline.period / former.period;
    if (!Number.isInteger(each)) return;
    for (let slot = this.timeline.first; slot < this.timeline.end; slot++) {
      const columns: Column[] = [];
      let isWhole = true;
      for (let at = slot * each; at < (slot + 1) * each && isWhole; at++) {
        const column = former.columnAt(at);
        if (column) columns.push(column);
        else isWhole = false;
      }
      if (!isWhole) continue;
      for (const column of new Set(columns)) this.timeline.put(column);
    }
  }
}
