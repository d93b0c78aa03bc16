import { expect, test } from "vitest";
import {
  ABSENT,
  ASK,
  ASK_BOUND,
  BID,
  BID_BOUND,
  BLIND,
  GAP,
  OTHER,
  UNCOVERED,
  ZERO,
} from "../../../src/heat/codes";
import { GROUNDS, PALETTES, STEPS, lookup, packed, ramp } from "../../../src/heat/palette";
import type { Colour } from "../../../src/heat/palette";

/** Lightness L* of CIELAB: another model of what one sees than the palette was made by. */
function lightness([red, green, blue]: Colour): number {
  const linear = [red, green, blue].map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  const y = 0.2126 * linear[0]! + 0.7152 * linear[1]! + 0.0722 * linear[2]!;
  return y <= 216 / 24389 ? (y * 24389) / 27 : 116 * Math.cbrt(y) - 16;
}

const themes = ["dark", "light"] as const;
const sides = ["bid", "ask"] as const;

test("more volume is never darker on a dark ground, nor lighter on a light one", () => {
  for (const palette of PALETTES)
    for (const theme of themes)
      for (const side of sides) {
        const found = ramp(palette, theme, side).map(lightness);
        const sign = theme === "dark" ? 1 : -1;
        for (let step = 1; step < STEPS; step++)
          expect(sign * (found[step]! - found[step - 1]!), `${palette} ${theme} ${step}`).toBeGreaterThan(
            -0.6,
          );
        expect(sign * (found[STEPS - 1]! - found[0]!)).toBeGreaterThan(50);
      }
});

test("the same volume is as light on one side as on the other, and of another colour", () => {
  for (const theme of themes) {
    const [bids, asks] = [ramp("sides", theme, "bid"), ramp("sides", theme, "ask")];
    for (let step = 0; step < STEPS; step++) {
      expect(Math.abs(lightness(bids[step]!) - lightness(asks[step]!))).toBeLessThan(5);
      if (step < 24 || step > 216) continue; // almost black and almost white have little colour
      // Blue against red is what deuteranopes and protanopes see too.
      const [bid, ask] = [bids[step]!, asks[step]!];
      expect(bid[2] - bid[0] - (ask[2] - ask[0]), `${theme} ${step}`).toBeGreaterThan(60);
    }
  }
});

test("matplotlib's palettes have matplotlib's colours", () => {
  // matplotlib 3.10, _cm_listed.py: viridis, magma and cividis at 0, 128 and 255 of 255, times 255.
  const known: [(typeof PALETTES)[number], number, Colour][] = [
    ["viridis", 0, [68, 1, 84]],
    ["viridis", 128, [33, 145, 140]],
    ["viridis", 255, [253, 231, 37]],
    ["cividis", 0, [0, 34, 78]],
    ["cividis", 255, [254, 232, 56]],
    ["magma", 255, [252, 253, 191]],
  ];
  for (const [palette, step, colour] of known)
    ramp(palette, "dark", "bid")[step]!.forEach((value, at) => {
      expect(Math.abs(value - colour[at]!), `${palette} ${step}`).toBeLessThanOrEqual(14);
    });
});

test("empty, unknown, not stored, not loaded, blind and the least volume are six different colours", () => {
  for (const palette of PALETTES)
    for (const theme of themes) {
      const table = lookup(palette, theme, { low: 1000, high: 2000 });
      const found = [ABSENT, GAP, UNCOVERED, ZERO, BLIND, OTHER, BID + 1, ASK + 1].map((code) => table[code]);
      const expected = palette === "sides" ? 8 : 7;
      expect(new Set(found).size, `${palette} ${theme}`).toBe(expected);
    }
});

test("a code's colour is its level's, and fainter where it is only a lower bound", () => {
  const contrast = { low: 1000, high: 2000 };
  const table = lookup("sides", "dark", contrast);
  const colours = ramp("sides", "dark", "ask");
  expect(table[ASK + 1500]).toBe(packed(colours[128]!));
  expect(table[ASK + 8000]).toBe(packed(colours[255]!));
  expect(table[ASK_BOUND + 1500]).not.toBe(table[ASK + 1500]);
  expect(table[BID_BOUND + 1500]).not.toBe(table[ASK_BOUND + 1500]);
  expect(table[ZERO]).toBe(packed(GROUNDS.dark[ZERO]!));
});
