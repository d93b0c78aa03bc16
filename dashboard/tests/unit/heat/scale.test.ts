import { expect, test } from "vitest";
import {
  Histogram,
  LEVELS,
  PER_OCTAVE,
  automatic,
  levelOf,
  scaleTicks,
  stepOf,
  volumeOf,
} from "../../../src/heat/scale";

test("twice the volume lies 110 levels higher, wherever it is", () => {
  for (const volume of [0.00000001, 0.003, 1, 7, 1e6, 1e12])
    expect(levelOf(2 * volume) - levelOf(volume)).toBe(PER_OCTAVE);
  expect(levelOf(1)).toBe(27 * 110);
});

test("nothing has level 0, the least there is has not, and the largest stays within", () => {
  expect(levelOf(0)).toBe(0);
  expect(levelOf(1e-8)).toBeGreaterThan(0);
  expect(levelOf(1e30)).toBe(LEVELS - 1);
  expect(levelOf(NaN)).toBe(0);
});

test("a level stands for its volume to less than half a percent", () => {
  for (const volume of [0.0123, 1.5, 99.9, 12345.678])
    expect(Math.abs(volumeOf(levelOf(volume)) / volume - 1)).toBeLessThan(0.005);
});

test("the cut-offs are the ends of the palette", () => {
  const contrast = { low: 1000, high: 2000 };
  expect([0, 999, 1000, 1500, 1999, 2000, 8000].map((level) => stepOf(level, contrast, 256))).toEqual([
    0, 0, 0, 128, 255, 255, 255,
  ]);
});

test("percentiles are those of the cells that are there, and of them only", () => {
  const histogram = new Histogram();
  histogram.count(
    Uint16Array.from({ length: 200 }, (_, at) => at + 1),
    1,
  );
  expect(histogram.percentile(0.5)).toBe(100);
  expect(histogram.percentile(0.995)).toBe(199);
  expect(histogram.percentile(1)).toBe(200);
  histogram.count(
    Uint16Array.from({ length: 100 }, (_, at) => at + 101),
    -1,
  );
  expect(histogram.percentile(1)).toBe(100);
  histogram.clear();
  expect(histogram.percentile(0.5)).toBe(0);
});

function filled(volumes: readonly number[]): Histogram {
  const histogram = new Histogram();
  histogram.count(Uint16Array.from(volumes, levelOf), 1);
  return histogram;
}

test("colours hold still while the market breathes, and follow when it moves", () => {
  const first = automatic(filled([1, 1, 2, 3, 5, 8, 13, 100]));
  expect(automatic(filled([1.1, 1.1, 2, 3, 5, 8, 13, 108]), first)).toBe(first);
  const later = automatic(filled([1, 1, 2, 3, 5, 8, 13, 400]), first);
  expect(later.high - first.high).toBeGreaterThan(1.5 * PER_OCTAVE);
  expect(later.low).toBe(first.low);
});

test("without a past the cut-offs depend on the data alone, and hold them", () => {
  const volumes = Array.from({ length: 1000 }, (_, at) => 0.5 + at / 10);
  const { low, high } = automatic(filled(volumes));
  expect(automatic(filled([...volumes].reverse()))).toEqual({ low, high });
  expect(volumeOf(low)).toBeLessThanOrEqual(volumes[50]!);
  expect(volumeOf(high)).toBeGreaterThanOrEqual(volumes[994]!);
});

test("one volume everywhere still has a scale", () => {
  const { low, high } = automatic(filled([5, 5, 5]));
  expect(high - low).toBeGreaterThanOrEqual(2 * PER_OCTAVE);
});

test("what is written beside the scale lies on it", () => {
  const contrast = { low: levelOf(0.9), high: levelOf(120) };
  expect(scaleTicks(contrast, 10)).toEqual([1, 2, 5, 10, 20, 50, 100]);
  expect(scaleTicks(contrast, 4)).toEqual([1, 10, 100]);
});
