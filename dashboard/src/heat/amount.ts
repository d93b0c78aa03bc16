/** Decimals of the wire, exactly: a whole part and hundred-millionths. No sum loses a digit. Pure. */

export const PARTS = 100_000_000;

export interface Amount {
  readonly whole: number;
  /** Hundred-millionths, 0 to 99,999,999. */
  readonly part: number;
}

export const NOTHING: Amount = { whole: 0, part: 0 };

/** The amount of a text such as `12.50000000`; whole parts are exact up to 9 × 10^15. */
export function parseAmount(text: string): Amount {
  const dot = text.indexOf(".");
  if (dot < 0) return { whole: Number(text), part: 0 };
  return {
    whole: Number(text.slice(0, dot)),
    part: Number(
      text
        .slice(dot + 1)
        .padEnd(8, "0")
        .slice(0, 8),
    ),
  };
}

export function add(one: Amount, other: Amount): Amount {
  const part = one.part + other.part;
  return part < PARTS
    ? { whole: one.whole + other.whole, part }
    : { whole: one.whole + other.whole + 1, part: part - PARTS };
}

export function isLess(one: Amount, other: Amount): boolean {
  return one.whole < other.whole || (one.whole === other.whole && one.part < other.part);
}

export function isNothing(one: Amount): boolean {
  return one.whole === 0 && one.part === 0;
}

/** As a number, for colours and sizes on the screen; not for what is told. */
export function valueOf(one: Amount): number {
  return one.whole + one.part / PARTS;
}

/** All of its digits, grouped by thousands, without needless zeros: `1,234.5`. */
export function amountText(one: Amount): string {
  const whole = String(one.whole).replace(/\B(?=(\d{3})+$)/g, ",");
  const part = String(one.part).padStart(8, "0").replace(/0+$/, "");
  return part ? `${whole}.${part}` : whole;
}

/** How many decimals a price of these steps needs: 10 → 0, 0.25 → 2. */
export function decimalsOf(step: string): number {
  return (step.split(".")[1] ?? "").replace(/0+$/, "").length;
}

/** A price on the grid of `step`, with as many decimals as the grid has: `64,210.50`. */
export function priceText(price: number, decimals: number): string {
  const [whole = "", part] = Math.abs(price).toFixed(decimals).split(".");
  const sign = price < 0 ? "−" : "";
  return sign + whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part ? `.${part}` : "");
}
