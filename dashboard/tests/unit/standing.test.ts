import { expect, test } from "vitest";
import type { StatusRecord } from "../../src/data/records";
import { ageText, standingOf } from "../../src/market/standing";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);
const at = (ms: number): string => new Date(NOW + ms).toISOString();

function tick(missing: Record<string, string>, present: string[] = [], age = 0) {
  return {
    timestamp: at(-age),
    exchanges: present.map((exchange) => ({ exchange, covered_low: null, covered_high: null })),
    missing: Object.entries(missing).map(([exchange, reason]) => ({ exchange, reason })),
  };
}

function status(more: Partial<StatusRecord>): StatusRecord {
  return { observed_at: at(-100), last_message_at: at(-150), error: null, ...more } as StatusRecord;
}

test("an exchange in the sum is live, with the age of its last frame when its producer last told", () => {
  const found = standingOf("okx", tick({}, ["okx"]), [status({})], NOW);
  expect(found).toEqual({ exchange: "okx", kind: "live", word: "live", why: "", ageMs: 50 });
});

test.each([
  ["sequence_gap", "blind", "sequence gap"],
  ["crossed", "crossed", "crossed"],
  ["disconnected", "down", "connection lost"],
  ["producer_lost", "down", "collector lost"],
  ["something_new", "blind", "something_new"],
])("%s is %s, in words", (code, kind, why) => {
  expect(standingOf("okx", tick({ okx: code }), [], NOW)).toMatchObject({ kind, why });
});

test("what its producer says of the loss is told with it", () => {
  const found = standingOf("okx", tick({ okx: "disconnected" }), [status({ error: "refused: 503" })], NOW);
  expect(found.why).toBe("connection lost: refused: 503");
});

test("an exchange that does not list the symbol lacks nothing", () => {
  expect(standingOf("okx", tick({ okx: "not_listed" }), [status({})], NOW)).toMatchObject({
    kind: "unlisted",
    why: "",
    ageMs: null,
  });
});

test("an old tick says nothing of now, and the age of a producer that tells no more goes on", () => {
  expect(standingOf("okx", tick({}, ["okx"], 6_000), [], NOW)).toMatchObject({
    kind: "unknown",
    why: "the newest tick is 6 s old",
  });
  const told = [status({ observed_at: at(-9_000), last_message_at: at(-9_500) })];
  expect(standingOf("okx", tick({}, ["okx"]), told, NOW).ageMs).toBe(9_500);
});

test("of several collectors the one that heard last counts", () => {
  const two = [status({ last_message_at: at(-8_100) }), status({ last_message_at: at(-120) })];
  expect(standingOf("okx", tick({}, ["okx"]), two, NOW).ageMs).toBe(20);
});

test("ages are read at a glance", () => {
  expect([0, 999, 4_249, 61_000, 8e6].map(ageText)).toEqual(["0 ms", "999 ms", "4.2 s", "1 min", "2 h"]);
});
