/**
 * The second script of the heatmap's colours, which shares nothing with src/heat: from a volume and the legend's
 * cut-offs to red, green and blue, by what the palette's and the scale's descriptions say.
 */

/** Cut-offs as the legend's thumbs tell them: steps of 1/110 octave, 0 at 2^-27. */
export interface Cuts {
  low: number;
  high: number;
}

const STEPS = 256;
const HUE = { bid: 192, ask: 62 };
/** OKLab (Ottosson 2020): its two matrices, as published. */
const TO_LMS = [
  [1, 0.3963377774, 0.2158037573],
  [1, -0.1055613458, -0.0638541728],
  [1, -0.0894841775, -1.291485548],
];
const TO_RGB = [
  [4.0767416621, -3.3077115913, 0.2309699292],
  [-1.2684380046, 2.6097574011, -0.3413193965],
  [-0.0041960863, -0.7034186147, 1.707614701],
];

const times = (matrix: number[][], vector: number[]): number[] =>
  matrix.map((row) => row.reduce((sum, value, at) => sum + value * (vector[at] ?? 0), 0));

/** The palette `sides` on a dark ground: lightness from 0.24 to 0.97, as colourful as the screen can. */
export function colourOf(volume: number, side: "bid" | "ask", cuts: Cuts): [number, number, number] {
  const level = Math.min(8_191, Math.max(1, Math.round(110 * (Math.log2(volume) + 27))));
  const place = Math.min(1, Math.max(0, (level - cuts.low) / Math.max(1, cuts.high - cuts.low)));
  const share = Math.min(STEPS - 1, Math.floor(place * STEPS)) / (STEPS - 1);
  const lightness = 0.24 + 0.73 * share;
  const angle = (HUE[side] / 180) * Math.PI;
  for (
    let chroma = 0.15 * Math.sin(Math.PI * (0.18 + 0.72 * share));
    ;
    chroma = Math.max(0, chroma - 0.002)
  ) {
    const lab = [lightness, chroma * Math.cos(angle), chroma * Math.sin(angle)];
    const linear = times(
      TO_RGB,
      times(TO_LMS, lab).map((value) => value ** 3),
    );
    // The transfer function of sRGB (IEC 61966-2-1).
    const screen = linear.map((one) => (one > 0.0031308 ? 1.055 * one ** (1 / 2.4) - 0.055 : 12.92 * one));
    if (chroma === 0 || screen.every((one) => one >= 0 && one <= 1))
      return screen.map((one) => Math.round(255 * Math.min(1, Math.max(0, one)))) as [number, number, number];
  }
}
