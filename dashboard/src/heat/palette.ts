/**
 * Colours of codes. Pure.
 *
 * `sides` has one even ramp a side: at each step both have the same lightness (OKLab) and differ in hue, teal and amber,
 * which no colour blindness makes one. viridis, magma and cividis are matplotlib's; there the best prices' lines tell
 * the sides apart. On a light ground all of them run from light to dark.
 */

import type { Theme } from "../app";
import {
  ABSENT,
  ASK,
  ASK_BOUND,
  BID,
  BID_BOUND,
  BLIND,
  CODES,
  GAP,
  KIND_STEP,
  OTHER,
  UNCOVERED,
  ZERO,
} from "./codes";
import { stepOf } from "./scale";
import type { Contrast } from "./scale";

export const STEPS = 256;
export const PALETTES = ["sides", "viridis", "magma", "cividis"] as const;
export type Palette = (typeof PALETTES)[number];
export type Side = "bid" | "ask";
/** Red, green, blue, 0 to 255. */
export type Colour = readonly [number, number, number];

/** 33 points each, six hex digits a point. */
const ANCHORS: Record<Exclude<Palette, "sides">, string> = {
  viridis:
    "440154470d6048186a482374472d7b4537814240863e49893b528b375b8d33638d2f6b8e2c728e297a8e26828e23898e21918c" +
    "1f988b1fa08822a78528ae8032b67a3fbc734ec36b5ec96270cf5784d44b98d83eaddc30c2df23d8e219ece51bfde725",
  magma:
    "0000040303120a0822130d341d114729115a36106b440f7651127c5d177f6a1c81762181832681902a819c2e7faa337db73779" +
    "c43c75d0416fdc4869e75263ef5d5ef56b5cf9795dfc8961fd9869fea772feb67cfec488fed395fde2a3fcf0b2fcfdbf",
  cividis:
    "00205100265d012b6508316911366c1c3c6e26426e31476e3c4d6e47536d51586e5a5e6e62646f6a6a707270717976737f7c75" +
    "8682768c8877938e789a9478a19b78a9a177b2a874bbaf71c5b66dcebd68d8c462e2cb5cebd355f3da4ffae249fdea45",
};
/** What is left out at the end that lies next to the ground, so that a little is not taken for nothing. */
const LEFT_OUT: Record<Theme, Record<keyof typeof ANCHORS, number>> = {
  dark: { viridis: 0, magma: 0.14, cividis: 0 },
  light: { viridis: 0.02, magma: 0.06, cividis: 0.02 },
};
const HUES: Record<Side, number> = { bid: 192, ask: 62 };
/** Lightness of the first and the last step. */
const LIGHTNESS: Record<Theme, readonly [number, number]> = { dark: [0.24, 0.97], light: [0.93, 0.27] };
const MOST_CHROMA = 0.15;

/** Colours of what has no volume. */
export const GROUNDS: Record<Theme, Readonly<Record<number, Colour>>> = {
  dark: {
    [ABSENT]: [17, 21, 30],
    [GAP]: [30, 24, 34],
    [UNCOVERED]: [38, 45, 60],
    [ZERO]: [5, 7, 12],
    [BLIND]: [66, 72, 84],
    [OTHER]: [34, 32, 56],
  },
  light: {
    [ABSENT]: [236, 239, 244],
    [GAP]: [247, 238, 228],
    [UNCOVERED]: [207, 214, 225],
    [ZERO]: [255, 255, 255],
    [BLIND]: [172, 178, 190],
    [OTHER]: [226, 222, 242],
  },
};

/** The colours of a palette's steps, little volume first. */
export function ramp(palette: Palette, theme: Theme, side: Side): Colour[] {
  const shares = Array.from({ length: STEPS }, (_, step) => step / (STEPS - 1));
  if (palette === "sides") return shares.map((share) => sideColour(theme, HUES[side], share));
  const left = LEFT_OUT[theme][palette];
  const anchors = points(ANCHORS[palette]);
  if (theme === "light") anchors.reverse();
  return shares.map((share) => between(anchors, left + (1 - left) * share));
}

/** Code -> colour, as ImageData has it in 32 bits (little-endian). */
export function lookup(palette: Palette, theme: Theme, contrast: Contrast): Uint32Array {
  const table = new Uint32Array(CODES);
  const grounds = GROUNDS[theme];
  for (const [code, colour] of Object.entries(grounds)) table[Number(code)] = packed(colour);
  const unknown = grounds[UNCOVERED]!;
  for (const [side, known, bound] of [
    ["bid", BID, BID_BOUND],
    ["ask", ASK, ASK_BOUND],
  ] as const) {
    const colours = ramp(palette, theme, side);
    const full = colours.map(packed);
    const faint = colours.map((colour) => packed(mixed(colour, unknown, 0.45)));
    for (let level = 0; level < KIND_STEP; level++) {
      const step = stepOf(level, contrast, STEPS);
      table[known + level] = full[step]!;
      table[bound + level] = faint[step]!;
    }
  }
  return table;
}

export function packed([red, green, blue]: Colour): number {
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}

export function css([red, green, blue]: Colour, alpha = 1): string {
  return `rgb(${red} ${green} ${blue} / ${alpha})`;
}

export function mixed(one: Colour, other: Colour, share: number): Colour {
  return [0, 1, 2].map((at) => Math.round(one[at]! * (1 - share) + other[at]! * share)) as unknown as Colour;
}

function points(text: string): Colour[] {
  const found: Colour[] = [];
  for (let at = 0; at < text.length; at += 6) {
    found.push([0, 2, 4].map((of) => parseInt(text.slice(at + of, at + of + 2), 16)) as unknown as Colour);
  }
  return found;
}

function between(anchors: Colour[], share: number): Colour {
  const at = Math.min(1, Math.max(0, share)) * (anchors.length - 1);
  const from = Math.min(Math.floor(at), anchors.length - 2);
  return mixed(anchors[from]!, anchors[from + 1]!, at - from);
}

function sideColour(theme: Theme, hue: number, share: number): Colour {
  const [first, last] = LIGHTNESS[theme];
  const lightness = first + (last - first) * share;
  // Most colourful in the middle; the strongest walls shine (or go dark) on any screen.
  let chroma = MOST_CHROMA * Math.sin(Math.PI * (0.18 + 0.72 * share));
  let found = oklch(lightness, chroma, hue);
  while (found.some((value) => value < 0 || value > 1) && chroma > 0) {
    chroma = Math.max(0, chroma - 0.002);
    found = oklch(lightness, chroma, hue);
  }
  return found.map((value) => Math.round(255 * Math.min(1, Math.max(0, value)))) as unknown as Colour;
}

/** sRGB, 0 to 1 where it is a colour of the screen, of OKLCH (Björn Ottosson, A perceptual color space, 2020). */
function oklch(lightness: number, chroma: number, hue: number): number[] {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((value) => (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055));
}
