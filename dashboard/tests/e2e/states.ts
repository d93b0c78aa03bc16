/** Where a page is to be before a test looks at it. */
import { expect } from "vitest";
import type { Tab } from "./browser";
import { pixels } from "./picture";
import { eventually, moment, world } from "./world";

const { url, begin_us, end_us } = world.recorded;

export const LIVE = `${world.live}/?symbol=BTCUSDT`;
/** A link to a part of the recording, microseconds. */
export const past = (from = begin_us, to = end_us, symbol = "BTCUSDT"): string =>
  `${url}/?symbol=${symbol}&from=${moment(from)}&to=${moment(to)}`;

interface Status {
  data: { exchange: string; books: { symbol: string; state: string }[] }[];
}

/** All books live: a test begins with what another one has not left behind. */
export function allLive(): Promise<unknown> {
  return eventually(async () => {
    const { data } = (await (await fetch(`${world.live}/v1/status`)).json()) as Status;
    return data.length === 3 && data.every((one) => one.books.every((book) => book.state === "live"));
  }, 120);
}

/** The heatmap lacks nothing that it says. */
export function shown(tab: Tab): Promise<unknown> {
  return eventually(async () => !/Loading|Waiting|No order book/.test(await tab.text(".heat-note")));
}

export const word = (tab: Tab): Promise<string> => tab.text(".replay-word");
export const link = (tab: Tab): Promise<string> => tab.text(".link-line");
export const note = (tab: Tab): Promise<string> => tab.text(".heat-note").catch(() => "");
export const light = (tab: Tab, exchange: string): Promise<string> =>
  tab.page.locator(".lights li").filter({ hasText: exchange }).first().innerText();
/** What kind of light it is: `live`, `blind`, `down` … */
export const kind = (tab: Tab, exchange: string): Promise<string | null> =>
  tab.page.locator(".lights button").filter({ hasText: exchange }).first().getAttribute("data-kind");

/** Milliseconds of the time that is shown. */
export async function position(tab: Tab): Promise<number> {
  const text = await tab.page.locator(".time-input").inputValue();
  return Date.parse(text.replace(" UTC", "Z").replace(" ", "T"));
}

export function still(tab: Tab): Promise<unknown> {
  return eventually(async () => (await word(tab)) === "REPLAY paused");
}

/** Standing still, and all of it there: painted at most once a frame, history in pages: twice the same is done. */
export async function settled(tab: Tab): Promise<string> {
  await still(tab);
  await eventually(async () => !/loading/i.test(await note(tab)));
  let last = "";
  return eventually(async () => {
    const now = await pixels(tab.page);
    const same = now === last ? now : "";
    last = now;
    await tab.page.waitForTimeout(700);
    return same;
  });
}

export async function moves(tab: Tab, seconds = 30): Promise<void> {
  const first = await pixels(tab.page);
  expect(first.length).toBeGreaterThan(5_000);
  await eventually(async () => (await pixels(tab.page)) !== first, seconds);
}

/** Lines and bubbles over the cells away, marks as well where they are not asked for. */
export async function bare(tab: Tab, ...others: string[]): Promise<void> {
  for (const name of ["Best", "Trades", "VWAP", ...others])
    await tab.page.getByRole("button", { name, exact: true }).click();
}
