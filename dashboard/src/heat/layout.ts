/** Where the parts of the picture lie on its surface, in device pixels. Pure. */

export interface Layout {
  /** Device pixels of one CSS pixel. */
  readonly ratio: number;
  readonly width: number;
  readonly height: number;
  /** The cells: from 0, 0. */
  readonly plotWidth: number;
  readonly plotHeight: number;
  /** Height of an exchange's lane below the plot, and where the first begins. */
  readonly laneHeight: number;
  readonly lanesTop: number;
  /** Where the axis of time begins. */
  readonly axisTop: number;
}

const GUTTER = 78;
const AXIS = 22;
const LANE = 13;
const LEAST_PLOT = 160;

/** `width` and `height` in CSS pixels. */
export function layoutOf(width: number, height: number, ratio: number, lanes: number): Layout {
  const px = (css: number): number => Math.round(css * ratio);
  const fitting = Math.max(3, Math.min(LANE, (height - AXIS - LEAST_PLOT) / Math.max(1, lanes)));
  const laneHeight = lanes ? px(fitting) : 0;
  const plotWidth = Math.max(1, px(width) - px(GUTTER));
  const plotHeight = Math.max(1, px(height) - px(AXIS) - lanes * laneHeight - px(lanes ? 4 : 0));
  const lanesTop = plotHeight + px(lanes ? 4 : 0);
  return {
    ratio,
    width: px(width),
    height: px(height),
    plotWidth,
    plotHeight,
    laneHeight,
    lanesTop,
    axisTop: lanesTop + lanes * laneHeight,
  };
}

const TIME_STEPS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400,
];

/** Times to write on the axis, milliseconds, at least `leastMs` apart, on a grid of UTC. */
export function timeTicks(start: number, end: number, leastMs: number): { times: number[]; stepMs: number } {
  const stepMs = (TIME_STEPS.find((one) => one * 1_000 >= leastMs) ?? 7 * 86_400) * 1_000;
  const times: number[] = [];
  for (let time = Math.ceil(start / stepMs) * stepMs; time <= end; time += stepMs) times.push(time);
  return { times, stepMs };
}

/** Prices to write on the axis: 1, 2, 5 times powers of ten apart, at least `least`. */
export function priceTicks(low: number, high: number, least: number): number[] {
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((one) => one >= least * 0.999999)!;
  const first = Math.ceil(low / step);
  const last = Math.floor(high / step);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => (first + at) * step);
}

/** `03:04:05`, or `2 Jan 03:04` for long steps; UTC. */
export function clockText(time: number, stepMs: number): string {
  const text = new Date(time).toISOString();
  const clock = text.slice(11, stepMs < 60_000 ? 19 : 16);
  return stepMs >= 86_400_000 || (stepMs >= 3_600_000 && time % 86_400_000 === 0) ? dayText(time) : clock;
}

export function dayText(time: number): string {
  return new Date(time).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
}

/** `2026-01-02 03:04:05.500 UTC`. */
export function momentText(time: number): string {
  return `${new Date(time).toISOString().replace("T", " ").replace("Z", "")} UTC`;
}
