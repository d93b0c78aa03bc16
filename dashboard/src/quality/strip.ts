/** One book over time as a strip: the score of each piece of time above, what is proven below. */
import { element } from "../shell/dom";
import type { Book, Range } from "./model";

const HEIGHT = 30;
const SCORE = 18;

/** Colours of scores: even in lightness, so that they are told apart without red against green. */
export interface Inks {
  good: string;
  fair: string;
  poor: string;
  unknown: string;
  proven: string;
}

export function inks(): Inks {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return {
    good: of("--good"),
    fair: of("--warn"),
    poor: of("--bad"),
    unknown: of("--line"),
    proven: of("--accent"),
  };
}

/** What a score is painted with, and how high: worse is lower and of another colour. */
export function look(score: number, colours: Inks): { colour: string; share: number } {
  if (score >= 1) return { colour: colours.good, share: 1 };
  if (score >= 0.99) return { colour: colours.good, share: 0.85 };
  if (score >= 0.9) return { colour: colours.fair, share: 0.6 };
  return { colour: colours.poor, share: 0.35 };
}

export function strip(): HTMLCanvasElement {
  return element("canvas", { class: "strip", "aria-hidden": "true", height: HEIGHT });
}

export function draw(canvas: HTMLCanvasElement, book: Book, range: Range, colours: Inks): void {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.width = width;
  canvas.height = Math.round(HEIGHT * ratio);
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.scale(1, ratio);
  const column = width / range.columns;
  book.cells.forEach((cell, at) => {
    const [left, right] = [Math.floor(at * column), Math.floor((at + 1) * column)];
    if (cell === null) {
      context.fillStyle = colours.unknown;
      context.fillRect(left, SCORE - 3, right - left, 3);
      return;
    }
    const { colour, share } = look(cell.score, colours);
    const high = Math.max(3, SCORE * share);
    context.fillStyle = colour;
    context.fillRect(left, SCORE - high, Math.max(1, right - left - 1), high);
  });
  if (book.share === null) return;
  context.fillStyle = colours.unknown;
  context.fillRect(0, SCORE + 6, width, 4);
  context.fillStyle = colours.proven;
  const scale = width / (range.to - range.from);
  for (const { from, to } of book.proven)
    context.fillRect((from - range.from) * scale, SCORE + 4, Math.max(1, (to - from) * scale), 8);
}
