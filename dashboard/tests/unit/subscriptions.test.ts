import { expect, test } from "vitest";
import type { ErrorMessage, ServerMessage } from "../../src/data/records";
import { Subscriptions, type Operation } from "../../src/data/subscriptions";
import type { Told } from "../../src/data/types";

type Heard = Told<"book">[];

function started() {
  const refused: ErrorMessage[] = [];
  const made = new Subscriptions(
    (error) => refused.push(error),
    () => undefined,
  );
  made.opened(false);
  return { made, refused };
}

const listen =
  (heard: Heard) =>
  (told: Told<"book">): void => {
    heard.push(told);
  };

const book = (exchange: string, mid: string) => ({ exchange, symbol: "BTCUSDT", mid_price: mid });

function of(type: "snapshot" | "update" | "gap", seq: number, data: unknown): ServerMessage {
  const head = { subscription: "book:BTCUSDT", channel: "book", symbol: "BTCUSDT", cursor: `live.${seq}` };
  return { type, seq, ...head, data, complete: true, conflated: 0 } as unknown as ServerMessage;
}

function answer(made: Subscriptions, operations: Operation[], resumed = false): void {
  for (const operation of operations) {
    const subscriptions = operation.channels.map((one) => ({ subscription: `${one.name}:BTCUSDT`, resumed }));
    const type = operation.op === "subscribe" ? "subscribed" : "unsubscribed";
    made.take({ type, id: operation.id, subscriptions } as unknown as ServerMessage);
  }
}

test("two who want different exchanges of a channel share one subscription to both", () => {
  const { made } = started();
  made.add({ channel: "book", symbol: "BTCUSDT", exchanges: ["okx"] }, () => undefined);
  made.add({ channel: "book", symbol: "BTCUSDT", exchanges: ["kraken", "okx"] }, () => undefined);
  expect(made.operations()).toEqual([
    {
      op: "subscribe",
      id: 1,
      channels: [{ name: "book", symbols: ["BTCUSDT"], exchanges: ["kraken", "okx"] }],
    },
  ]);
  expect(made.operations()).toEqual([]);
});

test("each hears of its own exchanges alone", () => {
  const { made } = started();
  const heard: Heard = [];
  made.add({ channel: "book", symbol: "BTCUSDT", exchanges: ["okx"] }, listen(heard));
  made.add({ channel: "book", symbol: "BTCUSDT" }, () => undefined);
  answer(made, made.operations());
  made.take(of("snapshot", 1, [book("okx", "1"), book("kraken", "2")]));
  made.take(of("update", 2, book("kraken", "3")));
  made.take(of("update", 3, book("okx", "4")));
  expect(heard).toEqual([
    { type: "snapshot", data: [book("okx", "1")], complete: true },
    { type: "update", data: book("okx", "4"), conflated: 0 },
  ]);
});

test("who comes later is told the newest record of each key without a question to the server", async () => {
  const { made } = started();
  made.add({ channel: "book", symbol: "BTCUSDT" }, () => undefined);
  answer(made, made.operations());
  made.take(of("snapshot", 1, [book("okx", "1"), book("kraken", "2")]));
  made.take(of("update", 2, book("okx", "5")));
  const heard: Heard = [];
  made.add({ channel: "book", symbol: "BTCUSDT" }, listen(heard));
  await Promise.resolve();
  expect(heard).toEqual([
    { type: "snapshot", data: [book("okx", "5"), book("kraken", "2")], complete: true },
  ]);
  expect(made.operations()).toEqual([]);
});

test("a number that is left out is a loss, and the subscription begins anew without what was under way", () => {
  const { made } = started();
  const heard: Heard = [];
  made.add({ channel: "book", symbol: "BTCUSDT" }, listen(heard));
  answer(made, made.operations());
  made.take(of("snapshot", 1, []));
  made.take(of("update", 3, book("okx", "1")));
  expect(made.lost).toBe(1);
  expect(made.operations().map((one) => one.op)).toEqual(["unsubscribe", "subscribe"]);
  made.take(of("update", 4, book("okx", "2")));
  expect(heard).toHaveLength(1);
});

test("after a short cut it goes on by its cursor, after a long one from a snapshot", () => {
  const { made } = started();
  made.add({ channel: "book", symbol: "BTCUSDT" }, () => undefined);
  answer(made, made.operations());
  made.take(of("snapshot", 1, []));
  made.closed();
  expect(made.operations()).toEqual([]);
  made.opened(true);
  expect(made.operations()).toMatchObject([{ op: "subscribe", cursors: { "book:BTCUSDT": "live.1" } }]);
  made.opened(false);
  expect(made.operations()[0]).not.toHaveProperty("cursors");
});

test("numbers go on over a resumption", () => {
  const { made } = started();
  const heard: Heard = [];
  made.add({ channel: "book", symbol: "BTCUSDT" }, listen(heard));
  answer(made, made.operations());
  made.take(of("snapshot", 1, []));
  made.opened(true);
  answer(made, made.operations(), true);
  made.take(of("update", 2, book("okx", "1")));
  expect([heard.length, made.lost]).toEqual([2, 0]);
});

test("a cursor that has expired is given up, and the rest comes as a snapshot", () => {
  const { made, refused } = started();
  made.add({ channel: "book", symbol: "BTCUSDT" }, () => undefined);
  answer(made, made.operations());
  made.take(of("snapshot", 1, []));
  made.opened(true);
  const [asked] = made.operations();
  const error = { type: "error", code: "cursor.expired", id: asked?.id, subscription: "book:BTCUSDT" };
  made.take(error as unknown as ServerMessage);
  expect(made.operations()).toEqual([
    { op: "subscribe", id: 3, channels: [{ name: "book", symbols: ["BTCUSDT"] }] },
  ]);
  expect([made.lost, refused]).toEqual([1, []]);
});

test("an operation that is refused as a whole is asked again with all that it would have begun", () => {
  const { made, refused } = started();
  made.add({ channel: "trade", symbol: "BTCUSDT" }, () => undefined);
  answer(made, made.operations());
  made.add({ channel: "book", symbol: "BTCUSDT" }, () => undefined);
  made.add({ channel: "heatmap", symbol: "BTCUSDT" }, () => undefined);
  const [asked] = made.operations();
  const told = { code: "ws.too_many_operations", message: "too fast", subscription: null };
  made.take({ type: "error", id: asked!.id, seq: 1, ...told } as unknown as ServerMessage);
  expect([refused.length, made.operations()]).toEqual([1, []]);
  made.retry();
  const [again] = made.operations();
  expect(again!.channels.map((one) => one.name)).toEqual(["book", "heatmap"]);
});

test("what is refused is not asked again before it is told to", () => {
  const { made, refused } = started();
  made.add({ channel: "book", symbol: "BTCUSDT" }, () => undefined);
  const [asked] = made.operations();
  const error = { type: "error", code: "redis.away", id: asked?.id, subscription: "book:BTCUSDT" };
  made.take(error as unknown as ServerMessage);
  expect([refused.length, made.operations()]).toEqual([1, []]);
  made.retry();
  expect(made.operations()).toHaveLength(1);
});

test("the last one who leaves ends the subscription", () => {
  const { made } = started();
  const end = made.add({ channel: "book", symbol: "BTCUSDT" }, () => undefined);
  answer(made, made.operations());
  end();
  expect(made.operations()).toMatchObject([
    { op: "unsubscribe", channels: [{ name: "book", symbols: ["BTCUSDT"] }] },
  ]);
  expect(made.operations()).toEqual([]);
});

test("a network that is too slow is spared trades and books, and gets them again later", () => {
  const { made } = started();
  made.add({ channel: "book", symbol: "BTCUSDT" }, () => undefined);
  made.add({ channel: "heatmap", symbol: "BTCUSDT" }, () => undefined);
  made.reduced = true;
  expect(made.operations()).toMatchObject([{ op: "subscribe", channels: [{ name: "heatmap" }] }]);
  made.reduced = false;
  expect(made.operations()).toMatchObject([{ op: "subscribe", channels: [{ name: "book" }] }]);
});
