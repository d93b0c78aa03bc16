/** The heatmap's panel: scene, supply and painting of one view, and what a person does with them. */

import type { End, Market, Mode } from "../app";
import { element, put } from "../shell/dom";
import { Controls } from "./controls";
import type { Commands } from "./controls";
import { Tip } from "./crosshair";
import { bindKeys } from "./keys";
import { Legend } from "./legend";
import type { Loading } from "./loader";
import { momentText } from "./layout";
import { Painting } from "./painting";
import { listen } from "./pointer";
import { readingAt, summary } from "./reading";
import { automatic } from "./scale";
import { Scene } from "./scene";
import { Supply } from "./supply";
import { ColumnTable } from "./table";

/** Of a link that says only where it begins. */
const USUAL_MS = 600_000;
const LOOK_MS = 250;
const SLOW_MS = 1_000;
const SUMMARY_MS = 5_000;

export class Panel {
  readonly surface = element("div", { class: "heat-surface", tabindex: 0, role: "application" });
  scene: Scene;
  private supply: Supply;
  private readonly painting = new Painting();
  private readonly tip = new Tip();
  private readonly legend = new Legend((contrast) => {
    this.scene.setContrast(contrast);
    this.showLegend();
    this.isDirty = true;
  });
  private readonly table = new ColumnTable();
  private readonly controls: Controls;
  private readonly note = element("p", { class: "heat-note", role: "status" });
  private readonly heard = element("p", { class: "heard", id: "heat-summary" });
  private readonly ends: End[] = [];
  private readonly still = window.matchMedia("(prefers-reduced-motion: reduce)");
  private loading: Loading = { state: "idle" };
  private isDirty = true;
  private isCrossMoved = false;
  /** The crosshair is moved by keys. */
  private isByKeys = false;
  private wasPlaying = false;
  private frame = 0;
  private lookedAt = -Infinity;
  private slowAt = -Infinity;
  private heardAt = -Infinity;
  private shownView = "";
  /** Which source it is that moves; "": the past stands still; null: not known yet. */
  private moves: string | null = null;

  constructor(
    root: HTMLElement,
    private readonly market: Market,
  ) {
    this.scene = this.makeScene();
    this.supply = this.makeSupply();
    this.controls = new Controls(market, this.commands, this.painting.palette, this.painting.shown);
    this.surface.setAttribute("aria-describedby", this.heard.id);
    const picture = element("div", { class: "heat-picture" }, this.painting.cells, this.painting.over);
    this.surface.append(picture, this.tip.root);
    root.append(this.controls.root, this.legend.root, this.note, this.surface, this.table.root, this.heard);
    const sized = new ResizeObserver(() => this.resize());
    sized.observe(this.surface);
    this.ends.push(
      () => sized.disconnect(),
      () => this.controls.close(),
      market.app.theme.watch((theme) => {
        this.painting.dress(theme);
        this.scene.isAllChanged();
        this.showLegend();
        this.isDirty = true;
      }),
      market.view.watch(() => this.view()),
      market.mode.watch((mode) => this.follow(mode)),
      listen(this.surface, {
        cross: (at) => this.cross(at),
        pan: (dx, dy) => this.pan(dx, dy),
        zoomTime: (by, x) => this.zoom(() => this.scene.camera.zoomTime(by, x * this.painting.layout.ratio)),
        zoomPrice: (by, y) =>
          this.zoom(() => this.scene.camera.zoomPrice(by, y * this.painting.layout.ratio)),
      }),
      bindKeys(this, this.commands, market.app.keys),
    );
    this.frame = requestAnimationFrame((at) => this.run(at));
  }

  end(): void {
    cancelAnimationFrame(this.frame);
    this.supply.end();
    for (const end of this.ends.splice(0)) end();
  }

  readonly commands: Commands = {
    zoomTime: (by) => this.zoom(() => this.scene.camera.zoomTime(by, this.painting.layout.plotWidth / 2)),
    zoomPrice: (by) => this.zoom(() => this.scene.camera.zoomPrice(by, this.painting.layout.plotHeight / 2)),
    fit: () => {
      this.scene.fit();
      this.isDirty = true;
    },
    home: () => this.home(),
    table: () => this.controls.table.setAttribute("aria-pressed", String(this.table.toggle())),
    palette: (name) => {
      this.painting.palette = name;
      this.showLegend();
      this.isDirty = true;
    },
    bucketSize: (size) => {
      this.scene.choose(size, true);
      this.isDirty = true;
    },
    shown: (what) => {
      Object.assign(this.painting.shown, what);
      this.isDirty = true;
    },
  };

  /** CSS pixels; positive: later, higher. */
  pan(dx: number, dy: number): void {
    const { camera } = this.scene;
    const { ratio } = this.painting.layout;
    if (dx) camera.panTime(dx * ratio);
    if (dy) camera.panPrice(dy * ratio);
    this.isDirty = true;
  }

  /** Arrows move the crosshair by a column or a row if it is theirs, else the picture. */
  arrow(dx: number, dy: number): void {
    const { camera } = this.scene;
    const { ratio } = this.painting.layout;
    const cross = this.painting.cross;
    if (!this.isByKeys || !cross) return this.pan(dx * 48, dy * 48);
    this.cross({
      x: (cross.x + dx * camera.zoom.columnPx) / ratio,
      y: (cross.y - dy * camera.rowPx) / ratio,
    });
  }

  /** The crosshair is given to the keys, at the newest column, or taken away. */
  toggleCross(isOn = !this.isByKeys): void {
    const { layout } = this.painting;
    const { scene } = this;
    this.isByKeys = isOn;
    if (!isOn) return this.cross(null);
    const newest = scene.timeline.newestBefore(Math.min(scene.now, scene.camera.edge));
    const x = newest ? scene.camera.xOf(newest.time) + 1 : layout.plotWidth / 2;
    this.cross({ x: x / layout.ratio, y: layout.plotHeight / 2 / layout.ratio });
    this.surface.focus();
    this.sayCross();
  }

  /** What the crosshair reads, for who does not see it. */
  sayCross(): void {
    const { cross } = this.painting;
    if (!cross) return;
    const { camera } = this.scene;
    const read = readingAt(this.scene, camera.timeAt(cross.x), camera.bucketAt(cross.y));
    const parts = [
      read.prices,
      read.ask && `ask ${read.ask.text}`,
      read.bid && `bid ${read.bid.text}`,
      read.state,
    ];
    this.market.app.say(parts.filter(Boolean).join(", "));
  }

  say(): void {
    this.market.app.say(summary(this.scene, this.market.view.value.symbol));
  }

  /** To what is newest, live or in the replay; a link's range is left. */
  private home(): void {
    this.scene.camera.home();
    this.market.view.patch({ from: null, to: null });
  }

  /** What begins to play is followed; what stands still is where the link says. */
  private mode(isPlaying: boolean): void {
    if (isPlaying && !this.wasPlaying) this.scene.camera.home();
    this.wasPlaying = isPlaying;
    this.isDirty = true;
  }

  private zoom(change: () => boolean): void {
    const { period } = this.scene.camera.zoom;
    if (!change()) return;
    this.scene.frame();
    if (period !== this.scene.camera.zoom.period) this.supply.again();
    this.scene.adjust(true);
    this.isDirty = true;
  }

  private cross(at: { x: number; y: number } | null): void {
    const { layout } = this.painting;
    const inside = at && at.x * layout.ratio < layout.plotWidth && at.y * layout.ratio < layout.plotHeight;
    const clamped = this.isByKeys && at && !inside ? null : at;
    if (this.isByKeys && !clamped) return void (at && this.market.app.say("The picture's edge."));
    this.painting.cross = inside ? { x: at.x * layout.ratio, y: at.y * layout.ratio } : null;
    this.isCrossMoved = true;
  }

  private makeScene(): Scene {
    const { symbol } = this.market.view.value;
    const row = this.market.symbols.find((one) => one.symbol === symbol);
    const pace = { tick: row?.tick_ms ?? 500, stored: row?.store_interval_ms ?? 1_000 };
    const made = new Scene(pace, row?.heatmap_depth ?? 50, `${Number(row?.bucket_size ?? 1).toFixed(8)}`);
    this.painting.aim(made);
    made.fit();
    return made;
  }

  private makeSupply(): Supply {
    const { exchanges } = this.market.view.value;
    const names = this.market.exchanges.map((one) => one.exchange).sort();
    this.painting.lanes = exchanges ? [...exchanges].sort() : names;
    return new Supply(
      this.market,
      this.scene,
      () => (this.isDirty = true),
      (loading) => (this.loading = loading),
    );
  }

  /** Another symbol or sum is another scene; another range is another place of the camera. */
  private view(): void {
    const { symbol, exchanges, from, to } = this.market.view.value;
    const now = JSON.stringify([symbol, exchanges]);
    if (this.shownView && now !== this.shownView) {
      this.supply.end();
      this.scene = this.makeScene();
      this.supply = this.makeSupply();
      this.resize();
    }
    this.shownView = now;
    this.surface.setAttribute("aria-label", `Heatmap of ${symbol}`);
    const { camera } = this.scene;
    if (from !== null) camera.show(from, to ?? this.market.now() ?? from + USUAL_MS);
    else if (!camera.isLive) camera.home();
    this.isDirty = true;
  }

  /** What begins to move, live or replayed, is followed. */
  private follow(mode: Mode): void {
    const moves = mode.name === "live" || mode.state === "running" ? `${mode.name}` : "";
    if (moves && moves !== this.moves && this.moves !== null) {
      this.scene.camera.home();
      this.scene.isAllChanged();
      this.isDirty = true;
    }
    this.moves = moves;
  }

  private resize(): void {
    const { width, height } = this.surface.getBoundingClientRect();
    if (!width || !height) return;
    const isFirst = this.scene.camera.width === 1;
    this.painting.resize(width, height, window.devicePixelRatio || 1);
    this.painting.aim(this.scene);
    if (isFirst) {
      this.scene.fit();
      this.view();
    }
    this.isDirty = true;
  }

  private run(frameAt: number): void {
    this.frame = requestAnimationFrame((at) => this.run(at));
    const now = this.market.now();
    if (now === null) return this.tell();
    const { scene } = this;
    this.market.seenMs = scene.camera.width * scene.camera.msPerPx;
    // With reduced motion the picture moves by whole columns.
    const { period } = scene.camera.zoom;
    const hasMoved = scene.tick(this.still.matches ? Math.floor(now / period) * period : now);
    if (frameAt - this.lookedAt >= LOOK_MS) {
      this.lookedAt = frameAt;
      this.supply.look(now);
    }
    if (frameAt - this.slowAt >= SLOW_MS) this.slow(frameAt);
    const isWhole = hasMoved || this.isDirty;
    if (isWhole || this.isCrossMoved) this.painting.paint(scene, isWhole, frameAt);
    if (isWhole || this.isCrossMoved) this.read();
    this.isDirty = this.isCrossMoved = false;
  }

  private slow(frameAt: number): void {
    this.slowAt = frameAt;
    const { scene } = this;
    if (scene.adjust()) this.isDirty = true;
    this.showLegend();
    this.controls.showSizes(scene.timeline.sizes, scene.bucketSize);
    this.controls.live.setAttribute("aria-pressed", String(scene.camera.isLive));
    this.tell();
    if (frameAt - this.heardAt < SUMMARY_MS) return;
    this.heardAt = frameAt;
    put(this.heard, summary(scene, this.market.view.value.symbol));
  }

  /** What the crosshair reads, and the column in the table. */
  private read(): void {
    const { painting, scene, table } = this;
    const { cross, layout } = painting;
    if (table.isOpen) {
      const time = cross ? scene.camera.timeAt(cross.x) : Math.min(scene.now, scene.camera.edge);
      const column = cross
        ? scene.timeline.columnAt(scene.timeline.slotOf(time))
        : scene.timeline.newestBefore(time);
      table.show(column);
    }
    if (!cross || scene.camera.middle === null) {
      this.tip.hide();
      if (this.isCrossMoved) this.market.place.set(null);
      return;
    }
    const [time, bucket] = [scene.camera.timeAt(cross.x), scene.camera.bucketAt(cross.y)];
    const { ratio, plotWidth, plotHeight } = layout;
    const reading = readingAt(scene, time, bucket);
    this.tip.show(reading, cross.x / ratio, cross.y / ratio, plotWidth / ratio, plotHeight / ratio);
    if (this.isCrossMoved) this.market.place.set({ time, price: bucket * scene.size });
  }

  private showLegend(): void {
    const { scene, painting, market } = this;
    const data = automatic(scene.timeline.histogram, scene.contrast);
    this.legend.show(scene.contrast, scene.chosen !== null, data, painting.palette, market.app.theme.value);
  }

  private tell(): void {
    put(this.note, noteOf(this.loading, this.scene, this.market.now()));
  }
}

/** What the picture lacks at the moment, and what is done about it; empty: nothing. */
function noteOf(loading: Loading, scene: Scene, now: number | null): string {
  if (now === null) return "Waiting for the server's time …";
  if (loading.state === "waiting")
    return `History: ${loading.text}. Asked again in ${Math.ceil(loading.retryMs / 1_000)} s.`;
  if (loading.state === "refused") return `History: ${loading.text}.`;
  if (loading.state === "loading") return "Loading history …";
  if (scene.camera.middle === null) return "No order book has come yet: as soon as one does it is here.";
  if (!scene.camera.isLive)
    return `Looking at the past, until ${momentText(scene.camera.edge)}. Home: back to now.`;
  return "";
}
