/** The way back through stored candles: a page at a time, over holes, to where they begin. Pure. */

/** Steps of a page. */
export const PAGE = 1_000;
/** Pages without a candle that are asked for at once; the next look to the left goes on. */
const MOST_EMPTY = 10;

export class Past {
  private first = NaN;
  private until = NaN;
  private oldest: number | null = null;

  /** Seconds. ``fetch``: how many candles it has found. ``begin``: a time before which there is none. */
  constructor(
    private readonly step: number,
    private readonly fetch: (from: number, to: number) => Promise<number>,
    private readonly begin: () => Promise<number>,
  ) {}

  /** The candles before the ``first`` that is there. */
  async further(first: number): Promise<void> {
    // The oldest may have gone meanwhile: they are asked for again.
    if (first !== this.first) this.first = this.until = first;
    this.oldest ??= await this.begin();
    for (let pages = 0; pages < MOST_EMPTY && this.until > this.oldest; pages++) {
      const from = this.until - PAGE * this.step;
      const found = await this.fetch(from, this.until);
      this.until = from;
      if (found > 0) return;
    }
  }
}
