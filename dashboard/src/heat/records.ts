/** What the heatmap needs of the records (docs/topics.md); those of the API have more. Pure. */

import type { BookRecord, HeatmapRecord } from "../data/types";

type Cell = Pick<HeatmapRecord["data"][number], "price" | "volume" | "side" | "exchange_count">;

/** A record of channel `heatmap`, or a column of `/v1/heatmap`, which tells its ticks. */
export interface HeatRecord extends Pick<
  HeatmapRecord,
  "timestamp" | "bucket_size" | "covered_low" | "covered_high"
> {
  readonly data: readonly Cell[];
  readonly exchanges: readonly { readonly exchange: string }[];
  readonly missing: readonly Missing[];
  readonly ticks?: number;
}

export interface Missing {
  readonly exchange: string;
  readonly reason: string;
}

/** A record of channel `book`: one exchange at the tick T. */
export type BookTick = Pick<
  BookRecord,
  | "exchange"
  | "timestamp"
  | "live"
  | "reason"
  | "bids"
  | "asks"
  | "bucket_size"
  | "bid_buckets"
  | "ask_buckets"
  | "covered_low"
  | "covered_high"
>;
