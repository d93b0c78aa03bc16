/**
 * The columns that are known, by slot of time, from history and live alike. Pure.
 *
 * In which order they come decides nothing: a slot shows the same whether its ticks came live, from the database, or
 * both. So the two join without a seam.
 */

import { combined } from "./columns";
import type { Column } from "./columns";
import { Histogram } from "./scale";
import { SLOTS, Slots } from "./slots";

/** Milliseconds from tick to tick, and from one that is stored to the next. */
export interface Pace {
  readonly tick: number;
  readonly stored: number;
}

/** A time of which there is no column. */
export interface Hole {
  readonly reason: string;
}

interface Entry {
  readonly column: Column | null;
  readonly hole: Hole | null;
  /** It stands for a tick that is not stored: the stored one before it is shown on. */
  readonly isHeld: boolean;
  /** History has told of the whole slot: what it lacks is not stored. */
  readonly isTold: boolean;
}

export class Timeline {
  readonly histogram = new Histogram();
  /** Bucket sizes met, as texts. */
  readonly sizes = new Set<string>();
  private readonly slots: Slots<Entry>;

  /** `period`: milliseconds of a slot; the tick's, or a multiple of the stored ticks'. */
  constructor(
    readonly period: number,
    readonly pace: Pace,
    length: number = SLOTS,
  ) {
    this.slots = new Slots<Entry>(length, (entry) => this.count(entry, -1));
  }

  get first(): number {
    return this.slots.first;
  }

  get end(): number {
    return this.slots.end;
  }

  get length(): number {
    return this.slots.length;
  }

  slotOf(time: number): number {
    return Math.floor(time / this.period);
  }

  timeOf(slot: number): number {
    return slot * this.period;
  }

  /** The end of the slot of a time. */
  after(time: number): number {
    return this.timeOf(this.slotOf(time) + 1);
  }

  columnAt(slot: number): Column | null {
    return this.slots.get(slot)?.column ?? null;
  }

  holeAt(slot: number): Hole | null {
    return this.slots.get(slot)?.hole ?? null;
  }

  isKnown(slot: number): boolean {
    return this.slots.get(slot) !== undefined;
  }

  moveTo(first: number): void {
    this.slots.moveTo(first);
  }

  clear(): void {
    this.slots.clear();
    this.histogram.clear();
    this.sizes.clear();
  }

  unknown(from: number, until: number): [number, number][] {
    return this.slots.unknown(from, until);
  }

  /** The newest slots [start, end) between these that history is to tell of; null: none. */
  untold(from: number, until: number): [number, number] | null {
    const first = Math.max(from, this.first);
    let end = Math.min(until, this.end);
    while (end > first && !this.isWanted(end - 1)) end--;
    let start = end;
    while (start > first && this.isWanted(start - 1)) start--;
    return start < end ? [start, end] : null;
  }

  /** History has told all that there is of these slots. */
  confirm(from: number, until: number): void {
    const end = Math.min(until, this.end);
    for (let slot = Math.max(from, this.first); slot < end; slot++) {
      const entry = this.slots.get(slot);
      if (entry && !entry.isTold) this.set(slot, { ...entry, isTold: true });
    }
  }

  /**
   * A column, of a tick or of the database; the slots [from, until) that changed.
   *
   * Slots longer than the stored pace take stored ticks alone, so that live shows what history will show.
   */
  put(column: Column): [number, number] {
    const slot = this.slotOf(column.time);
    if (this.period >= this.pace.stored) return this.putLong(slot, column);
    const isStored = column.time % this.pace.stored === 0;
    const held = isStored ? Math.max(1, Math.round(this.pace.stored / this.period)) : 1;
    this.set(slot, { column, hole: null, isHeld: false, isTold: false });
    for (let at = slot + 1; at < slot + held; at++) {
      const known = this.slots.get(at);
      if (!known?.column || known.isHeld) this.set(at, { column, hole: null, isHeld: true, isTold: false });
    }
    return [slot, slot + held];
  }

  /** Nothing is stored of these slots, for this reason. What is known of them stays. Whether that changed any. */
  putHole(from: number, until: number, hole: Hole): boolean {
    const unknown = this.slots.unknown(from, until);
    for (const [start, end] of unknown) {
      for (let slot = start; slot < end; slot++)
        this.set(slot, { column: null, hole, isHeld: false, isTold: true });
    }
    return unknown.length > 0;
  }

  /** History is to tell anew of holes of this reason from a slot on; they are shown until it has. */
  doubt(from: number, reason: string): void {
    for (let slot = Math.max(from, this.first); slot < this.end; slot++) {
      const entry = this.slots.get(slot);
      if (entry?.hole?.reason === reason && entry.isTold) this.set(slot, { ...entry, isTold: false });
    }
  }

  /** The newest column before a time, looking back through the window. */
  newestBefore(time: number): Column | null {
    for (let slot = Math.min(this.slotOf(time), this.end - 1); slot >= this.first; slot--) {
      const found = this.columnAt(slot);
      if (found) return found;
    }
    return null;
  }

  private putLong(slot: number, column: Column): [number, number] {
    if (column.time % this.pace.stored !== 0) return [slot, slot];
    const known = this.columnAt(slot);
    const [one, other] = known && known.time > column.time ? [column, known] : [known, column];
    // A size that was changed within the slot: the later one is shown.
    const isSum = one !== null && one.bucketSize === other.bucketSize;
    const whole = isSum ? this.within(combined(one, other)) : other;
    const isTold = this.slots.get(slot)?.isTold ?? false;
    this.set(slot, { column: whole, hole: null, isHeld: false, isTold });
    return [slot, slot + 1];
  }

  /** Nothing is known of it, or only a doubted hole; or, of a longer slot, live has not seen all of its ticks. */
  private isWanted(slot: number): boolean {
    const entry = this.slots.get(slot);
    if (!entry || (entry.hole && !entry.isTold)) return true;
    const isLong = this.period > this.pace.stored;
    return (
      isLong && entry.column !== null && !entry.isTold && entry.column.ticks < this.period / this.pace.stored
    );
  }

  /** History that is asked for twice has no more ticks than the slot has. */
  private within(column: Column): Column {
    const most = this.period / this.pace.stored;
    return column.ticks > most ? { ...column, ticks: most } : column;
  }

  private set(slot: number, entry: Entry): void {
    if (!this.slots.set(slot, entry)) return;
    this.count(entry, 1);
  }

  private count(entry: Entry, sign: 1 | -1): void {
    if (!entry.column) return;
    if (sign > 0) this.sizes.add(entry.column.bucketSize);
    this.histogram.count(entry.column.bids.level, sign);
    this.histogram.count(entry.column.asks.level, sign);
  }
}
