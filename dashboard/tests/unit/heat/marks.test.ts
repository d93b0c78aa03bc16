import { expect, test } from "vitest";
import { columnOf } from "../../../src/heat/columns";
import { Gaps, MOST_GAPS, kindOf, merged, seen, title } from "../../../src/heat/marks";
import type { Span } from "../../../src/heat/marks";
import { Timeline } from "../../../src/heat/timeline";
import { START, heat, timeText } from "./world";

const FIRST = START / 500;

function span(exchange: string, from: number, until: number | null, reason = "sequence_gap"): Span {
  return { exchange, from, until, reason, detail: "" };
}

function gap(exchange: string, from: number, until: number | null, reason = "sequence_gap") {
  return {
    exchange,
    reason,
    detail: "expected 5, found 9",
    from_time: timeText(from),
    until_time: until === null ? null : timeText(until),
  };
}

test("what was lost, who is away and who is crossed are three things; what is not listed is none", () => {
  expect(["sequence_gap", "checksum", "not_stored"].map(kindOf)).toEqual(["gap", "gap", "gap"]);
  expect(["stale", "disconnected", "producer_lost", "never_connected"].map(kindOf)).toEqual(
    Array(4).fill("blind"),
  );
  expect([kindOf("crossed"), kindOf("not_listed")]).toEqual(["crossed", "none"]);
  expect([kindOf("constructor"), kindOf("<img onerror=alert(1)>")]).toEqual(["blind", "blind"]);
});

test("a span has a name in words", () => {
  expect(title({ exchange: "kraken", reason: "sequence_gap" })).toBe("kraken: sequence gap");
  expect(title({ exchange: "*", reason: "not_stored" })).toBe("not stored");
  expect(title({ exchange: "*", reason: "toString" })).toBe("toString");
});

test("columns tell from when to when an exchange was missing and why", () => {
  const timeline = new Timeline(500, { tick: 500, stored: 500 }, 32);
  timeline.moveTo(FIRST);
  const missing = (reason: string) => [{ exchange: "okx", reason }];
  [undefined, "stale", "stale", "sequence_gap", undefined].forEach((reason, at) =>
    timeline.put(columnOf(heat(at * 500, { missing: reason ? missing(reason) : [] }))),
  );
  timeline.put(columnOf(heat(2_500, { missing: missing("not_listed") })));
  timeline.putHole(FIRST + 6, FIRST + 8, { reason: "not_stored" });
  expect(seen(timeline, FIRST, FIRST + 20)).toEqual([
    span("okx", START + 500, START + 1_500, "stale"),
    span("okx", START + 1_500, START + 2_000, "sequence_gap"),
    span("*", START + 3_000, START + 4_000, "not_stored"),
  ]);
});

test("a gap is told open, then with its end; history that still has it open does not open it again", () => {
  const gaps = new Gaps();
  gaps.add(gap("okx", 1_000, null));
  expect(gaps.within(START, START + 9_000)).toMatchObject([{ until: null }]);
  gaps.add(gap("okx", 1_000, 1_800));
  gaps.add(gap("okx", 1_000, null));
  expect(gaps.within(START, START + 9_000)).toMatchObject([{ from: START + 1_000, until: START + 1_800 }]);
  expect(gaps.within(START + 2_000, START + 9_000)).toEqual([]);
});

test("of gaps without number the newest are held", () => {
  const gaps = new Gaps();
  for (let at = 0; at < MOST_GAPS + 10; at++) gaps.add(gap("okx", at * 10, at * 10 + 5));
  const held = gaps.within(START, START + 1e9);
  expect(held).toHaveLength(MOST_GAPS);
  expect(held[0]!.from).toBe(START + 100);
});

test("a gap's own record is better than the ticks that saw it, and what none tells stays", () => {
  const told = [span("okx", 1_200, 1_900)];
  const saw = [span("okx", 1_500, 2_000), span("kraken", 1_500, 2_000), span("okx", 5_000, 5_500, "no_tick")];
  // It is drawn over the column that shows it.
  const shown = { ...told[0], columns: { from: 1_500, until: 2_000 } };
  expect(merged(told, saw, 500)).toEqual([shown, saw[1], saw[2]]);
  expect(merged(told, [], 500)).toEqual(told);
  expect(merged([span("okx", 1_200, null)], [span("okx", 1_500, 90_000)], 500)).toHaveLength(1);
  // One that began long before the record is not explained by it.
  expect(merged([span("okx", 5_000, null)], [span("okx", 1_000, 9_000)], 500)).toHaveLength(2);
});
