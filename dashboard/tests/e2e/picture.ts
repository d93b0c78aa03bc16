/** What the heatmap shows, read from outside: its pixels, and what its crosshair says of them. */
import type { Page } from "playwright-core";

export type Pixel = [number, number, number];

export interface Place {
  /** Of the cells' canvas, device pixels. */
  x: number;
  y: number;
  /** Milliseconds of the tick, lower edge of the price. */
  time: number;
  price: number;
  words: string;
  pixel: Pixel;
}

/** All pixels as one text, to be compared. */
export function pixels(page: Page): Promise<string> {
  return page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>(".heat-cells");
    return canvas === null ? "" : canvas.toDataURL();
  });
}

/**
 * How often what lies over the cells changes between drawn and not, down the plot at this share of its width: none where
 * nothing is, dozens in a hatch.
 */
export async function strokesAt(page: Page, across: number): Promise<number> {
  await page.mouse.move(0, 0); // the crosshair is over the cells, too
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  return page.evaluate((across) => {
    const cells = document.querySelector<HTMLCanvasElement>(".heat-cells")!;
    const over = document.querySelector<HTMLCanvasElement>(".heat-over")!;
    const { data } = over
      .getContext("2d")!
      .getImageData(Math.round(across * cells.width), 0, 1, cells.height);
    let changes = 0;
    for (let at = 7; at < data.length; at += 4) if (data[at]! > 0 !== data[at - 4]! > 0) changes += 1;
    return changes;
  }, across);
}

/** Share of the cells' pixels that have one of these colours, within a tolerance. */
export function shareOf(page: Page, colours: readonly Pixel[]): Promise<number> {
  return page.evaluate((wanted) => {
    const canvas = document.querySelector<HTMLCanvasElement>(".heat-cells")!;
    const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let at = 0; at < data.length; at += 4)
      if (wanted.some((one) => one.every((value, channel) => Math.abs(value - data[at + channel]!) < 3)))
        found += 1;
    return found / (data.length / 4);
  }, colours);
}

/** What the crosshair says at a place of the canvas (shares of its width and height), and the pixel there. */
export async function placeAt(page: Page, across: number, down: number): Promise<Place | null> {
  const canvas = page.locator(".heat-cells");
  const box = (await canvas.boundingBox())!;
  const [x, y] = [Math.round(box.width * across), Math.round(box.height * down)];
  await page.mouse.move(box.x + x + 0.5, box.y + y + 0.5);
  const tip = page.locator(".heat-tip");
  // The crosshair is drawn in the next frame.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  if (!(await tip.isVisible())) return null;
  const words = await tip.innerText();
  const pixel = await page.evaluate(
    ([x, y]) => {
      const canvas = document.querySelector<HTMLCanvasElement>(".heat-cells")!;
      const ratio = canvas.width / canvas.clientWidth;
      const { data } = canvas
        .getContext("2d")!
        .getImageData(Math.floor((x! + 0.5) * ratio), Math.floor((y! + 0.5) * ratio), 1, 1);
      return [data[0]!, data[1]!, data[2]!] as [number, number, number];
    },
    [x, y],
  );
  const moment = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)/.exec(words);
  const price = /Price\s+([\d,.]+)/.exec(words);
  if (!moment || !price) return null;
  return {
    x,
    y,
    time: Date.parse(`${moment[1]}T${moment[2]}Z`),
    price: Number(price[1]!.replaceAll(",", "")),
    words,
    pixel,
  };
}

/** The legend's cut-offs. */
export async function cuts(page: Page): Promise<{ low: number; high: number }> {
  const of = async (name: string): Promise<number> =>
    Number(await page.getByRole("slider", { name }).getAttribute("aria-valuenow"));
  return { low: await of("Lower cut-off of the colours"), high: await of("Upper cut-off of the colours") };
}
