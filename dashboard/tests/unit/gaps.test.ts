import { describe, expect, test } from "vitest";
import type { Rest } from "../../src/data/rest";
import { besideText, Gaps, marksOf, pieces, type GapRow } from "../../src/replay/gaps";

const START = Date.parse("2026-01-02T03:00:00Z");
const MINUTE = 60_000;
const at = (time: number): string => new Date(time).toISOString().replace("Z", "000Z");
const never = new AbortController().signal;

const gap = (from: number, to: number | null, exchange = "a"): GapRow => ({
  symbol: "A",
  exchange,
  from_time: at(START + from),
  until_time: to === null ? null : at(START + to),
  reason: "stale",
  detail: "",
});

/** As the API has them: those that touch the range, the earliest first, so many at most. */
class World {
  readonly asked: [number, number][] = [];
  constructor(
    public rows: GapRow[],
    private readonly most = 10_000,
  ) {}

  readonly rest = {
    answer: async (_: string, params: Record<string, unknown>) => {
      const [from, to] = [Date.parse(String(params["from"])), Date.parse(String(params["to"]))];
      this.asked.push([from - START, to - START]);
      const found = this.rows.filter(
        (row) =>
          Date.parse(row.from_time) < to && (row.until_time === null || Date.parse(row.until_time) >= from),
      );
      const limit = Math.min(this.most, Number(params["limit"]));
      return { data: found.slice(0, limit), page: { has_more: found.length > limit, next_cursor: null } };
    },
  } as unknown as Rest;
}

const window = (from: number, to: number) => ({ from: START + from, to: START + to });

describe("the gaps of a time", () => {
  test("are all there, where a page has fewer: the newest, too", async () => {
    const rows = Array.from({ length: 25 }, (_, at) => gap(at * MINUTE, at * MINUTE + 1_000));
    const world = new World(rows, 10);
    const found = await new Gaps(world.rest).look("A", window(0, 25 * MINUTE), never);
    expect(found).toEqual({ rows, since: null });
  });

  test("that are too many are the newest, and it is known since when", async () => {
    const rows = Array.from({ length: 60_000 }, (_, at) => gap(at * 100, at * 100 + 10));
    const world = new World(rows);
    const found = await new Gaps(world.rest).look("A", window(0, 100 * MINUTE), never);
    expect(found.rows.at(-1)).toEqual(rows.at(-1));
    expect(found.rows.length).toBeGreaterThanOrEqual(20_000);
    expect(found.since).toBe(Date.parse(found.rows[0]!.from_time));
    expect(world.asked.length).toBeLessThan(10);
  });

  test("that all last too long for any piece of time are asked for a bounded number of times", async () => {
    const world = new World([gap(0, null, "a"), gap(0, null, "b")], 1);
    const found = await new Gaps(world.rest).look("A", window(0, 7 * 24 * 60 * MINUTE), never);
    expect(world.asked.length).toBeLessThan(20);
    expect(found).toEqual({ rows: [], since: START + 7 * 24 * 60 * MINUTE });
  });

  test("are asked for as far as they are new; one that was open has ended", async () => {
    const world = new World([gap(MINUTE, 2 * MINUTE), gap(50 * MINUTE, null)]);
    const gaps = new Gaps(world.rest);
    await gaps.look("A", window(0, 60 * MINUTE), never);
    world.rows = [gap(MINUTE, 2 * MINUTE), gap(50 * MINUTE, 60 * MINUTE), gap(61 * MINUTE, null)];
    const found = await gaps.look("A", window(MINUTE, 61.5 * MINUTE), never);
    expect(found).toEqual({ rows: world.rows, since: null });
    expect(world.asked.at(-1)).toEqual([55 * MINUTE, 61.5 * MINUTE]);
    expect((await gaps.look("A", window(3 * MINUTE, 62 * MINUTE), never)).rows).toEqual(world.rows.slice(1));
  });

  test.each([
    ["another symbol", "B", 0, 61],
    ["an earlier time", "A", -10, 61],
    ["all, now and then", "A", 0, 80],
  ])("are all asked for: %s", async (_, symbol, from, to) => {
    const world = new World([]);
    const gaps = new Gaps(world.rest);
    await gaps.look("A", window(0, 60 * MINUTE), never);
    await gaps.look(symbol, window(from * MINUTE, to * MINUTE), never);
    expect(world.asked.at(-1)).toEqual([from * MINUTE, to * MINUTE]);
  });

  test("that were open and are no longer told have ended before: all are asked for", async () => {
    const world = new World([gap(20 * MINUTE, null)]);
    const gaps = new Gaps(world.rest);
    await gaps.look("A", window(0, 60 * MINUTE), never);
    world.rows = [gap(20 * MINUTE, 21 * MINUTE)];
    expect((await gaps.look("A", window(0, 61 * MINUTE), never)).rows).toEqual(world.rows);
  });
});

test("marks that the slider can't tell apart are one, so that none is left out", () => {
  const span = window(0, 1_000 * MINUTE);
  const rows = Array.from({ length: 5_000 }, (_, at) => gap(at * 6_000, at * 6_000 + 1_000));
  const drawn = pieces(marksOf([...rows, gap(900 * MINUTE, null)], span), span);
  expect(drawn.map(({ from, to }) => [from - START, to - START])).toEqual([
    [0, 4_999 * 6_000 + 1_000],
    [900 * MINUTE, 1_000 * MINUTE],
  ]);
});

test("that there is no gap is said only where it is known", () => {
  const mark = { from: START, to: START + 1, name: "a stale" };
  expect(besideText(null, START, 1, null)).toBe("no later gap on the slider");
  expect(besideText(null, START, 1, START - 1)).toBe("no later gap on the slider");
  expect(besideText(null, START, -1, null)).toBe("no earlier gap on the slider");
  const many = "those before 2026-01-02 03:00:00.000 UTC are too many";
  expect(besideText(null, START - 1, 1, START)).toBe(`no later gap known; ${many}`);
  expect(besideText(null, START, -1, START)).toBe(`no earlier gap known; ${many}`);
  expect(besideText(mark, START - 1, 1, START)).toBe(`gap a stale, 2026-01-02 03:00:00.000 UTC; ${many}`);
  expect(besideText(mark, START + 9, -1, START)).toBe("gap a stale, 2026-01-02 03:00:00.000 UTC");
});
