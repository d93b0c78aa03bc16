import { describe, expect, test } from "vitest";
import { Candles, isHole, MOST_CANDLES, storedOf, type Bar, type Candle } from "../../src/market/candledata";
import { Delta, unknownOf } from "../../src/market/flow";
import { Past } from "../../src/market/past";

const T0 = Date.UTC(2026, 0, 2, 3, 0, 0) / 1_000;

function candle(
  at: number,
  timeframe: string,
  prices: [number, number, number, number],
  more: Partial<Candle> = {},
): Candle {
  const [open, high, low, close] = prices.map((price) => `${price}.00000000`) as [
    string,
    string,
    string,
    string,
  ];
  const timestamp = new Date((T0 + at) * 1_000).toISOString();
  return {
    timestamp,
    timeframe,
    open,
    high,
    low,
    close,
    volume: "1.00000000",
    revision: 0,
    complete: true,
    received_at: new Date((T0 + at + 90_000) * 1_000).toISOString(),
    ...more,
  };
}

test("a later revision replaces an earlier one, and not the other way round", () => {
  const candles = new Candles("1m");
  candles.add(candle(0, "1m", [1, 2, 1, 2], { revision: 1 }));
  expect(candles.add(candle(0, "1m", [1, 9, 1, 9], { revision: 0 }))).toBe(false);
  expect((candles.bars()[0] as Bar).close).toBe(2);
});

test("a missing candle stays a hole of its own width", () => {
  const candles = new Candles("1m");
  for (const at of [0, 180]) candles.add(candle(at, "1m", [1, 1, 1, 1]));
  expect(candles.bars().map((one) => [one.time - T0, isHole(one)])).toEqual([
    [0, false],
    [60, true],
    [120, true],
    [180, false],
  ]);
});

test("the candle that forms is made of whole minutes and the seconds after them, each once", () => {
  const candles = new Candles("5m");
  candles.add(candle(0, "5m", [10, 12, 9, 11]));
  candles.add(candle(300, "1m", [11, 15, 11, 14], { volume: "3.00000000" }));
  candles.add(candle(310, "1s", [11, 15, 11, 15])); // within that minute
  candles.add(candle(361, "1s", [14, 14, 8, 9]));
  expect(candles.bars().at(-1)).toEqual({
    time: T0 + 300,
    open: 11,
    high: 15,
    low: 8,
    close: 9,
    volume: 4,
    state: "forming",
  });
});

test("once it is final, its parts are forgotten", () => {
  const candles = new Candles("1m");
  candles.add(candle(5, "1s", [1, 1, 1, 1]));
  candles.add(candle(0, "1m", [1, 2, 1, 2]));
  expect(candles.bars()).toMatchObject([{ time: T0, high: 2, state: "final" }]);
});

test("a candle without an exchange at some tick says so", () => {
  const candles = new Candles("1m");
  candles.add(candle(0, "1m", [1, 1, 1, 1], { complete: false }));
  expect((candles.bars()[0] as Bar).state).toBe("incomplete");
});

test("a candle that is open where a replay begins is made of its parts, and does not stand still", () => {
  const candles = new Candles("1h");
  const open = { complete: false, received_at: new Date((T0 + 1_800) * 1_000).toISOString() };
  expect(candles.add(candle(0, "1h", [1, 9, 1, 9], open))).toBe(false);
  candles.add(candle(0, "1m", [1, 2, 1, 2]));
  candles.add(candle(1_800, "1s", [2, 3, 2, 3]));
  expect(candles.bars()).toMatchObject([{ time: T0, high: 3, state: "forming" }]);
});

test("nothing is asked for that ends after the moment shown", () => {
  const asked = storedOf("1h", (T0 + 1_830) * 1_000 + 400, 10);
  expect(asked).toEqual([
    ["1h", T0 - 36_000, T0],
    ["1m", T0 - 60, T0 + 1_800],
    ["1s", T0 + 1_740, T0 + 1_830],
  ]);
  expect(storedOf("1s", T0 * 1_000 + 999, 10)).toEqual([["1s", T0 - 10, T0]]);
});

test("every hole is seen, a long one before it or not", () => {
  const candles = new Candles("1s");
  for (const at of [0, 2, 2_000, 2_002, 2_003]) candles.add(candle(at, "1s", [1, 1, 1, 1]));
  const bars = candles.bars();
  const holesIn = (from: number, to: number): number =>
    bars.filter((one) => isHole(one) && one.time > T0 + from && one.time < T0 + to).length;
  expect([holesIn(2_000, 2_002), holesIn(2, 2_000), holesIn(0, 2)]).toEqual([1, 499, 1]);
});

test("the oldest go when a new one comes, and not when older ones are looked at", () => {
  const candles = new Candles("1s");
  for (let at = 0; at < MOST_CANDLES; at++) candles.add(candle(at, "1s", [1, 1, 1, 1]));
  for (let at = -1_000; at < 0; at++) candles.add(candle(at, "1s", [1, 1, 1, 1]));
  expect(candles.bars().some(isHole)).toBe(false);
  expect(candles.size).toBe(MOST_CANDLES + 1_000);
  candles.add(candle(MOST_CANDLES, "1s", [1, 1, 1, 1]));
  expect(candles.size).toBe(MOST_CANDLES - 1_000);
  expect(candles.bars().some(isHole)).toBe(false);
});

describe("the way back", () => {
  const pastOf = (stored: number[]): { past: Past; asked: [number, number][] } => {
    const asked: [number, number][] = [];
    const fetch = (from: number, to: number): Promise<number> => {
      asked.push([from, to]);
      return Promise.resolve(stored.filter((time) => time >= from && time < to).length);
    };
    return { past: new Past(1, fetch, () => Promise.resolve(Math.min(...stored))), asked };
  };

  test("goes over an outage, on with the next look where it is a long one", async () => {
    const { past, asked } = pastOf([5_000]);
    await past.further(20_000);
    expect(asked.at(-1)).toEqual([10_000, 11_000]);
    await past.further(20_000);
    expect(asked.at(-1)).toEqual([5_000, 6_000]);
  });

  test("ends where the history begins", async () => {
    const { past, asked } = pastOf([5_000]);
    await past.further(5_000);
    expect(asked).toEqual([]);
  });

  test("begins anew where the oldest have gone", async () => {
    const { past, asked } = pastOf([0, 5_000]);
    await past.further(5_000);
    await past.further(8_000);
    expect(asked.at(-3)).toEqual([7_000, 8_000]);
  });
});

test("volume delta joins past and present at the cut, counting no trade twice", () => {
  const delta = new Delta(60, (T0 + 90) * 1_000);
  delta.addRows([
    {
      timestamp: new Date(T0 * 1_000).toISOString(),
      buy_volume: "5.0",
      sell_volume: "2.0",
      trade_count: 3,
      vwap: "1",
    },
    {
      timestamp: new Date((T0 + 60) * 1_000).toISOString(),
      buy_volume: "1.0",
      sell_volume: "1.5",
      trade_count: 2,
      vwap: "1",
    },
  ]);
  const trade = (at: number, side: string, id: string) => ({
    exchange: "okx",
    trade_id: id,
    timestamp: new Date((T0 + at) * 1_000).toISOString(),
    size: "0.25",
    side,
  });
  delta.addTrades([trade(80, "buy", "before"), trade(95, "buy", "a"), trade(130, "sell", "b")]);
  delta.addTrades([trade(95, "buy", "a")]);
  expect(delta.points()).toEqual([
    { time: T0, value: 3 },
    { time: T0 + 60, value: 2.75 },
    { time: T0 + 120, value: 2.5 },
  ]);
});

test("the sum of what has gone out of sight stays in the sum", () => {
  const delta = new Delta(1, 0);
  const trade = (second: number) => ({
    exchange: "okx",
    trade_id: String(second),
    timestamp: new Date((T0 + second) * 1_000).toISOString(),
    size: "1.0",
    side: "buy",
  });
  for (let second = 0; second < 10_000; second++) delta.addTrades([trade(second)]);
  const points = delta.points();
  expect(points.length).toBeLessThanOrEqual(8_000);
  expect(points.at(-1)).toEqual({ time: T0 + 9_999, value: 10_000 });
});

test("the line is cut where nobody knows all trades, and the sum goes on behind", () => {
  const delta = new Delta(60, 0);
  const iso = (at: number): string => new Date((T0 + at) * 1_000).toISOString();
  for (const at of [0, 60, 300])
    delta.addRows([{ timestamp: iso(at), buy_volume: "1.0", sell_volume: "0.0", trade_count: 1, vwap: "1" }]);
  const hole = (exchange: string, from: number, to: number | null) => ({
    symbol: "BTCUSDT",
    exchange,
    from: iso(from),
    to: to === null ? null : iso(to),
    reason: "not_stored",
  });
  const gaps = [hole("okx", 0, 120), hole("*", 130, 200), hole("*", 400, null)];
  const unknown = unknownOf({ complete: false, gaps, more_gaps: false }, (T0 + 500) * 1_000);
  expect(unknown.map((span) => span.map((ms) => ms / 1_000 - T0))).toEqual([
    [130, 200],
    [400, 500],
  ]);
  delta.addUnknown(unknown);
  expect(delta.points()).toEqual([
    { time: T0, value: 1 },
    { time: T0 + 60, value: 2, isCut: true },
    { time: T0 + 300, value: 3 },
  ]);
});
