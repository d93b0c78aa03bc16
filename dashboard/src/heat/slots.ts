/** Values by slot of time: a window of fixed length over all slots, each value in the ring place of its slot. Pure. */

export const SLOTS = 2_048;

export class Slots<T> {
  private readonly values: (T | undefined)[];
  private start = 0;

  /** `left`: told of each value that leaves the window, or is replaced. */
  constructor(
    readonly length: number = SLOTS,
    private readonly left: (value: T, slot: number) => void = () => undefined,
  ) {
    this.values = new Array<T | undefined>(length).fill(undefined);
  }

  /** The first slot of the window. */
  get first(): number {
    return this.start;
  }

  /** The slot behind the window. */
  get end(): number {
    return this.start + this.length;
  }

  has(slot: number): boolean {
    return slot >= this.start && slot < this.end;
  }

  get(slot: number): T | undefined {
    return this.has(slot) ? this.values[this.place(slot)] : undefined;
  }

  /** Whether the slot is in the window, and so has the value now. */
  set(slot: number, value: T): boolean {
    if (!this.has(slot)) return false;
    const place = this.place(slot);
    const former = this.values[place];
    if (former !== undefined) this.left(former, slot);
    this.values[place] = value;
    return true;
  }

  /** The window begins at another slot; what is then outside of it is forgotten. */
  moveTo(first: number): void {
    const by = first - this.start;
    if (!by) return;
    const [from, until] =
      Math.abs(by) >= this.length
        ? [this.start, this.end]
        : by > 0
          ? [this.start, first]
          : [this.end + by, this.end];
    for (let slot = from; slot < until; slot++) this.drop(slot);
    this.start = first;
  }

  clear(): void {
    for (let slot = this.start; slot < this.end; slot++) this.drop(slot);
  }

  /** Ranges [from, until) between these slots, within the window, for which there is no value. */
  unknown(from: number, until: number): [number, number][] {
    const found: [number, number][] = [];
    const end = Math.min(until, this.end);
    for (let slot = Math.max(from, this.start); slot < end; slot++) {
      if (this.values[this.place(slot)] !== undefined) continue;
      const last = found[found.length - 1];
      if (last && last[1] === slot) last[1] = slot + 1;
      else found.push([slot, slot + 1]);
    }
    return found;
  }

  place(slot: number): number {
    return ((slot % this.length) + this.length) % this.length;
  }

  private drop(slot: number): void {
    const place = this.place(slot);
    const former = this.values[place];
    if (former === undefined) return;
    this.left(former, slot);
    this.values[place] = undefined;
  }
}
