/** Exact numbers: integers of 1e-8, as the whole system counts, from and to the API's decimal texts. Pure. */
import type { Decimal } from "./records";

const PLACES = 8;
const ONE = 10n ** BigInt(PLACES);

/** "61837.63000000" → 6183763000000n. */
export function units(text: Decimal): bigint {
  const [whole = "0", part = ""] = text.split(".");
  const negative = whole.startsWith("-");
  const size =
    BigInt(negative ? whole.slice(1) : whole) * ONE + BigInt(part.slice(0, PLACES).padEnd(PLACES, "0"));
  return negative ? -size : size;
}

/** 6183763000000n → "61837.63000000". */
export function decimal(value: bigint): Decimal {
  const size = value < 0n ? -value : value;
  return `${value < 0n ? "-" : ""}${size / ONE}.${String(size % ONE).padStart(PLACES, "0")}`;
}

/** "61837.63000000" → "61,837.63": exact, without zeros at the end; at least ``places`` decimals. */
export function shown(text: Decimal, places = 0): string {
  const [whole = "0", part = ""] = text.split(".");
  const kept = part.replace(/0+$/, "").padEnd(places, "0");
  return grouped(whole) + (kept ? `.${kept}` : "");
}

/** Rounded half away from zero to ``places`` decimals: sizes and volumes where exact ones would not be read. */
export function rounded(text: Decimal, places: number): string {
  const cut = 10n ** BigInt(PLACES - places);
  const value = units(text);
  const half = value < 0n ? -cut / 2n : cut / 2n;
  const [whole = "0", part = ""] = decimal(((value + half) / cut) * cut).split(".");
  return grouped(whole) + (places > 0 ? `.${part.slice(0, places)}` : "");
}

/** How many decimals it takes to show all of them exactly. */
export function placesOf(texts: Iterable<Decimal>): number {
  let most = 0;
  for (const text of texts) most = Math.max(most, (text.split(".")[1] ?? "").replace(/0+$/, "").length);
  return most;
}

function grouped(whole: string): string {
  return whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}
