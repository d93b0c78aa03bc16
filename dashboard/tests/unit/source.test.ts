import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Market, Mode } from "../../src/app";
import { Store } from "../../src/data/store";
import { levelsOf } from "../../src/market/source";

const START = Date.parse("2026-01-02T03:04:05Z");
const at = (ms: number): string => new Date(START + ms).toISOString().replace("Z", "000Z");

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function world(mode: Mode = { name: "live" }) {
  const world = { now: START, tell: (_: unknown): void => undefined, link: new Store({ reduced: false }) };
  const market = {
    app: { socket: { link: world.link } },
    view: new Store({ symbol: "X", exchanges: null, from: null, to: null }),
    mode: new Store(mode),
    feed: {
      subscribe: (_: unknown, listener: (told: unknown) => void) => ((world.tell = listener), () => {}),
    },
    now: () => world.now,
  } as unknown as Market;
  return { world, source: levelsOf(market) };
}

const record = (ms: number) => ({
  timestamp: at(ms),
  bids: [{ price: "1", size: "2", exchange_count: 1 }],
  asks: [],
  mid_price: null,
  spread: null,
  exchanges: ["okx"],
  missing: [],
});

test("a book that no other follows is shown for five seconds, and then said not to be there", () => {
  const { world: it, source } = world();
  expect(source.lack.value).toBe("no book yet");
  it.tell({ type: "snapshot", data: [record(0)], complete: true });
  expect([source.levels.value?.timestamp, source.lack.value]).toEqual([at(0), ""]);
  it.now = START + 6_500;
  vi.advanceTimersByTime(1_000);
  expect([source.levels.value, source.lack.value]).toEqual([null, "no book for 6 s"]);
  it.link.patch({ reduced: true });
  vi.advanceTimersByTime(1_000);
  expect(source.lack.value).toBe("left out: slow network");
  it.tell({ type: "update", data: record(6_400), conflated: 0 });
  expect([source.levels.value?.timestamp, source.lack.value]).toEqual([at(6_400), ""]);
  source.end();
});

test("the book of a still picture stays", () => {
  const still = { name: "replay", session: "", state: "still", speed: 1, position: START } as const;
  const { world: it, source } = world(still);
  it.tell({ type: "snapshot", data: [record(-400)], complete: true });
  vi.advanceTimersByTime(60_000);
  expect(source.levels.value?.timestamp).toBe(at(-400));
  source.end();
});
