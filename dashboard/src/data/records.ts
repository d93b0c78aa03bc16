// Written by `python -m deploy.dashboard_types` from the schemas of the API: don't edit.

/** Decimal text with eight decimals, exact: "61837.63000000". */
export type Decimal = string;
/** RFC 3339 in UTC with microseconds: "2026-01-02T03:04:05.500000Z". */
export type Time = string;

/** One accepted trade of one exchange. */
export interface TradeRecord {
  /** Canonical symbol, for example BTCUSDT. */
  symbol: string;
  /** Name of the exchange as in EXCHANGES. */
  exchange: string;
  /** The exchange's own trade time; stream time where that is outside 2010 to stream time + 1 day (then time_replaced). */
  timestamp: Time;
  /** Stream time of the frame that brought the trade. */
  received_at: Time;
  /** Price, rounded half-even to the 8th decimal. */
  price: Decimal;
  /** Size in the base currency, rounded half-even to the 8th decimal. */
  size: Decimal;
  /** Side of the taker: buy or sell. */
  side: string;
  /** The exchange's id, or <conn>-<seq>-<index> where it gives none. */
  trade_id: string;
  /** True where the exchange's time could not be used. */
  time_replaced: boolean;
  /** True where the price is further than 10 % from the last accepted one; flagged, not dropped. */
  anomaly: boolean;
  /** Whose sequence the position stands in. */
  source: string;
  /** Where in its source's sequence it stands: two integers that rise. */
  position: string;
  /** The topic it is of, in full. */
  topic: string;
  /** Its partition; null in a replay. */
  partition: number | null;
  /** Its offset; null in a replay. */
  offset: number | null;
}

/** One exchange's order book of one symbol at the tick T, and its trades since the last tick. */
export interface BookRecord {
  /** Canonical symbol, for example BTCUSDT. */
  symbol: string;
  /** Name of the exchange as in EXCHANGES. */
  exchange: string;
  /** T, a point of the grid of UPDATE_FREQUENCY. */
  timestamp: Time;
  /** True while the book is proven; a blind book states no level, bucket or metric. */
  live: boolean;
  /** Why the book is blind; null while live. */
  reason: string | null;
  /** Connection that built the book shown; null while blind. */
  conn: string | null;
  /** The exchange's sequence number of the last update in the book; null where it has none. */
  sequence_id: number | null;
  /** The best 50 bids inside the covered range, best first; none while the best bid is outside it. */
  bids: {
    /** Price of the level, rounded half-even to the 8th decimal. */
    price: Decimal;
    /** Total size resting at the price, absolute. */
    size: Decimal;
  }[];
  /** The best 50 asks inside the covered range, best first; none while the best ask is outside it. */
  asks: {
    /** Price of the level, rounded half-even to the 8th decimal. */
    price: Decimal;
    /** Total size resting at the price, absolute. */
    size: Decimal;
  }[];
  /** Bucket size of the symbol. */
  bucket_size: Decimal;
  /** HEATMAP_DEPTH contiguous bid buckets from the best bid downwards; empty and uncovered ones are omitted. */
  bid_buckets: {
    /** Lower edge P of the bucket [P, P + bucket_size). */
    price: Decimal;
    /** Sum of the sizes of the levels inside the bucket. */
    volume: Decimal;
  }[];
  /** HEATMAP_DEPTH contiguous ask buckets from the best ask upwards; empty and uncovered ones are omitted. */
  ask_buckets: {
    /** Lower edge P of the bucket [P, P + bucket_size). */
    price: Decimal;
    /** Sum of the sizes of the levels inside the bucket. */
    volume: Decimal;
  }[];
  /** Lowest price that the book knows about; null: no limit (or blind). */
  covered_low: Decimal | null;
  /** Highest price that the book knows about; null: no limit (or blind). */
  covered_high: Decimal | null;
  /** (best bid + best ask) / 2, half-even; null where a side is empty. */
  mid_price: Decimal | null;
  /** Best ask minus best bid; null where a side is empty. */
  spread: Decimal | null;
  /** Sum of the sizes of bids; null while blind. */
  bid_volume: Decimal | null;
  /** Sum of the sizes of asks; null while blind. */
  ask_volume: Decimal | null;
  /** (bid_volume - ask_volume) / (bid_volume + ask_volume), -1 to 1; null where both are 0. */
  imbalance: Decimal | null;
  /** Share of the first 20 levels that the thinner side fills, 0 to 1; 0 while blind. */
  quality: Decimal;
  /** One-second bars of the trades accepted since the last tick record, by second. */
  bars: {
    /** Start of the second, in candle time. */
    timestamp: Time;
    /** Price of the first trade by (candle time, offset). */
    open: Decimal;
    /** Highest price. */
    high: Decimal;
    /** Lowest price. */
    low: Decimal;
    /** Price of the last trade by (candle time, offset). */
    close: Decimal;
    /** Sum of the sizes. */
    volume: Decimal;
    /** Number of trades. */
    trade_count: number;
    /** Candle time of the first trade. */
    open_time: Time;
    /** Raw offset of the first trade, which orders trades of one candle time. */
    open_offset: number;
    /** Candle time of the last trade. */
    close_time: Time;
    /** Raw offset of the last trade. */
    close_offset: number;
  }[];
  /** Whose sequence the position stands in. */
  source: string;
  /** Where in its source's sequence it stands: two integers that rise. */
  position: string;
  /** The topic it is of, in full. */
  topic: string;
  /** Its partition; null in a replay. */
  partition: number | null;
  /** Its offset; null in a replay. */
  offset: number | null;
}

/** Volume by price bucket over all exchanges at the tick T. */
export interface HeatmapRecord {
  /** Canonical symbol, for example BTCUSDT. */
  symbol: string;
  /** T, a point of the grid of UPDATE_FREQUENCY. */
  timestamp: Time;
  /** Bucket size of the symbol. */
  bucket_size: Decimal;
  /** Bids from the best bucket downwards, then asks from the best bucket upwards. */
  data: {
    /** Lower edge P of the cell [P, P + bucket_size). */
    price: Decimal;
    /** Sum over the exchanges in it. */
    volume: Decimal;
    /** volume / largest volume of this frame, 0 to 1. */
    intensity: Decimal;
    /** bid or ask. */
    side: string;
    /** Exchanges with volume in the bucket. */
    exchange_count: number;
  }[];
  /** Lowest price at which an empty cell means zero at every exchange in the sum; below it unknown. Null: no limit, or no exchange in the sum. */
  covered_low: Decimal | null;
  /** Price below which an empty cell means zero at every exchange in the sum; from it on unknown. Null: no limit, or no exchange in the sum. */
  covered_high: Decimal | null;
  /** Exchanges in the sum, by name. */
  exchanges: ({
    /** Name of the exchange. */
    exchange: string;
    /** Lowest price it knows about; null: no limit. */
    covered_low: Decimal | null;
    /** Highest price it knows about; null: no limit. */
    covered_high: Decimal | null;
  })[];
  /** Configured exchanges that are not in it, by name. */
  missing: {
    /** Name of the exchange. */
    exchange: string;
    /** Why it is missing: never_connected, disconnected, producer_lost, sequence_gap, checksum, crossed, stale, not_listed, or no_tick. */
    reason: string;
  }[];
  /** Whose sequence the position stands in. */
  source: string;
  /** Where in its source's sequence it stands: two integers that rise. */
  position: string;
  /** The topic it is of, in full. */
  topic: string;
  /** Its partition; null in a replay. */
  partition: number | null;
  /** Its offset; null in a replay. */
  offset: number | null;
}

/** The order books of all exchanges as one, at the tick T. */
export interface ConsolidatedRecord {
  /** Canonical symbol, for example BTCUSDT. */
  symbol: string;
  /** T, a point of the grid of UPDATE_FREQUENCY. */
  timestamp: Time;
  /** The best 50 bids over all exchanges, best first. */
  bids: {
    /** Price of the level. */
    price: Decimal;
    /** Sum of the sizes. */
    size: Decimal;
    /** Exchanges with size at the price. */
    exchange_count: number;
  }[];
  /** The best 50 asks over all exchanges, best first. */
  asks: {
    /** Price of the level. */
    price: Decimal;
    /** Sum of the sizes. */
    size: Decimal;
    /** Exchanges with size at the price. */
    exchange_count: number;
  }[];
  /** (best bid + best ask) / 2, half-even; null where a side is empty. */
  mid_price: Decimal | null;
  /** Best ask minus best bid; negative where exchanges cross each other. */
  spread: Decimal | null;
  /** Imbalance of the best level, -1 to 1. */
  top: Decimal | null;
  /** Imbalance of the best 5 levels. */
  depth5: Decimal | null;
  /** Imbalance of the best 20 levels. */
  depth20: Decimal | null;
  /** Imbalance of the heatmap's cells. */
  bucketed: Decimal | null;
  /** Exchanges in it, by name. */
  exchanges: string[];
  /** Configured exchanges that are not in it, by name. */
  missing: {
    /** Name of the exchange. */
    exchange: string;
    /** Why it is missing: never_connected, disconnected, producer_lost, sequence_gap, checksum, crossed, stale, not_listed, or no_tick. */
    reason: string;
  }[];
  /** Whose sequence the position stands in. */
  source: string;
  /** Where in its source's sequence it stands: two integers that rise. */
  position: string;
  /** The topic it is of, in full. */
  topic: string;
  /** Its partition; null in a replay. */
  partition: number | null;
  /** Its offset; null in a replay. */
  offset: number | null;
}

/** One candle over all exchanges; a later revision replaces an earlier one. */
export interface OhlcvRecord {
  /** Canonical symbol, for example BTCUSDT. */
  symbol: string;
  /** Start of the candle. */
  timestamp: Time;
  /** 1s, 1m, 5m, 15m, 1h, 4h or 1d. */
  timeframe: string;
  /** First price by (candle time, exchange, offset). */
  open: Decimal;
  /** Highest price. */
  high: Decimal;
  /** Lowest price. */
  low: Decimal;
  /** Last price by (candle time, exchange, offset). */
  close: Decimal;
  /** Sum of the sizes. */
  volume: Decimal;
  /** Number of trades. */
  trade_count: number;
  /** 0 when first emitted, then +1 each time later ticks brought trades. */
  revision: number;
  /** True where every configured exchange was live (or does not list the symbol) at every tick T, start < T <= end, and its beginning was seen. */
  complete: boolean;
  /** T of the tick that emitted it. */
  received_at: Time;
  /** Whose sequence the position stands in. */
  source: string;
  /** Where in its source's sequence it stands: two integers that rise. */
  position: string;
  /** The topic it is of, in full. */
  topic: string;
  /** Its partition; null in a replay. */
  partition: number | null;
  /** Its offset; null in a replay. */
  offset: number | null;
}

/** The state of one slot's connection as its producer saw it. */
export interface StatusRecord {
  /** Name of the exchange as in EXCHANGES. */
  exchange: string;
  /** Slot: the exchange's name, a dash and a number from 0 on; where it has several producers, @ and the name of this one (COLLECTOR). */
  slot: string;
  /** Present connection; null where there is none. */
  conn: string | null;
  /** connecting, connected, subscribed, disconnected or stopped. */
  state: string;
  /** Since when the state has lasted. */
  since: Time;
  /** When the last frame came; null: none yet. */
  last_message_at: Time | null;
  /** Connections made after the first. */
  reconnects: number;
  /** closed, open or half_open. */
  breaker: string;
  /** Last error; null: none. */
  error: string | null;
  /** When this was written; older than 5 s means unknown. */
  observed_at: Time;
  /** Whose sequence the position stands in. */
  source: string;
  /** Where in its source's sequence it stands: two integers that rise. */
  position: string;
  /** The topic it is of, in full. */
  topic: string;
  /** Its partition; null in a replay. */
  partition: number | null;
  /** Its offset; null in a replay. */
  offset: number | null;
}

/** A hole in what is known of one book: from when to when, and why. */
export interface GapRecord {
  /** Canonical symbol, for example BTCUSDT. */
  symbol: string;
  /** Name of the exchange as in EXCHANGES. */
  exchange: string;
  /** Stream time at which this record was written. */
  timestamp: Time;
  /** Stream time since which nothing is proven. */
  from_time: Time;
  /** Stream time from which the book is proven again; null while the hole is open. */
  until_time: Time | null;
  /** Why: one of the reasons of blindness, or time_jump, dropped, retention. */
  reason: string;
  /** Connection concerned, where there is one. */
  conn: string | null;
  /** What was seen, for example the sequence numbers expected and found. */
  detail: string;
  /** Whose sequence the position stands in. */
  source: string;
  /** Where in its source's sequence it stands: two integers that rise. */
  position: string;
  /** The topic it is of, in full. */
  topic: string;
  /** Its partition; null in a replay. */
  partition: number | null;
  /** Its offset; null in a replay. */
  offset: number | null;
}

/** What one minute of one book was worth. */
export interface QualityRecord {
  /** Canonical symbol, for example BTCUSDT. */
  symbol: string;
  /** Name of the exchange as in EXCHANGES. */
  exchange: string;
  /** End of the minute. */
  timestamp: Time;
  /** coverage * events / (events + faults), 0 to 1; faults = rejected + duplicates + anomalies + gaps + crossed_ticks + checksum_failures + skewed + clamped; coverage where both are 0. */
  score: Decimal;
  /** Ticks at which the book was live / ticks of the minute, those left out by a time jump included. */
  coverage: Decimal;
  /** 1 - rejected / (events + rejected). */
  accepted: Decimal;
  /** Book updates and trades taken in. */
  events: number;
  /** What could not be used and went to the dead letters. */
  rejected: number;
  /** Updates, trades and records that one connection brought twice; history sent on subscribing and copies of another connection are none. */
  duplicates: number;
  /** Trades flagged for their price. */
  anomalies: number;
  /** Gaps that began: times that the book went blind, time jumps, records gone. */
  gaps: number;
  /** Ticks at which the book was found crossed. */
  crossed_ticks: number;
  /** Microseconds of the minute's ticks at which the book was blind, those left out by a time jump included. */
  blind_us: number;
  /** Of blind_us, those with the reason crossed. */
  crossed_us: number;
  /** Checksums of the exchange that did not hold, of any connection. */
  checksum_failures: number;
  /** Of events, those whose exchange time is further than 2 s from their receipt; history and updates held for a snapshot are not looked at. */
  skewed: number;
  /** Records whose receipt was more than 1 s ahead of the newest mark. */
  clamped: number;
  /** Exchange time minus receipt in microseconds, where it was furthest from 0. */
  clock_skew_us: number;
  /** Whose sequence the position stands in. */
  source: string;
  /** Where in its source's sequence it stands: two integers that rise. */
  position: string;
  /** The topic it is of, in full. */
  topic: string;
  /** Its partition; null in a replay. */
  partition: number | null;
  /** Its offset; null in a replay. */
  offset: number | null;
}

/** An interval in which one book was proven without a break; comes once a minute while it goes on, and when it ends. */
export interface ContinuityRecord {
  /** Canonical symbol, for example BTCUSDT. */
  symbol: string;
  /** Name of the exchange as in EXCHANGES. */
  exchange: string;
  /** Stream time at which this record was written. */
  timestamp: Time;
  /** Stream time of the snapshot or update with which the book came to be proven; names the interval. */
  start_time: Time;
  /** Stream time of the last update that proved it: the next gap's from_time, once it has ended. */
  end_time: Time;
  /** What proved it: sequence, checksum, both, or snapshot where nothing has followed that. */
  rule: string;
  /** Updates of the book shown that continued its sequence. */
  sequenced: number;
  /** Checksums of the exchange that held. */
  checked: number;
  /** Snapshots that the book shown was begun or renewed from. */
  snapshots: number;
  /** Connection shown last. */
  conn: string;
  /** Connections shown in turn, each proven when it took over. */
  connections: number;
  /** Why it ended, as in the gap that follows; null: it goes on, or nobody was there to say so. */
  reason: string | null;
  /** Whose sequence the position stands in. */
  source: string;
  /** Where in its source's sequence it stands: two integers that rise. */
  position: string;
  /** The topic it is of, in full. */
  topic: string;
  /** Its partition; null in a replay. */
  partition: number | null;
  /** Its offset; null in a replay. */
  offset: number | null;
}

/** Channel -> what its records are. */
export interface Records {
  trade: TradeRecord;
  book: BookRecord;
  heatmap: HeatmapRecord;
  consolidated: ConsolidatedRecord;
  ohlcv: OhlcvRecord;
  status: StatusRecord;
  gap: GapRecord;
  quality: QualityRecord;
  continuity: ContinuityRecord;
}
export type Channel = keyof Records;

/** The key was right. */
export interface AuthenticatedMessage {
  type: "authenticated";
  id: string | number | null;
  scopes: string[];
  seq: number;
}

/** Nothing more comes: a replay is over (it may be ordered to seek, then it does), or the server stops. */
export interface EndMessage {
  type: "end";
  reason: "deleted" | "failed" | "finished" | "server_stopping" | "stopped";
  session: string | null;
  error: string | null;
  missing: string[];
  seq: number;
}

/** Something can't be done; `id` is the request's where it was one. The connection goes on, unless it says so. `resume` of `cursor.expired`: the cursor by which a subscription goes on with all that is still there. */
export interface ErrorMessage {
  type: "error";
  code: string;
  message: string;
  id: string | number | null;
  where: string | null;
  allowed: string | null;
  subscription: string | null;
  missed: MissedMessage[];
  resume: string | null;
  seq: number;
}

/** How far a channel is: all that was in Kafka at `current_at` has been sent, or waits for this client to read. */
export interface FreshnessMessage {
  channel: string;
  current_at: string | null;
  behind_records: number | null;
  newest: string | null;
}

/** A hole in what is known of the symbol; what was derived from it is to be reset. Never left out. */
export interface GapMessage {
  type: "gap";
  conflated: number;
  data: Record<string, unknown>;
  subscription: string;
  channel: string;
  symbol: string | null;
  seq: number;
  cursor: string;
  session: string | null;
  run: number | null;
  n: number | null;
}

/** Each second. `waiting_bytes`: what the client has not taken yet. */
export interface HeartbeatMessage {
  type: "heartbeat";
  time: string;
  waiting_bytes: number;
  session: string | null;
  channels: FreshnessMessage[];
  seq: number;
}

/** What a client may do. */
export interface LimitsMessage {
  message_bytes: number;
  operations_per_second: number;
  subscriptions: number;
  connections: number;
  behind_bytes: number;
  behind_seconds: number;
}

/** Records that are gone: [from_offset, until_offset) of a partition. */
export interface MissedMessage {
  topic: string;
  partition: number;
  from_offset: number;
  until_offset: number;
}

/** The answer to `ping`. */
export interface PongMessage {
  type: "pong";
  id: string | number | null;
  time: string;
  seq: number;
}

/** The answer to `replay`. */
export interface ReplayingMessage {
  type: "replaying";
  id: string | number | null;
  session: string;
  state: string;
  seq: number;
}

/** The first of a subscription, and of each run of a replay: the newest record of each key. `complete` false: a key may be missing, because a cache was not there. */
export interface SnapshotMessage {
  type: "snapshot";
  complete: boolean;
  data: Record<string, unknown>[];
  subscription: string;
  channel: string;
  symbol: string | null;
  seq: number;
  cursor: string;
  session: string | null;
  run: number | null;
  n: number | null;
}

/** These begin; of those that can't, an `error` names each. */
export interface SubscribedMessage {
  type: "subscribed";
  id: string | number | null;
  subscriptions: SubscriptionMessage[];
  seq: number;
}

/** One subscription; `resumed`: it goes on from a cursor, without a snapshot. */
export interface SubscriptionMessage {
  subscription: string;
  channel: string;
  symbol: string | null;
  resumed: boolean;
}

/** The answer to `list`. */
export interface SubscriptionsMessage {
  type: "subscriptions";
  id: string | number | null;
  session: string | null;
  subscriptions: SubscriptionMessage[];
  seq: number;
}

/** Nothing more comes of these. */
export interface UnsubscribedMessage {
  type: "unsubscribed";
  id: string | number | null;
  subscriptions: string[];
  seq: number;
}

/** One record. `conflated`: how many older ones of its key were left out. */
export interface UpdateMessage {
  type: "update";
  conflated: number;
  data: Record<string, unknown>;
  subscription: string;
  channel: string;
  symbol: string | null;
  seq: number;
  cursor: string;
  session: string | null;
  run: number | null;
  n: number | null;
}

/** The first message. With `must_authenticate` the client's first one has to be `auth`. */
export interface WelcomeMessage {
  type: "welcome";
  version: number;
  time: string;
  heartbeat_seconds: number;
  must_authenticate: boolean;
  limits: LimitsMessage;
  channels: string[];
  symbols: string[];
  seq: number;
}

export type ServerMessage = WelcomeMessage | AuthenticatedMessage | SubscribedMessage | UnsubscribedMessage | SubscriptionsMessage | PongMessage | ReplayingMessage | ErrorMessage | HeartbeatMessage | EndMessage | SnapshotMessage | UpdateMessage | GapMessage;
