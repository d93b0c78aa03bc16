/** Candles, volume and volume delta as lightweight-charts draws them; the library's logo stays, as its licence asks. */
import {
  CandlestickSeries,
  createChart,
  HistogramSeries,
  LineSeries,
  type CandlestickData,
  type HistogramData,
  type IChartApi,
  type ISeriesApi,
  type LineData,
  type UTCTimestamp,
  type WhitespaceData,
} from "lightweight-charts";
import { isHole, type Bar, type Hole } from "./candledata";
import type { Point } from "./flow";

type Color = (name: string) => string;

export class CandleChart {
  private readonly chart: IChartApi;
  private readonly candles: ISeriesApi<"Candlestick">;
  private readonly volume: ISeriesApi<"Histogram">;
  private readonly delta: ISeriesApi<"Line">;
  private bars: readonly (Bar | Hole)[] = [];
  private points: readonly Point[] = [];

  /** ``hovered``: the bar under the pointer, null where there is none. */
  constructor(
    place: HTMLElement,
    private readonly color: Color,
    hovered: (bar: Bar | null) => void,
  ) {
    this.chart = createChart(place, {
      autoSize: true,
      layout: { attributionLogo: true, fontFamily: "system-ui, sans-serif", panes: { enableResize: false } },
      rightPriceScale: { borderVisible: false },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: true, rightOffset: 3 },
      handleScroll: { vertTouchDrag: false },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, {}, 0);
    this.volume = this.chart.addSeries(
      HistogramSeries,
      { priceScaleId: "", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false },
      0,
    );
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
    this.candles.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.24 } });
    this.delta = this.chart.addSeries(
      LineSeries,
      { lineWidth: 2, priceFormat: { type: "volume" }, priceLineVisible: false, title: "CVD" },
      1,
    );
    const [main, lower] = this.chart.panes();
    main?.setStretchFactor(3);
    lower?.setStretchFactor(1);
    this.chart.subscribeCrosshairMove(({ time }) => {
      const found = this.bars.find((one) => one.time === time);
      hovered(found && !isHole(found) ? found : null);
    });
    this.paint();
  }

  /** The whole picture; where only the end has changed, only that is drawn anew. */
  show(bars: readonly (Bar | Hole)[], isSame: boolean): void {
    const before = this.bars;
    this.bars = bars;
    const changed = isSame ? bars.findIndex((one, at) => !alike(one, before[at])) : 0;
    if (changed < 0) return;
    // Later than anything there: the library takes them one by one. Otherwise all anew, which keeps the place, too.
    const last = before.at(-1);
    if (isSame && last && changed >= before.length - 1 && (bars[changed]?.time ?? 0) >= last.time) {
      for (const one of bars.slice(changed)) {
        this.candles.update(this.candleOf(one));
        this.volume.update(this.volumeOf(one));
      }
      return;
    }
    this.candles.setData(bars.map((one) => this.candleOf(one)));
    this.volume.setData(bars.map((one) => this.volumeOf(one)));
  }

  showDelta(points: readonly Point[]): void {
    const before = this.points;
    this.points = points;
    const last = before.length - 1;
    const [old, same] = [before[last - 1], points[last - 1]];
    // A replay that begins anew may have an earlier end: that is no continuation.
    const isLater = (points[last]?.time ?? 0) >= (before[last]?.time ?? Infinity);
    const isSame = old?.time === same?.time && old?.value === same?.value && old?.isCut === same?.isCut;
    if (last > 0 && isLater && isSame) {
      for (const point of points.slice(last)) this.delta.update(pointOf(point));
      return;
    }
    this.delta.setData(points.map(pointOf));
  }

  /** Told when the oldest bar comes near. */
  onLeft(near: () => void): void {
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < 10) near();
    });
  }

  toEnd(): void {
    this.chart.timeScale().resetTimeScale();
    this.chart.timeScale().scrollToRealTime();
  }

  /** Move by bars, or zoom, from the keyboard. */
  scroll(bars: number): void {
    const scale = this.chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  zoom(factor: number): void {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range === null) return;
    scale.setVisibleLogicalRange({ from: range.to - (range.to - range.from) * factor, to: range.to });
  }

  /** The theme's colours. */
  paint(): void {
    const { color } = this;
    const lines = { color: color("--line") };
    this.chart.applyOptions({
      layout: {
        background: { color: color("--panel") },
        textColor: color("--quiet"),
        panes: { separatorColor: color("--line") },
      },
      grid: { vertLines: lines, horzLines: lines },
      crosshair: { vertLine: { color: color("--quiet") }, horzLine: { color: color("--quiet") } },
    });
    const [up, down] = [color("--bid"), color("--ask")];
    this.candles.applyOptions({ upColor: up, wickUpColor: up, borderUpColor: up });
    this.candles.applyOptions({ downColor: down, wickDownColor: down, borderDownColor: down });
    this.delta.applyOptions({ color: color("--accent") });
    this.candles.setData(this.bars.map((one) => this.candleOf(one)));
    this.volume.setData(this.bars.map((one) => this.volumeOf(one)));
  }

  remove(): void {
    this.chart.remove();
  }

  private candleOf(one: Bar | Hole): CandlestickData<UTCTimestamp> | WhitespaceData<UTCTimestamp> {
    const time = one.time as UTCTimestamp;
    if (isHole(one)) return { time };
    const bar = { time, open: one.open, high: one.high, low: one.low, close: one.close };
    // Hollow: still forming. Grey: an exchange was missing.
    if (one.state === "forming") return { ...bar, color: this.color("--panel") };
    if (one.state === "final") return bar;
    const blind = this.color("--blind");
    return { ...bar, color: blind, borderColor: blind, wickColor: blind };
  }

  private volumeOf(one: Bar | Hole): HistogramData<UTCTimestamp> | WhitespaceData<UTCTimestamp> {
    const time = one.time as UTCTimestamp;
    if (isHole(one)) return { time };
    return { time, value: one.volume, color: this.color(one.close >= one.open ? "--bid" : "--ask") + "66" };
  }
}

function pointOf({ time, value, isCut }: Point): LineData<UTCTimestamp> {
  // A point's colour is that of the line to the next; over points without a value the library joins the others.
  return { time: time as UTCTimestamp, value, ...(isCut && { color: "transparent" }) };
}

function alike(one: Bar | Hole, other: Bar | Hole | undefined): boolean {
  if (other === undefined || one.time !== other.time || isHole(one) !== isHole(other)) return false;
  if (isHole(one) || isHole(other)) return true;
  return (
    one.state === other.state &&
    one.close === other.close &&
    one.volume === other.volume &&
    one.high === other.high &&
    one.low === other.low &&
    one.open === other.open
  );
}
