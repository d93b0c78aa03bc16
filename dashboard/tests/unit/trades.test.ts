import { expect, test } from "vitest";
import type { Told } from "../../src/data/types";
import { Tape } from "../../src/market/tape";
import { follow, noteOf } from "../../src/market/trades";

test("an answer about a moment that was left is not shown at the next one", async () => {
  const answers: ((answer: unknown) => void)[] = [];
  let tell: (told: Told<"trade">) => void = () => undefined;
  const market = {
    feed: { subscribe: (_: unknown, listener: typeof tell) => ((tell = listener), () => undefined) },
    now: () => 1_000_000,
    app: { rest: { answer: () => new Promise((done) => answers.push(done)) } },
  } as unknown as Parameters<typeof follow>[0];
  const tape = new Tape(10);
  const end = follow(market, "BTCUSDT", null, tape, () => undefined);
  const answer = async (at: number, id: string): Promise<void> => {
    answers[at]?.({ data: [{ exchange: "okx", trade_id: id, timestamp: "2026-01-02T03:04:05.000000Z" }] });
    await new Promise((done) => setTimeout(done));
  };
  const snapshot = (): void => tell({ type: "snapshot", data: [], complete: true });
  const ids = (): string[] => tape.newest().map((one) => one.trade_id);

  snapshot();
  tell({ type: "reset" });
  await answer(0, "later");
  expect(ids()).toEqual([]);
  snapshot();
  snapshot();
  await answer(1, "later, too");
  await answer(2, "of now");
  expect(ids()).toEqual(["of now"]);
  end();
});

test("trades that are left out are said to be, whatever is there of before", () => {
  expect([noteOf(3, true), noteOf(0, true), noteOf(3, false), noteOf(0, false)]).toEqual([
    "left out: slow network",
    "left out: slow network",
    "",
    "none yet",
  ]);
});
