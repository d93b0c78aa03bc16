import { expect, test } from "vitest";
import type { Market } from "../../../src/app";
import { Store } from "../../../src/data/store";
import { columnOf } from "../../../src/heat/columns";
import { Scene } from "../../../src/heat/scene";
import { Supply } from "../../../src/heat/supply";
import { START, heat } from "./world";

function scene(): Scene {
  const made = new Scene({ tick: 500, stored: 1_000 }, 8, "10.00000000");
  made.camera.width = 800;
  made.camera.height = 300;
  return made;
}

function supplied(market: Market, made: Scene): Supply {
  const nobody = (): void => undefined;
  return new Supply(market, made, nobody, nobody);
}

test("of chosen exchanges a cut is marked, too: nothing would ever fill it", () => {
  const made = scene();
  const market = {
    app: { rest: { pages: async function* () {} } },
    view: new Store({ symbol: "X", exchanges: ["okx"], from: null, to: null }),
    feed: { subscribe: () => () => undefined },
  } as unknown as Market;
  const supply = supplied(market, made);
  made.tick(START);
  for (const ms of [-60_000, -59_500, -500]) made.put(columnOf(heat(ms)), true);
  supply.look(START, START);
  const hole = (ms: number) => made.timeline.holeAt((START + ms) / 500)?.reason;
  expect([-61_000, -60_000, -30_000, -10_000].map(hole)).toEqual([
    "not_stored_apart",
    undefined,
    "not_stored_apart",
    undefined, // books may still come
  ]);
  supply.end();
});

test.each([null, ["okx"]])("of %j each channel's snapshot has its rows asked for anew", (exchanges) => {
  const asked: string[] = [];
  const tell = new Map<string, (told: unknown) => void>();
  const pages = (path: string) => {
    asked.push(path);
    return (async function* () {})();
  };
  const market = {
    app: { rest: { pages, answer: () => new Promise(() => undefined) } },
    view: new Store({ symbol: "X", exchanges, from: null, to: null }),
    feed: {
      subscribe: ({ channel }: { channel: string }, listener: (told: unknown) => void) => {
        tell.set(channel, listener);
        return () => undefined;
      },
    },
  } as unknown as Market;
  const made = scene();
  const supply = supplied(market, made);
  made.tick(START);
  for (const type of ["", "snapshot", "reset"]) {
    if (type) for (const listener of tell.values()) listener({ type, data: [], complete: true });
    supply.look(START, START);
    supply.look(START, START);
    expect(asked.splice(0)).toEqual(["/v1/gaps", "/v1/trades", "/v1/ohlcv"]);
  }
  supply.end();
});

test("what is known from live is not drawn in a replay before its time", () => {
  const made = scene();
  made.tick(START);
  expect(made.camera.slots()[1]).toBe(START / 500);
  made.camera.margin = 40;
  made.tick(START + 100);
  expect(made.camera.slots()[1]).toBeGreaterThan(START / 500 + 1);
  expect(made.slots()).toEqual([made.camera.slots()[0], START / 500 + 1]);
});
