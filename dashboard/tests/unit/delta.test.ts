import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Rest } from "../../src/data/rest";
import { Store } from "../../src/data/store";
import type { Told, TradeRecord } from "../../src/data/types";
import { DeltaFeed, type DeltaMarket } from "../../src/market/delta";

const NOW = Date.UTC(2026, 0, 2, 3, 0, 2);
const iso = (ms: number): string => new Date(ms).toISOString();

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function trade(at: number, id: string): TradeRecord {
  const timestamp = iso(NOW + at);
  return { exchange: "okx", trade_id: id, timestamp, size: "1.0", side: "buy" } as TradeRecord;
}

/** A market with a feed that is told things, and an API that knows the trades stored until a time. */
function world() {
  const stored: TradeRecord[] = [];
  const api = { until: NOW, now: NOW, flows: 0, answer: (): Promise<void> => Promise.resolve() };
  const fetch = async (url: string): Promise<Response> => {
    const asked = new URL(url, "http://a");
    const [from, to] = ["from", "to"].map((name) => Number(asked.searchParams.get(name))) as [number, number];
    const isFlow = asked.pathname === "/v1/flow";
    if (isFlow) api.flows += 1;
    await api.answer();
    const gaps =
      to > api.until
        ? [{ exchange: "*", from: iso(Math.max(from, api.until)), to: iso(to), reason: "" }]
        : [];
    const found = stored.filter(({ timestamp }) => {
      const time = Date.parse(timestamp);
      return time >= from && time < Math.min(to, api.until);
    });
    const page = { next_cursor: null, has_more: false };
    return Response.json({ data: isFlow ? [] : found, page, meta: { gaps, more_gaps: false } });
  };
  const link = new Store({ reduced: false });
  let listener: (told: Told<"trade">) => void = () => undefined;
  const market = {
    feed: { subscribe: (_: unknown, hear: typeof listener) => ((listener = hear), () => undefined) },
    view: new Store({ symbol: "BTCUSDT" }),
    mode: new Store({ name: "live" }),
    now: () => api.now,
    app: { rest: new Rest({ fetch: fetch as typeof globalThis.fetch }), socket: { link } },
  } as unknown as DeltaMarket;
  const delta = new DeltaFeed(market, "1m", 1_000, () => undefined);
  const snapshot = (): void => listener({ type: "snapshot", data: [], complete: true });
  const update = (one: TradeRecord): void => listener({ type: "update", data: one, conflated: 0 });
  return { delta, stored, api, link, snapshot, update, tell: (told: Told<"trade">) => listener(told) };
}

const sumOf = (delta: DeltaFeed): number | undefined => delta.points().at(-1)?.value;
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

test("trades that come while the database is asked are in the sum, at the first load and after a cut", async () => {
  const { delta, api, snapshot, update } = world();
  for (const id of ["a", "b"]) {
    let go = (): void => undefined;
    api.answer = () => new Promise<void>((done) => (go = done));
    snapshot();
    update(trade(100, id));
    expect(delta.points()).toEqual([]);
    api.answer = () => Promise.resolve();
    go();
    await settle();
    expect(sumOf(delta)).toBe(1);
  }
});

test("what came during a cut is taken from the database", async () => {
  const { delta, stored, api, snapshot } = world();
  snapshot();
  await settle();
  stored.push(trade(1_000, "during"));
  api.now = api.until = NOW + 2_000;
  snapshot();
  await settle();
  expect(sumOf(delta)).toBe(1);
});

test("the newest trades, not stored at first, are asked for until they are there; what is added up is not", async () => {
  const { delta, stored, api, snapshot, update } = world();
  stored.push(trade(-1_000, "late"), trade(-4_000, "early"));
  api.until = NOW - 3_000;
  snapshot();
  update(trade(40_000, "live"));
  await settle();
  expect(delta.points().map((one) => one.isCut)).toEqual([true, undefined]);
  expect(sumOf(delta)).toBe(2);
  api.until = api.now = NOW + 5_000;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(delta.points().map((one) => one.isCut)).toEqual([undefined, undefined]);
  expect(sumOf(delta)).toBe(3);
  expect(api.flows).toBe(1);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(api.flows).toBe(1);
});

test("without trades, as the network is too slow for them, there is no line", async () => {
  const { delta, link, snapshot, update } = world();
  snapshot();
  update(trade(0, "a"));
  await settle();
  expect(sumOf(delta)).toBe(1);
  link.patch({ reduced: true });
  expect(delta.points()).toEqual([]);
});
