/** Records made by hand, for the tests of the heatmap. */

import type { HeatRecord, Missing } from "../../../src/heat/records";

/** `2026-01-02T00:00:00Z` and so many milliseconds. */
export const START = Date.UTC(2026, 0, 2);

export function timeText(ms: number): string {
  return new Date(START + ms).toISOString().replace("Z", "000Z");
}

export interface Given {
  size?: string;
  bids?: Record<string, string>;
  asks?: Record<string, string>;
  covered?: [string | null, string | null];
  exchanges?: string[];
  missing?: Missing[];
  ticks?: number;
}

/** A heatmap record `ms` after START; cells by price, best first. */
export function heat(ms: number, given: Given = {}): HeatRecord {
  const cells = (side: string, of: Record<string, string> = {}): HeatRecord["data"] =>
    Object.entries(of)
      .sort(([one], [other]) => (side === "bid" ? Number(other) - Number(one) : Number(one) - Number(other)))
      .map(([price, volume]) => ({ price, volume, side, exchange_count: 1 }));
  const [low, high] = given.covered ?? [null, null];
  return {
    timestamp: timeText(ms),
    bucket_size: given.size ?? "10.00000000",
    data: [...cells("bid", given.bids), ...cells("ask", given.asks)],
    covered_low: low,
    covered_high: high,
    exchanges: (given.exchanges ?? ["kraken"]).map((exchange) => ({ exchange })),
    missing: given.missing ?? [],
    ...(given.ticks === undefined ? {} : { ticks: given.ticks }),
  };
}
