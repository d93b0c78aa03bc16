/** The running COBY that the tests meet: tests/dashboard_world.py says where it is, and takes orders. */
import { readFileSync } from "node:fs";
import { inject } from "vitest";

/** A heatmap of the recording as tests/reference computes it; decimals as texts, microseconds. */
export interface Expected {
  symbol: string;
  timestamp: number;
  bucket_size: string;
  data: { price: string; volume: string; side: "bid" | "ask" }[];
  covered_low: string | null;
  covered_high: string | null;
  missing: { exchange: string; reason: string }[];
}

export interface World {
  live: string;
  /** The same behind a network that `order("network", …)` makes `good`, `slow` or `asleep`. */
  far: string;
  simulator: string;
  orders: string;
  recorded: {
    url: string;
    begin_us: number;
    end_us: number;
    lost_us: [number, number];
    hole_us: [number, number];
    jump_us: number;
    heatmaps: Expected[];
  };
}

declare module "vitest" {
  interface ProvidedContext {
    folder: string;
    chromium: string;
  }
}

export const world: World = JSON.parse(readFileSync(`${inject("folder")}/world.json`, "utf8")) as World;

/** Have the world do something: `stop`, `kill` or `start` a program, write a `gap`, change the `network`. */
export async function order(
  what: "stop" | "kill" | "start" | "gap" | "network",
  values: Record<string, unknown>,
): Promise<void> {
  const answer = await fetch(world.orders, {
    method: "POST",
    body: JSON.stringify({ do: what, with: values }),
  });
  const { error } = (await answer.json()) as { error?: string };
  if (error) throw new Error(error);
}

/** A mishap of a simulated exchange, in the simulator's own words. */
export async function mishap(exchange: string, fault: Record<string, unknown>): Promise<void> {
  const answer = await fetch(`${world.simulator}/_sim/fault`, {
    method: "POST",
    body: JSON.stringify({ exchange, ...fault }),
  });
  if (!answer.ok) throw new Error(await answer.text());
}

/** What `ask` gives once it is true; fails after the time, with what it gave last. */
export async function eventually<T>(ask: () => Promise<T>, seconds = 60): Promise<NonNullable<T>> {
  const end = Date.now() + 1_000 * seconds;
  let last: unknown;
  for (;;) {
    try {
      const found = await ask();
      if (found) return found as NonNullable<T>;
      last = found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${seconds} s, last: ${String(last)}`);
    await new Promise((again) => setTimeout(again, 50));
  }
}

/** RFC 3339 of microseconds. */
export function moment(us: number): string {
  return new Date(us / 1_000).toISOString();
}
