/** The heatmap's panel: scene, supply and painting of one view, and what a person does with them. */

import type { End, Market, Mode } from "../app";
import { element, put } from "../shell/dom";
import { Controls, type Commands } from "./controls";
import { Tip } from "./crosshair";
import { bindKeys } from "./keys";
import { Legend } from "./legend";
import type { Loading } from "./loader";
import { noteOf, sentence } from "./note";
import { Painting } from "./painting";
import { listen, type Point } from "./pointer";
import { readingAt, summary } from "./reading";
import type { Scene } from "./scene";
import { Supply, sceneFor } from "./supply";
import { ColumnTable } from "./table";

/** Of a link that says only where it begins. */
const USUAL_MS = 600_000;
/** An arrow moves the picture by so much, CSS pixels. */
const ARROW_PX = 48;
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
    this.recolour();
  });
  private readonly table = new ColumnTable();
  private readonly controls: Controls;
  private readonly note = element("p", { class: "heat-note" });
  private readonly heard = element("p", { class: "heard", id: "heat-summary" });
  private readonly ends: End[] = [];
  private readonly still = window.matchMedia("(prefers-reduced-motion: reduce)");
  private loading: Loading = { state: "idle" };
  private isDirty = true;
  private isCrossMoved = false;
  /** The crosshair is moved by keys. */
  private isByKeys = false;
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
    this.controls = new Controls(this.commands, this.painting.palette, this.painting.shown);
    this.surface.setAttribute("aria-describedby", this.heard.id);
    this.surface.append(this.painting.cells, this.painting.over, this.tip.root);
    root.append(this.controls.root, this.legend.root, this.note, this.surface, this.table.root, this.heard);
    const sized = new ResizeObserver(() => this.resize());
    sized.observe(this.surface);
    this.ends.push(
      () => sized.disconnect(),
      market.app.theme.watch((theme) => {
        this.painting.dress(theme);
        this.recolour();
      }),
      market.view.watch(() => this.view()),
      market.mode.watch((mode) => this.follow(mode)),
      listen(this.surface, {
        cross: (at) => this.point(at),
        pan: (dx, dy) => this.pan(dx, dy),
        zoomTime: (by, x) => this.zoom(() => this.scene.camera.zoomTime(by, x * this.painting.layout.ratio)),
        zoomPrice: (by, y) =>
          this.zoom(() => this.scene.camera.zoomPrice(by, y * this.painting.layout.ratio)),
      }),
      bindKeys(this, this.commands, market.app.keys, market.app.say),
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
    table: () => {
      const isOpen = this.table.toggle(this.scene, this.painting.cross);
      this.controls.table.setAttribute("aria-pressed", String(isOpen));
    },
    palette: (name) => {
      this.painting.palette = name;
      this.recolour();
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
    const { ratio } = this.painting.layout;
    if (dx) this.scene.camera.panTime(dx * ratio);
    if (dy) this.scene.camera.panPrice(dy * ratio);
    this.isDirty = true;
  }

  /** Arrows move the crosshair by a column or a row if it is theirs, else the picture. */
  arrow(dx: number, dy: number): void {
    const cross = this.isByKeys ? this.painting.beside(this.scene, dx, dy) : null;
    if (cross) this.cross(cross);
    else this.pan(dx * ARROW_PX, dy * ARROW_PX);
  }

  /** The crosshair is given to the keys, at the newest column, or taken away. */
  toggleCross(isOn = !this.isByKeys): void {
    this.isByKeys = isOn;
    this.cross(isOn ? this.painting.newest(this.scene) : null);
    if (!isOn) return;
    this.surface.focus();
    this.sayCross();
  }

  /** What the crosshair reads, for who does not see it. */
  sayCross(): void {
    const { cross } = this.painting;
    if (!cross) return;
    const { camera } = this.scene;
    this.market.app.say(sentence(readingAt(this.scene, camera.timeAt(cross.x), camera.bucketAt(cross.y))));
  }

  /** To what is newest, live or in the replay; a link's range is left. */
  private home(): void {
    this.scene.camera.home();
    this.market.view.patch({ from: null, to: null });
  }

  private zoom(change: () => boolean): void {
    const { period } = this.scene.camera.zoom;
    if (!change()) return;
    this.scene.frame();
    if (period !== this.scene.camera.zoom.period) this.supply.again();
    this.scene.adjust(true);
    this.isDirty = true;
  }

  /** A pointer that moves takes the crosshair from the keys; one that leaves does not. */
  private point(at: Point | null): void {
    if (at) this.isByKeys = false;
    if (!this.isByKeys) this.cross(at);
  }

  /** At a place of the surface, CSS pixels; null or outside of the cells: nowhere. One that keys move stays inside. */
  private cross(at: Point | null): void {
    const cross = at && this.painting.pixelAt(at);
    if (at && !cross && this.isByKeys) return this.market.app.say("The edge of the picture.");
    this.painting.cross = cross;
    this.isCrossMoved = true;
  }

  private makeScene(): Scene {
    const made = sceneFor(this.market);
    this.painting.aim(made);
    made.fit();
    return made;
  }

  private makeSupply(): Supply {
    const { exchanges } = this.market.view.value;
    this.painting.lanes = [...(exchanges ?? this.market.exchanges.map((one) => one.exchange))].sort();
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
    const moves = mode.name === "live" || mode.state === "running" ? mode.name : "";
    if (moves && moves !== this.moves && this.moves !== null) {
      this.scene.camera.home();
      this.isDirty = true;
    }
    this.moves = moves;
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.surface;
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
      this.supply.look(now, this.market.app.clock.now() ?? now);
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
    // What stands still has the colours of its data, whatever they were while these came: a link is the same picture.
    this.recolour(scene.adjust(this.moves === ""));
    this.controls.showSizes(scene.timeline.sizes, scene.bucketSize);
    this.controls.live.setAttribute("aria-pressed", String(scene.camera.isLive));
    this.tell();
    if (frameAt - this.heardAt < SUMMARY_MS) return;
    this.heardAt = frameAt;
    put(this.heard, this.summary());
  }

  /** The picture in sentences. */
  summary(): string {
    return summary(this.scene, this.market.view.value.symbol);
  }

  /** What the crosshair reads, and the column in the table. */
  private read(): void {
    const { scene } = this;
    const { cross, layout } = this.painting;
    this.table.follow(scene, cross);
    this.tip.follow(scene, layout, cross);
    if (!this.isCrossMoved) return;
    const { camera } = scene;
    if (!cross || camera.middle === null) return this.market.place.set(null);
    this.market.place.set({ time: camera.timeAt(cross.x), price: camera.bucketAt(cross.y) * scene.size });
  }

  /** The legend shows how it stands; `isOther`: the colours are others. */
  private recolour(isOther = true): void {
    this.legend.show(this.scene, this.painting.palette, this.market.app.theme.value);
    if (isOther) this.isDirty = true;
  }

  private tell(): void {
    const { market } = this;
    put(this.note, noteOf(this.loading, this.scene, market.now(), market.mode.value.name === "live"));
  }
}
