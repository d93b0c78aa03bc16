/**
 * Volumes as levels of a log scale, and which levels the colours span. Pure.
 *
 * A level is a volume's logarithm in steps of 1/110 octave, 1 to 8191: finer than any palette's step, so that colours
 * are those of the volumes themselves, while the picture is recoloured without looking at a volume again.
 */

export const LEVELS = 8_192;
export const PER_OCTAVE = 110;
/** Of the least volume there is, 10^-8: log2 is -26.6. */
const OFFSET = 27;

/** The level of a volume; 0 for none at all. */
export function levelOf(volume: number): number {
  if (!(volume > 0)) return 0;
  const level = Math.round((Math.log2(volume) + OFFSET) * PER_OCTAVE);
  return level < 1 ? 1 : level >= LEVELS ? LEVELS - 1 : level;
}

/** The volume in the middle of a level. */
export function volumeOf(level: number): number {
  return 2 ** (level / PER_OCTAVE - OFFSET);
}

/** The levels that the palette's first and last colour stand for. */
export interface Contrast {
  readonly low: number;
  readonly high: number;
}

/** Where in the palette's steps a level lies: 0 to `steps` - 1; beyond the cut-offs the first and the last. */
export function stepOf(level: number, contrast: Contrast, steps: number): number {
  const share = (level - contrast.low) / Math.max(1, contrast.high - contrast.low);
  return share <= 0 ? 0 : share >= 1 ? steps - 1 : Math.floor(share * steps);
}

/** How many cells have which level. */
export class Histogram {
  readonly counts = new Uint32Array(LEVELS);
  total = 0;

  /** `sign` 1 to add cells, -1 to take those away that were added before. */
  count(levels: Uint16Array, sign: 1 | -1): void {
    const counts = this.counts;
    for (let i = 0; i < levels.length; i++) counts[levels[i]!]! += sign;
    this.total += sign * levels.length;
  }

  clear(): void {
    this.counts.fill(0);
    this.total = 0;
  }

  /** The least level that at least this share of the cells does not exceed; 0 where there is no cell. */
  percentile(share: number): number {
    const wanted = Math.max(1, Math.ceil(share * this.total));
    let seen = 0;
    for (let level = 0; level < LEVELS; level++) {
      seen += this.counts[level]!;
      if (seen >= wanted) return this.total ? level : 0;
    }
    return 0;
  }
}

export const LOW_SHARE = 0.05;
export const HIGH_SHARE = 0.995;
/** A quarter of an octave: the grid of automatic cut-offs, and how far the picture may be off before they move. */
const GRID = Math.round(PER_OCTAVE / 4);
const LEAST_SPAN = 2 * PER_OCTAVE;
export const USUAL: Contrast = { low: levelOf(0.01), high: levelOf(100) };

/**
 * From the 5th to the 99.5th percentile, on a grid, two octaves at least. It moves only once the data have moved by
 * more than the grid, so that colours hold still; without a `former` one it depends on the data alone.
 */
export function automatic(histogram: Histogram, former?: Contrast): Contrast {
  if (!histogram.total) return former ?? USUAL;
  const low = settled(histogram.percentile(LOW_SHARE), former?.low, Math.floor);
  const high = settled(histogram.percentile(HIGH_SHARE), former?.high, Math.ceil);
  const wide = Math.max(high, low + LEAST_SPAN);
  return former && former.low === low && former.high === wide ? former : { low, high: wide };
}

function settled(level: number, former: number | undefined, round: (value: number) => number): number {
  if (former !== undefined && Math.abs(level - former) <= GRID) return former;
  return round(level / GRID) * GRID;
}

/** Volumes to write beside a scale: 1, 2, 5 times powers of ten within the cut-offs, at most `most` of them. */
export function scaleTicks(contrast: Contrast, most: number): number[] {
  const found: number[] = [];
  const from = Math.floor(Math.log10(volumeOf(contrast.low)));
  const until = Math.ceil(Math.log10(volumeOf(contrast.high)));
  for (let power = from; power <= until; power++) {
    for (const digit of [1, 2, 5]) {
      const volume = digit * 10 ** power;
      const level = levelOf(volume);
      if (level >= contrast.low && level <= contrast.high) found.push(volume);
    }
  }
  if (found.length <= most) return found;
  const tens = found.filter((volume) => Number.isInteger(Number(Math.log10(volume).toFixed(6))));
  const rest = tens.length >= 2 ? tens : found;
  const every = Math.ceil(rest.length / most);
  return rest.filter((_, place) => place % every === 0);
}
