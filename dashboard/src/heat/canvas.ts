/** The cells on their surface: a ring canvas of one pixel a cell, copied and scaled in one or two pieces. */

import type { Theme } from "../app";
import { ABSENT } from "./codes";
import { GROUNDS, css, lookup } from "./palette";
import type { Palette } from "./palette";
import type { Scene } from "./scene";
import type { Contrast } from "./scale";

/** Rows that are coloured at once when all are. */
const BAND = 64;

export class Cells {
  private readonly surface: CanvasRenderingContext2D;
  private readonly ring: CanvasRenderingContext2D;
  private band: { image: ImageData; pixels: Uint32Array } | null = null;
  private column: { image: ImageData; pixels: Uint32Array } | null = null;
  private colours: { table: Uint32Array; palette: Palette; theme: Theme; contrast: Contrast } | null = null;

  constructor(
    readonly canvas: HTMLCanvasElement,
    columns: number,
    rows: number,
  ) {
    this.surface = canvas.getContext("2d", { alpha: false })!;
    const ring = document.createElement("canvas");
    ring.width = columns;
    ring.height = rows;
    this.ring = ring.getContext("2d", { alpha: false })!;
  }

  /** Bring the ring up and copy what is seen; the whole canvas is the plot. */
  paint(scene: Scene, palette: Palette, theme: Theme): void {
    const table = this.table(scene, palette, theme);
    const changes = scene.takeChanges();
    if (changes === null) this.colourAll(scene, table);
    else for (const place of changes) this.colourColumn(scene, table, place);
    this.copy(scene, theme);
  }

  private table(scene: Scene, palette: Palette, theme: Theme): Uint32Array {
    const { contrast } = scene;
    const had = this.colours;
    if (had?.palette === palette && had.theme === theme && had.contrast === contrast) return had.table;
    if (had) scene.isAllChanged();
    const table = lookup(palette, theme, contrast);
    this.colours = { table, palette, theme, contrast };
    return table;
  }

  private colourAll(scene: Scene, table: Uint32Array): void {
    const { codes, columns, rows } = scene.ring;
    this.band ??= pixelsOf(this.ring, columns, BAND);
    const { image, pixels } = this.band;
    for (let row = 0; row < rows; row += BAND) {
      const start = row * columns;
      for (let at = 0; at < pixels.length; at++) pixels[at] = table[codes[start + at]!]!;
      this.ring.putImageData(image, 0, row);
    }
  }

  private colourColumn(scene: Scene, table: Uint32Array, place: number): void {
    const { codes, columns, rows } = scene.ring;
    this.column ??= pixelsOf(this.ring, 1, rows);
    const { image, pixels } = this.column;
    for (let row = 0, at = place; row < rows; row++, at += columns) pixels[row] = table[codes[at]!]!;
    this.ring.putImageData(image, place, 0);
  }

  private copy(scene: Scene, theme: Theme): void {
    const { camera, ring, timeline } = scene;
    const { surface } = this;
    surface.imageSmoothingEnabled = false;
    surface.fillStyle = css(GROUNDS[theme][ABSENT]!);
    surface.fillRect(0, 0, camera.width, camera.height);
    if (camera.middle === null) return;
    const first = Math.max(0, Math.floor(ring.rowOf(camera.bucketAt(0))));
    const last = Math.min(ring.rows, Math.ceil(ring.rowOf(camera.bucketAt(camera.height))) + 1);
    if (last <= first) return;
    const top = Math.round(camera.yOf(ring.bucketOf(first) + ring.step));
    const [from, until] = scene.slots();
    const end = Math.min(until, timeline.end);
    const start = Math.max(from, timeline.first);
    for (const piece of ring.pieces(start, end)) {
      surface.drawImage(
        this.ring.canvas,
        piece.place,
        first,
        piece.count,
        last - first,
        Math.round(camera.xOf(timeline.timeOf(piece.slot))),
        top,
        piece.count * camera.zoom.columnPx,
        (last - first) * camera.rowPx,
      );
    }
  }
}

function pixelsOf(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
): { image: ImageData; pixels: Uint32Array } {
  const image = context.createImageData(width, height);
  return { image, pixels: new Uint32Array(image.data.buffer) };
}
