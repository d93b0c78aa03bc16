/** The gaps of the slider's time: where they are on it, and which comes next. */
import { millis } from "../data/clock";
import type { Rest } from "../data/rest";
import type { Time } from "../data/types";
import { text } from "./sessions";
import type { Window } from "./span";

export interface GapRow {
  symbol: string;
  exchange: string;
  from_time: Time;
  until_time: Time | null;
  reason: string;
  detail: string;
}

export interface Mark {
  from: number;
  to: number;
  name: string;
}

/** Those of one symbol, the earliest first; ``to`` of an open one is the window's end. */
export async function marksOf(
  rest: Rest,
  symbol: string,
  window: Window,
  signal: AbortSignal,
): Promise<Mark[]> {
  const range = { symbol, from: text(window.from), to: text(window.to), limit: 1_000 };
  const { data } = await rest.answer<GapRow>("/v1/gaps", range, signal);
  return data
    .map((row) => ({
      from: millis(row.from_time),
      to: row.until_time === null ? window.to : millis(row.until_time),
      name: `${row.exchange} ${row.reason}`,
    }))
    .sort((a, b) => a.from - b.from);
}

/** The first gap that begins after ``time``, or the last one before it; null: none. */
export function beside(marks: readonly Mark[], time: number, direction: 1 | -1): Mark | null {
  const found =
    direction > 0 ? marks.find((one) => one.from > time) : marks.findLast((one) => one.to <= time);
  return found ?? null;
}
