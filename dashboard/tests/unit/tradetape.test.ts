import { expect, test } from "vitest";
import { Tape } from "../../src/market/tape";

const trade = (exchange: string, id: string, second: number) => ({
  exchange,
  trade_id: id,
  timestamp: `2026-01-02T03:04:${String(second).padStart(2, "0")}.000000Z`,
  price: "1.00000000",
  size: "1.00000000",
  side: "buy",
});

test("a trade that comes by REST and by the socket is there once; of one moment what came last is first", () => {
  const tape = new Tape(10);
  tape.add([trade("okx", "1", 1), trade("okx", "2", 2)]);
  tape.add([trade("okx", "2", 2), trade("kraken", "2", 2), trade("okx", "3", 3)]);
  expect(tape.newest().map((one) => `${one.exchange} ${one.trade_id}`)).toEqual([
    "okx 3",
    "kraken 2",
    "okx 2",
    "okx 1",
  ]);
});

test("only the newest are kept, whatever order they come in", () => {
  const tape = new Tape(2);
  tape.add([trade("okx", "5", 5)]);
  tape.add([trade("okx", "1", 1), trade("okx", "4", 4)]);
  expect(tape.newest().map((one) => one.trade_id)).toEqual(["5", "4"]);
});
