import { describe, expect, test } from "vitest";
import type { Rest } from "../../src/data/rest";
import { Arrivals } from "../../src/pipeline/arrivals";
import { History } from "../../src/pipeline/history";
import { Part } from "../../src/pipeline/part";
import { byGroup, byTopic, milliseconds, slotLines, summary, type LagRow } from "../../src/pipeline/rows";

const lag = (group: string, topic: string, partition: number, behind: number): LagRow => ({
  group,
  topic,
  partition,
  committed: behind === 7 ? null : 100 - behind,
  end: 100,
  lag: behind,
  lag_seconds: behind === 7 ? null : behind / 2,
  status: behind === 7 ? null : behind > 0 ? "WARN" : "OK",
});

describe("lag", () => {
  const rows = [
    lag("sink", "trade", 0, 0),
    lag("sink", "trade", 1, 3),
    lag("sink", "book", 0, 7),
    lag("a", "x", 0, 1),
  ];

  test("is told by group and topic, the farthest behind first", () => {
    expect(byTopic(rows)).toEqual([
      {
        group: "a",
        topic: "x",
        partitions: 1,
        behind: 1,
        lag: 1,
        untold: 0,
        oldest_seconds: 0.5,
        status: "WARN",
      },
      {
        group: "sink",
        topic: "book",
        partitions: 1,
        behind: 1,
        lag: 7,
        untold: 1,
        oldest_seconds: null,
        status: null,
      },
      {
        group: "sink",
        topic: "trade",
        partitions: 2,
        behind: 1,
        lag: 3,
        untold: 0,
        oldest_seconds: 1.5,
        status: "WARN",
      },
    ]);
  });

  test("of a group is the sum over its topics", () => {
    expect([...byGroup(rows)]).toEqual([
      ["a", 1],
      ["sink", 10],
    ]);
  });
});

test("a slot that was told of long ago has no known breaker", () => {
  const row = {
    exchange: "a",
    slot: "a-0",
    state: "unknown",
    reason: "too_old",
    last_frame_age_ms: null,
    observed_age_ms: 9_000,
    told: { breaker: "closed", reconnects: 2 },
    books: [],
  };
  expect(slotLines([row])).toMatchObject([
    { breaker: "unknown", reconnects: "2", frameAge: "—", trouble: true, reason: "too_old" },
  ]);
  expect(slotLines([{ ...row, state: "subscribed", reason: null }])).toMatchObject([
    { breaker: "closed", trouble: false },
  ]);
});

describe("a history", () => {
  test("knows nothing of a name before it came, nor after it went", () => {
    const history = new History(10);
    history.add(1, new Map([["a", 5]]));
    history.add(2, new Map([["b", 6]]));
    expect(history.names).toEqual(["a", "b"]);
    expect(history.data).toEqual([
      [1, 2],
      [5, null],
      [null, 6],
    ]);
    expect([history.last("a"), history.last("b")]).toEqual([null, 6]);
  });

  test("keeps so many moments, and forgets a name that has none left", () => {
    const history = new History(2);
    history.add(1, new Map([["a", 5]]));
    history.add(2, new Map([["b", 6]]));
    history.add(3, new Map([["b", 7]]));
    expect(history.data).toEqual([
      [2, 3],
      [6, 7],
    ]);
    expect(history.names).toEqual(["b"]);
  });
});

test("milliseconds are told in the unit that fits", () => {
  expect([-3.04, 42.4, 1_500, 192_000, 18_000_000].map(milliseconds)).toEqual([
    "-3.0 ms",
    "42 ms",
    "1.50 s",
    "3.2 min",
    "5.0 h",
  ]);
});

describe("the summary", () => {
  const told = { seconds: 10, last_record_age_ms: 5, exchanges: [], hops: [], stores: [] };

  test("has no dead letters only if that is known", () => {
    const of = (count: number | null) =>
      summary({ ...told, dead_letters: { count, newest: [] } }, [lag("a", "x", 0, 1)]);
    expect(of(0)).toBe(
      "of the last 10 s · last record 5.0 ms ago · 1 records not yet taken · 0 dead letters",
    );
    expect(of(1)).toContain(" · 1 dead letter");
    expect(of(null)).toContain(" · dead letters not known yet");
  });

  test("tells what is known without the rest", () => {
    expect(summary(null, [lag("a", "x", 0, 3)])).toBe(
      "frames, hops and dead letters not known · 3 records not yet taken",
    );
    expect(summary({ ...told, dead_letters: { count: 0, newest: [] } }, null)).toContain(
      " · lag not known · ",
    );
  });
});

test("how late heatmaps come is told of the last seconds alone", () => {
  const arrivals = new Arrivals();
  expect(arrivals.hop(0)).toEqual([]);
  [120, 80, 100].forEach((delay, at) => arrivals.add(delay, 1_000 * at));
  expect(arrivals.hop(2_000)).toMatchObject([{ hop: "page", records: 3, median_ms: 100, max_ms: 120 }]);
  expect(arrivals.hop(6_500)).toMatchObject([{ records: 1, median_ms: 100 }]);
  expect(arrivals.hop(7_500)).toEqual([]);
});

describe("a part of the page", () => {
  const made = (answer: () => Promise<unknown>) => {
    const lost: unknown[] = [];
    const rest = { get: answer } as unknown as Rest;
    const part = new Part<number>(
      rest,
      "/v1/lag",
      [{ failed: (error) => lost.push(error) }],
      () => undefined,
    );
    return { part, lost };
  };
  const signal = new AbortController().signal;

  test("has what was answered, until that is old", async () => {
    const { part, lost } = made(async () => ({ data: 7 }));
    await part.ask(signal);
    part.age(part.at! + 5_000);
    expect([part.value, lost]).toEqual([7, []]);
    part.age(part.at! + 7_000);
    part.age(part.at! + 8_000);
    expect([part.value, part.error, lost.length]).toEqual([null, null, 1]);
  });

  test("that fails tells its own tables", async () => {
    const { part, lost } = made(async () => ({ data: 7 }));
    await part.ask(signal);
    const error = new Error("away");
    part.failed(error);
    expect([part.value, part.error, lost]).toEqual([null, error, [error]]);
  });
});
