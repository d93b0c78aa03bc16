import { expect, test } from "vitest";
import { columnOf } from "../../../src/heat/columns";
import { Bests, MOST_BUBBLES, MOST_TRADES, Trades, Vwap, radius } from "../../../src/heat/lines";
import { Timeline } from "../../../src/heat/timeline";
import { START, heat, timeText } from "./world";

function trade(id: number, ms: number, price: string, size: string, side = "buy") {
  return { exchange: "okx", trade_id: String(id), timestamp: timeText(ms), price, size, side };
}

function candle(ms: number, high: string, low: string, close: string, volume: string, revision = 0) {
  return { timestamp: timeText(ms), timeframe: "1m", high, low, close, volume, revision };
}

test("trades of one column, row and side are one bubble, each trade counted once", () => {
  const trades = new Trades();
  expect(trades.add(trade(1, 100, "101.0", "2.00000000"))).toBe(true);
  expect(trades.add(trade(1, 100, "101.0", "2.00000000"))).toBe(false);
  trades.add(trade(2, 400, "109.9", "0.50000000"));
  trades.add(trade(3, 400, "109.9", "1.00000000", "sell"));
  trades.add(trade(4, 400, "110.0", "4.00000000"));
  trades.add(trade(5, 600, "101.0", "9.00000000"));
  const slot = START / 500;
  expect(trades.bubbles(500, slot, slot + 1, 10)).toEqual([
    { slot, row: 11, side: "buy", size: 4, count: 1 },
    { slot, row: 10, side: "buy", size: 2.5, count: 2 },
    { slot, row: 10, side: "sell", size: 1, count: 1 },
  ]);
  expect(trades.bubbles(1_000, START / 1_000, START / 1_000 + 1, 100)[0]).toMatchObject({
    size: 15.5,
    count: 4,
  });
});

test("of many trades the newest are held, and the largest bubbles shown", () => {
  const trades = new Trades();
  for (let at = 0; at < MOST_TRADES + 5; at++) trades.add(trade(at, at * 500, "100.0", String(1 + (at % 7))));
  expect(trades.size).toBe(MOST_TRADES);
  const shown = trades.bubbles(500, 0, Infinity, 10);
  expect(shown).toHaveLength(MOST_BUBBLES);
  expect(shown.every((one) => one.size === 7)).toBe(true);
});

test("a bubble's area is its size", () => {
  expect(radius(25, 100, 20)).toBe(10);
  expect(radius(100, 100, 20)).toBe(20);
});

test("the volume-weighted price is the day's, by hand", () => {
  const vwap = new Vwap();
  vwap.add(candle(60_000, "130.0", "110.0", "120.0", "3.0")); // 120 × 3
  vwap.add(candle(0, "110.0", "90.0", "100.0", "1.0")); // 100 × 1
  vwap.add({ ...candle(0, "999.0", "999.0", "999.0", "99.0"), timeframe: "1s" });
  vwap.isWhole(START);
  expect(vwap.points()).toEqual([
    { time: START + 60_000, price: 100 },
    { time: START + 120_000, price: 115 },
  ]);
  vwap.add(candle(60_000, "130.0", "110.0", "120.0", "4.0", 2));
  vwap.add(candle(60_000, "130.0", "110.0", "120.0", "3.0", 1)); // came late: an earlier revision
  expect(vwap.points()[1]!.price).toBe(116);
  vwap.add(candle(86_400_000, "60.0", "40.0", "50.0", "2.0"));
  expect(vwap.points()).toHaveLength(2); // of the next day some may be missing
  vwap.isWhole(START + 86_400_000);
  expect(vwap.points()[2]!.price).toBe(50);
});

test("best prices are exact where they were told, else to the bucket", () => {
  const timeline = new Timeline(500, { tick: 500, stored: 500 }, 16);
  const slot = START / 500;
  timeline.moveTo(slot);
  const bests = new Bests(500, 16);
  bests.moveTo(slot);
  timeline.put(columnOf(heat(0, { bids: { 90: "1.0", 80: "1.0" }, asks: { 110: "1.0" } })));
  expect(bests.at(timeline, slot)).toMatchObject({ bid: 100, ask: 110 });
  bests.put({ time: START, bid: 99.5, ask: 110.25 });
  expect(bests.at(timeline, slot)).toMatchObject({ bid: 99.5, ask: 110.25 });
  timeline.put(columnOf(heat(500, { bids: { 100: "1.0" }, asks: { 100: "1.0" } })));
  expect(bests.at(timeline, slot + 1)).toMatchObject({ bid: 105, ask: 105 });
  timeline.put(columnOf(heat(1_000, { bids: { 100: "1.0" } })));
  expect(bests.at(timeline, slot + 2)).toMatchObject({ bid: 110, ask: null });
  expect(bests.at(timeline, slot + 3)).toBeNull();
});
