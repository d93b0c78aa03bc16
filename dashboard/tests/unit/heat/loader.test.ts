import { expect, test, vi } from "vitest";
import { Problem } from "../../../src/data/rest";
import type { Answer, HeatmapColumn } from "../../../src/data/types";
import { columnOf } from "../../../src/heat/columns";
import { Loader, take, wanted } from "../../../src/heat/loader";
import type { Loading, Range } from "../../../src/heat/loader";
import { Timeline } from "../../../src/heat/timeline";
import { START, heat, timeText } from "./world";

const pace = { tick: 500, stored: 1_000 };

function timeline(period = 500): Timeline {
  const made = new Timeline(period, pace, 256);
  made.moveTo(START / period - 100);
  return made;
}

function answer(from: number, until: number, ticks: number[], gaps: [number, number, string][] = []) {
  return {
    data: ticks.map((ms) => ({
      ...heat(ms, { bids: { 100: "1.00000000" }, ticks: 1 }),
      symbol: "X",
      complete: true,
    })),
    page: { next_cursor: null, has_more: false },
    meta: {
      complete: !gaps.length,
      gaps: gaps.map(([start, end, reason]) => ({
        symbol: "X",
        exchange: "*",
        from: timeText(start),
        to: timeText(end),
        reason,
      })),
      more_gaps: false,
      from: timeText(from),
      to: timeText(until),
    },
  } as unknown as Answer<HeatmapColumn>;
}

test("the newest part that is not known is asked for, on the grid of stored ticks, and not what is still to come", () => {
  const found = timeline();
  const slots = [START / 500 - 40, START / 500] as const;
  // Now is START: the last three seconds are live's.
  expect(wanted(found, ...slots, START, 100)).toEqual({ from: START - 20_000, until: START - 3_000 });
  expect(wanted(found, ...slots, START, 5)).toEqual({ from: START - 8_000, until: START - 3_000 });
  for (let ms = -3_000; ms >= -8_000; ms -= 1_000) found.put(columnOf(heat(ms)));
  expect(wanted(found, ...slots, START, 5)).toEqual({ from: START - 13_000, until: START - 8_000 });
});

test("where all is known nothing is asked for", () => {
  const found = timeline();
  for (let ms = -20_000; ms < 0; ms += 1_000) found.put(columnOf(heat(ms)));
  expect(wanted(found, START / 500 - 40, START / 500, START, 100)).toBeNull();
});

test("longer slots are asked for whole, the one that goes on included", () => {
  const found = timeline(10_000);
  expect(wanted(found, START / 10_000 - 3, START / 10_000 + 1, START + 4_000, 100)).toEqual({
    from: START - 30_000,
    until: START + 10_000,
  });
});

test("a longer slot that live began in the middle of is asked for once it is over, and only once", () => {
  const found = timeline(10_000);
  const slot = START / 10_000;
  const slots = [slot, slot + 2] as const;
  // Nothing is known of the slot that goes on: its beginning is asked for.
  expect(wanted(found, ...slots, START + 7_000, 100)).toEqual({ from: START, until: START + 10_000 });
  take(found, answer(0, 10_000, [0]), { from: START, until: START + 10_000 }, START + 7_000);
  for (let ms = 7_000; ms < 10_000; ms += 1_000)
    found.put(columnOf(heat(ms, { bids: { 100: "2.00000000" } })));
  expect(wanted(found, slot, slot + 1, START + 9_000, 100)).toBeNull();
  const again = wanted(found, slot, slot + 1, START + 14_000, 100);
  expect(again).toEqual({ from: START, until: START + 10_000 });
  take(found, answer(0, 10_000, [0]), again!, START + 14_000);
  expect(wanted(found, slot, slot + 1, START + 15_000, 100)).toBeNull();
});

test("a longer slot whose ticks all came live is not asked for", () => {
  const found = timeline(5_000);
  for (let ms = 0; ms < 5_000; ms += 500) found.put(columnOf(heat(ms)));
  expect(wanted(found, START / 5_000, START / 5_000 + 1, START + 60_000, 100)).toBeNull();
});

test("what an answer lacks is a hole with its reason, and what is young is waited for", () => {
  const found = timeline();
  const asked = { from: START - 40_000, until: START };
  const told = answer(-40_000, 0, [-40_000, -39_000], [[-38_000, -30_000, "not_kept"]]);
  take(found, told, asked, START);
  const reasons = (ms: number) => found.holeAt((START + ms) / 500)?.reason;
  expect([-40_000, -38_000, -30_500, -30_000, -20_500].map(reasons)).toEqual([
    undefined,
    "not_kept",
    "not_kept",
    "not_stored",
    "not_stored",
  ]);
  expect(found.isKnown((START - 20_000) / 500)).toBe(false);
});

test("a page that ends before what was asked says nothing of the rest", () => {
  const found = timeline();
  const asked = { from: START - 40_000, until: START - 25_000 };
  take(found, answer(-40_000, -38_000, [-40_000, -39_000]), asked, START);
  expect(wanted(found, (START - 40_000) / 500, (START - 25_000) / 500, START, 300)).toEqual({
    from: START - 38_000,
    until: START - 25_000,
  });
});

function loading(answers: (Answer<HeatmapColumn> | Problem)[]) {
  const asked: Range[] = [];
  const told: Loading["state"][] = [];
  const came: Range[] = [];
  const loader = new Loader(
    (range) => {
      asked.push(range);
      const next = answers.shift();
      return next instanceof Problem || !next ? Promise.reject(next as Error) : Promise.resolve(next);
    },
    (state) => told.push(state.state),
  );
  const found = timeline();
  const look = (now = START): void =>
    loader.look(found, [START / 500 - 40, START / 500 - 10], now, (slots) => came.push(slots));
  return { loader, look, asked, told, came, found };
}

function problem(status: number, retryAfter: number | null = null): Problem {
  return new Problem(
    { type: "", title: "", status, detail: "away", code: "x", correlation_id: "" },
    retryAfter,
  );
}

test("one request at a time; an answer is shown and the next part asked for", async () => {
  const first = answer(-10_000, -5_000, [-10_000, -9_000, -8_000, -7_000, -6_000]);
  const { look, asked, came, told } = loading([first, answer(-20_000, -10_000, [])]);
  look();
  look();
  expect(asked).toHaveLength(1);
  await vi.waitFor(() => expect(came).toHaveLength(1));
  look();
  expect(asked[1]).toEqual({ from: START - 20_000, until: START - 10_000 });
  await vi.waitFor(() => expect(told.at(-1)).toBe("idle"));
});

test("an API that is away is asked again, later each time, or when it says", async () => {
  vi.useFakeTimers();
  try {
    const { look, asked, told } = loading([problem(503), problem(429, 7), answer(-20_000, -5_000, [])]);
    look();
    await vi.advanceTimersByTimeAsync(0);
    expect(told.at(-1)).toBe("waiting");
    look(START + 10_000);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1_500);
    look(START + 10_000);
    expect(asked).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(6_900);
    look(START + 20_000);
    expect(asked).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(200);
    look(START + 20_000);
    expect(asked).toHaveLength(3);
  } finally {
    vi.useRealTimers();
  }
});

test("a refusal is told with its words", async () => {
  const { look, told } = loading([problem(403)]);
  look();
  await vi.waitFor(() => expect(told.at(-1)).toBe("refused"));
});

test("what was under way for another symbol changes nothing", async () => {
  const { loader, look, came, found } = loading([answer(-20_000, -5_000, [-6_000])]);
  look();
  loader.reset();
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(came).toEqual([]);
  expect(found.isKnown((START - 6_000) / 500)).toBe(false);
});

test("what was not stored while the sink was away is asked for again, shown until then, and is there once stored", async () => {
  const first = answer(-40_000, -5_000, [-40_000, -39_000], [[-30_000, -28_000, "not_kept"]]);
  const ticks = Array.from({ length: 35 }, (_, at) => -40_000 + at * 1_000);
  const { loader, asked, came, found } = loading([first, answer(-38_000, -5_000, ticks)]);
  const look = (now: number): void =>
    loader.look(found, [START / 500 - 80, START / 500 - 10], now, (slots) => came.push(slots));
  look(START);
  await vi.waitFor(() => expect(came).toHaveLength(1));
  const at = (ms: number): number => (START + ms) / 500;
  expect(found.holeAt(at(-25_000))).toEqual({ reason: "not_stored" });
  for (let ms = -20_000; ms < -5_000; ms += 1_000) found.put(columnOf(heat(ms)));
  look(START + 29_000);
  expect(asked).toHaveLength(1);
  look(START + 30_000);
  expect(asked).toHaveLength(2);
  expect(asked[1]!.until).toBe(START - 20_000);
  expect(found.holeAt(at(-25_000))).toEqual({ reason: "not_stored" });
  await vi.waitFor(() => expect(came).toHaveLength(2));
  expect(found.columnAt(at(-25_000))?.time).toBe(START - 25_000);
});
