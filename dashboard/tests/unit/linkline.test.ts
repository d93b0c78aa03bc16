import { expect, test } from "vitest";
import { words } from "../../src/shell/linkline";
import { LINK } from "./link";

test("all is well in one word", () => {
  expect(words(LINK, 0)).toEqual({ word: "connected", more: "", kind: "good" });
});

test("an API that is away is told with what is done about it, and when", () => {
  const error = { code: "no_connection", message: "The API or the network is away." };
  expect(words({ ...LINK, state: "waiting", error, retryAt: 5_200 }, 2_000)).toEqual({
    word: "away",
    more: "The API or the network is away. Next try in 4 s; what is shown is old.",
    kind: "bad",
  });
});

test("a network too slow for all says what it leaves out", () => {
  expect(words({ ...LINK, reduced: true }, 0).more).toContain("trades and books are left out");
});
