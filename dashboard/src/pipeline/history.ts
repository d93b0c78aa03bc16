/** Values over time by name, as uPlot takes them: a bounded piece, null where nothing was known. Pure. */

export class History {
  private readonly times: number[] = [];
  private readonly values = new Map<string, (number | null)[]>();

  /** ``most``: moments that are kept. */
  constructor(private readonly most: number) {}

  /** What was known at ``seconds``; names that are new were unknown before, others that are missing are now. */
  add(seconds: number, values: ReadonlyMap<string, number | null>): void {
    for (const name of values.keys())
      if (!this.values.has(name))
        this.values.set(
          name,
          this.times.map(() => null),
        );
    this.times.push(seconds);
    for (const [name, list] of this.values) list.push(values.get(name) ?? null);
    if (this.times.length > this.most) this.shift();
  }

  get names(): string[] {
    return [...this.values.keys()];
  }

  /** Times in seconds, then the values by name. */
  get data(): [number[], ...(number | null)[][]] {
    return [this.times, ...this.values.values()];
  }

  /** The newest value. */
  last(name: string): number | null {
    return this.values.get(name)?.at(-1) ?? null;
  }

  private shift(): void {
    this.times.shift();
    for (const [name, list] of this.values) {
      list.shift();
      if (list.every((one) => one === null)) this.values.delete(name);
    }
  }
}
