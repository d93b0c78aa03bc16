import { expect, test } from "vitest";
import { Candles, isHole, type Bar, type Candle } from "../../src/market/candledata";
import { Delta } from "../../src/market/flow";

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
