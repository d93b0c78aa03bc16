import { expect, test } from "vitest";
import { stateOf } from "../../src/replay/linked";
import { LINK } from "./link";

const error = (code: string) => ({ code, message: "its words" });

test("a connection that is open, away or silent changes nothing of the replay", () => {
  expect(stateOf(LINK)).toBeNull();
  expect(stateOf({ ...LINK, state: "silent" })).toBeNull();
  expect(stateOf({ ...LINK, state: "waiting", error: error("no_connection") })).toBeNull();
  expect(stateOf({ ...LINK, state: "connecting", error: error("no_connection") })).toBeNull();
});

test("a refusal is a failure, with its words", () => {
  const found = stateOf({ ...LINK, state: "refused", error: error("ws.too_many_replays") });
  expect(found).toMatchObject({
    name: "failed",
    problem: { code: "ws.too_many_replays", message: "its words" },
  });
});

test("a reader that has died is a failure though heartbeats go on; a subscription that was refused is none", () => {
  expect(stateOf({ ...LINK, error: error("kafka.refused") })).toMatchObject({ name: "failed" });
  expect(stateOf({ ...LINK, error: error("ws.channel") })).toBeNull();
});

test("a session that is over, deleted or unknown is told apart", () => {
  expect(stateOf({ ...LINK, ended: "finished" })).toEqual({ name: "ended" });
  expect(stateOf({ ...LINK, ended: "deleted" })).toEqual({ name: "gone" });
  expect(stateOf({ ...LINK, ended: "failed", error: error("replay.failed") })).toEqual({ name: "failed" });
  expect(stateOf({ ...LINK, state: "refused", error: error("replay.unknown") })).toEqual({ name: "gone" });
});
