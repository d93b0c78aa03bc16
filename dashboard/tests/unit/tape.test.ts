import { describe, expect, test } from "vitest";
import type { Channel, Told } from "../../src/data/types";
import { Scene } from "../../src/replay/scene";
import { Tape, type Line } from "../../src/replay/tape";

const START = Date.parse("2026-01-02T03:04:05Z");
const at = (ms: number): string => new Date(START + ms).toISOString().replace("Z", "000Z");

let n = 0;
const line = (channel: Channel, ms: number, more: Record<string, unknown> = {}, prelude = false): Line => ({
  type: "record",
  channel,
  prelude,
  n: ++n,
  data: { symbol: "BTCUSDT", exchange: "a", timestamp: at(ms), ...more },
});
const END: Line = { type: "end", records: 0, missing: [], error: null };

/** Ticks at 0.5, 1 and 1.5 s of two exchanges, a trade after the first, a scene before. */
const LINES: Line[] = [
  line("book", 0, { mid: 1 }, true),
  line("heatmap", 0, { id: "scene" }, true),
  line("book", 500, { mid: 2 }),
  line("heatmap", 500, { id: "first" }),
  line("trade", 620, { trade_id: "t1" }),
  line("book", 1_000, { mid: 3 }),
  line("book", 1_000, { mid: 9, exchange: "b" }),
  line("heatmap", 1_000, { id: "second" }),
  line("trade", 1_100, { trade_id: "t2" }),
  line("heatmap", 1_500, { id: "third" }),
  END,
];
const tape = (): Tape => Tape.of(START + 400, START + 1_600, LINES);

describe("a tape", () => {
  test("knows what was known at a tick, and nothing of what came after it", () => {
    expect(tape().newest("heatmap", START + 500)).toMatchObject([{ id: "first" }]);
    expect(tape().newest("book", START + 500)).toMatchObject([{ exchange: "a", mid: 2 }]);
    expect(tape().newest("book", START + 1_000)).toMatchObject([
      { exchange: "a", mid: 3 },
      { exchange: "b", mid: 9 },
    ]);
    expect(tape().newest("trade", START + 500)).toEqual([]);
  });

  test("between two ticks is what the earlier one showed", () => {
    expect(tape().newest("heatmap", START + 999)).toMatchObject([{ id: "first" }]);
  });

  test("steps from tick to tick, and says where it ends", () => {
    expect(tape().beside(START + 500, 1)).toBe(START + 1_000);
    expect(tape().beside(START + 1_000, -1)).toBe(START + 500);
    expect(tape().beside(START + 1_500, 1)).toBeNull();
  });

  test("an answer that was cut off, or has failed, is none", () => {
    expect(() => Tape.of(0, 1, LINES.slice(0, -1))).toThrow("cut off");
    expect(() => Tape.of(0, 1, [{ ...END, error: "replay.gone" } as Line])).toThrow("replay.gone");
  });
});

describe("a scene", () => {
  const heard = async (scene: Scene, channel: Channel, exchanges?: string[]): Promise<Told<Channel>[]> => {
    const told: Told<Channel>[] = [];
    const wanted = { channel, symbol: "BTCUSDT", ...(exchanges ? { exchanges } : {}) };
    scene.subscribe(wanted, (one) => told.push(one));
    await Promise.resolve();
    return told;
  };

  test("tells the newest of each key, then what a step brings", async () => {
    const scene = new Scene(tape(), START + 500);
    const told = await heard(scene, "book");
    expect(told).toMatchObject([{ type: "snapshot", data: [{ mid: 2 }] }]);
    scene.advance(START + 1_000);
    expect(told.slice(1)).toMatchObject([
      { type: "update", data: { mid: 3 } },
      { type: "update", data: { mid: 9, exchange: "b" } },
    ]);
  });

  test("says nothing before its tape is there", async () => {
    const scene = new Scene(null, START + 500);
    const told = await heard(scene, "heatmap");
    expect(told).toEqual([]);
    scene.fill(tape());
    expect(told).toMatchObject([{ type: "snapshot", data: [{ id: "first" }] }]);
  });

  test("trades come one by one, those of other exchanges not at all", async () => {
    const scene = new Scene(tape(), START + 1_500);
    expect(await heard(scene, "trade")).toMatchObject([
      { type: "snapshot", data: [] },
      { type: "update", data: { trade_id: "t1" } },
      { type: "update", data: { trade_id: "t2" } },
    ]);
    expect(await heard(scene, "book", ["b"])).toMatchObject([{ data: [{ exchange: "b" }] }]);
  });
});
