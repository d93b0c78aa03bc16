import { describe, expect, test } from "vitest";
import { History } from "../../src/pipeline/history";
import { byGroup, byTopic, milliseconds, slotLines, type LagRow } from "../../src/pipeline/rows";

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
