import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Problem } from "../../../src/data/rest";
import type { Rest } from "../../../src/data/rest";
import { Rows } from "../../../src/heat/rows";
import { Scene } from "../../../src/heat/scene";
import { START, timeText } from "./world";

const HOUR_MS = 3_600_000;
const NOW = START + 3 * HOUR_MS;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** `answers` by path: its rows, or a problem. What is not there has no rows. */
function world(answers: Record<string, unknown[] | Problem> = {}) {
  const asked: { path: string; from: number; to: number }[] = [];
  const rest = {
    pages: async function* (path: string, params: { from: number; to: number }) {
      asked.push({ path, from: params.from, to: params.to });
      await Promise.resolve();
      const found = answers[path] ?? [];
      if (found instanceof Problem) throw found;
      yield { data: found };
    },
  } as unknown as Rest;
  const scene = new Scene({ tick: 500, stored: 1_000 }, 8, "10.00000000");
  const rows = new Rows(rest, scene, "X", null, () => undefined);
  /** Looks, as often as the panel does, until `ms` after NOW. */
  const look = async (ms: number): Promise<void> => {
    rows.look(NOW + ms - 60_000, NOW + ms, NOW + ms);
    await vi.advanceTimersByTimeAsync(0);
  };
  const of = (path: string) => asked.filter((one) => one.path === path);
  return { answers, asked, scene, rows, look, of };
}

const away = new Problem({ type: "", title: "", status: 503, detail: "", code: "x", correlation_id: "" });
const candle = { timeframe: "1m", high: "3", low: "1", close: "2", volume: "1", revision: 0 };
const gap = { exchange: "okx", reason: "sequence_gap", detail: "", from_time: timeText(0) };

test("what is known is asked for once", async () => {
  const { look, asked } = world();
  await look(0);
  await look(250);
  expect(asked.map((one) => one.path)).toEqual(["/v1/gaps", "/v1/trades", "/v1/ohlcv"]);
});

test("after a cut all is asked for anew, and once more when what the database took last is there", async () => {
  const { look, rows, of } = world();
  await look(0);
  rows.begin("gaps");
  rows.begin("trades");
  rows.begin("candles");
  await look(HOUR_MS);
  for (const path of ["/v1/gaps", "/v1/trades", "/v1/ohlcv"]) expect(of(path)).toHaveLength(2);
  expect(of("/v1/ohlcv")[1]).toMatchObject({ from: START, to: NOW + HOUR_MS + 60_000 });
  for (let ms = 250; ms <= 30_000; ms += 250) await look(HOUR_MS + ms);
  for (const path of ["/v1/gaps", "/v1/trades", "/v1/ohlcv"]) expect(of(path)).toHaveLength(3);
});

test("trades are asked for from the newest on, until there are enough of them", async () => {
  const { rows, of, answers } = world();
  answers["/v1/trades"] = Array.from({ length: 15_000 }, (_, number) => ({
    exchange: "okx", trade_id: String(number), timestamp: timeText(number), price: "1", size: "1", side: "buy",
  })); // prettier-ignore
  rows.look(NOW - HOUR_MS, NOW, NOW);
  await vi.advanceTimersByTimeAsync(0);
  expect(of("/v1/trades").map((one) => [NOW - one.to, NOW - one.from])).toEqual([
    [0, 150_000],
    [150_000, 300_000],
  ]);
});

test("a gap that ended in a cut is closed", async () => {
  const { look, rows, answers, scene } = world();
  rows.gap({ ...gap, until_time: null } as never);
  await look(0);
  expect(scene.gaps.within(NOW, NOW + 1)).toHaveLength(1);
  answers["/v1/gaps"] = [{ ...gap, until_time: timeText(5_000) }];
  rows.begin("gaps");
  await look(250);
  expect(scene.gaps.within(NOW, NOW + 1)).toEqual([]);
});

test.each(["/v1/gaps", "/v1/trades", "/v1/ohlcv"])(
  "%s that failed is asked for again, after a pause",
  async (path) => {
    const { look, answers, of } = world({ [path]: away });
    await look(0);
    await look(250);
    expect(of(path)).toHaveLength(1);
    delete answers[path];
    await vi.advanceTimersByTimeAsync(3_000);
    await look(3_250);
    await look(3_500);
    expect(of(path)).toHaveLength(2);
  },
);

test("the day's price is shown only while all of its candles are here", async () => {
  const { look, rows, answers, scene } = world({ "/v1/ohlcv": away });
  scene.vwap.add({ ...candle, timestamp: timeText(3 * HOUR_MS) });
  await look(0);
  expect(scene.vwap.points()).toEqual([]);
  answers["/v1/ohlcv"] = [{ ...candle, high: "6", timestamp: timeText(0) }];
  await vi.advanceTimersByTimeAsync(3_000);
  await look(3_250);
  expect(scene.vwap.points()).toEqual([
    { time: START + 60_000, price: 3 },
    { time: NOW + 60_000, price: 2.5 },
  ]);
  rows.begin("candles");
  expect(scene.vwap.points()).toEqual([]);
  await look(3_500);
  expect(scene.vwap.points()).toHaveLength(2);
});

test("an answer from before a cut does not make the day whole", async () => {
  const { look, rows, scene, answers } = world();
  answers["/v1/ohlcv"] = [{ ...candle, timestamp: timeText(0) }];
  const first = look(0);
  rows.begin("candles");
  await first;
  expect(scene.vwap.points()).toEqual([]);
});
