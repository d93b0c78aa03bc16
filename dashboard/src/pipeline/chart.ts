/** A line chart of values by name over the last minutes (uPlot), with what it shows in words beside it. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { End } from "../app";
import { element, put } from "../shell/dom";
import type { History } from "./history";

const HEIGHT = 190;
/** Colours of lines that are told apart in both themes, also by who can't tell red from green; then dashes. */
const COLOURS = 7;
const DASHES: (number[] | undefined)[] = [undefined, [6, 3], [2, 3]];

export class Chart {
  readonly root: HTMLElement;
  private readonly place = element("div", { class: "line-chart", "aria-hidden": "true" });
  private readonly words = element("figcaption", { class: "small quiet" });
  private readonly watcher: ResizeObserver;
  private plot: uPlot | null = null;
  private shown = "";

  constructor(
    title: string,
    private readonly history: History,
    private readonly format: (value: number) => string,
    private readonly isLog = false,
  ) {
    this.root = element("figure", { class: "panel" }, element("h3", {}, title), this.place, this.words);
    this.watcher = new ResizeObserver(() =>
      this.plot?.setSize({ width: this.place.clientWidth, height: HEIGHT }),
    );
    this.watcher.observe(this.place);
  }

  /** Draw what the history has now; ``theme``: colours are read anew when it changes. */
  show(theme: string): void {
    const { names } = this.history;
    const wanted = JSON.stringify([theme, names]);
    if (wanted !== this.shown) {
      this.plot?.destroy();
      this.plot = names.length > 0 ? new uPlot(this.options(names), this.history.data, this.place) : null;
      this.shown = wanted;
    } else this.plot?.setData(this.history.data);
    const said = names.map((name) => {
      const last = this.history.last(name);
      return `${name} ${last === null ? "unknown" : this.format(last)}`;
    });
    put(this.words, said.join(" · ") || "nothing yet");
  }

  end: End = () => {
    this.watcher.disconnect();
    this.plot?.destroy();
  };

  private options(names: readonly string[]): uPlot.Options {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--quiet"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1 },
      font: "11px monospace",
    };
    const values = (_: uPlot, ticks: (number | null)[]): string[] =>
      ticks.map((one) => (one === null ? "" : this.format(one)));
    return {
      width: Math.max(100, this.place.clientWidth),
      height: HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), "UTC"),
      legend: { show: false },
      cursor: { show: false },
      scales: { y: this.isLog ? { distr: 3 } : { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
      axes: [
        { ...axis, values: clockTimes },
        { ...axis, size: 64, values },
      ],
      series: [
        {},
        ...names.map((label, at) => {
          const dash = DASHES[Math.floor(at / COLOURS) % DASHES.length];
          const stroke = colour(`--line-${at % COLOURS}`);
          return {
            label,
            stroke,
            width: 1.5,
            ...(dash ? { dash } : {}),
            spanGaps: false,
            points: { show: false },
          };
        }),
      ],
    };
  }
}

/** "03:04:05": by the server's time, in UTC. */
function clockTimes(_: uPlot, ticks: number[]): string[] {
  return ticks.map((seconds) => new Date(seconds * 1_000).toISOString().slice(11, 19));
}
