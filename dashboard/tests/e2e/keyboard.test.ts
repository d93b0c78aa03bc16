/** Everything by the keyboard alone: no mouse, and no focus that is set by a script. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Page } from "playwright-core";
import { closeBrowser, Tab } from "./browser";
import { allLive, kind, LIVE, past, position, shown, still, word } from "./states";
import { eventually, world } from "./world";

const { begin_us } = world.recorded;
const STOPS = 80;

beforeAll(allLive);
afterAll(closeBrowser);

/** Tab on until this has the focus; every stop on the way is seen to have it. */
async function tabTo(page: Page, selector: string): Promise<void> {
  const way: string[] = [];
  for (let stop = 0; stop < STOPS; stop++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate((selector) => {
      const one = document.activeElement as HTMLElement;
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one);
      const isSeen = (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || boxShadow !== "none";
      return {
        is: one.matches(selector),
        isSeen: one === document.body || isSeen,
        what: one.outerHTML.slice(0, 90),
      };
    }, selector);
    expect(at.isSeen, `the focus is not seen on ${at.what}`).toBe(true);
    if (at.is) return;
    way.push(at.what);
  }
  throw new Error(`${selector} is not reached by Tab:\n${way.join("\n")}`);
}

const value = (page: Page, selector: string, name: string): Promise<string | null> =>
  page.locator(selector).first().getAttribute(name);

test("symbol, exchanges, colours, crosshair, table, theme, help and pages", async () => {
  const tab = await Tab.open(LIVE);
  const { page } = tab;
  await shown(tab);
  await page.keyboard.press("/");
  await page.keyboard.press("ArrowDown");
  await eventually(async () => page.url().endsWith("symbol=ETHUSDT"));
  await page.keyboard.press("ArrowUp");
  await eventually(async () => page.url().endsWith("symbol=BTCUSDT"));

  await tabTo(page, ".lights button");
  await page.keyboard.press(" ");
  await eventually(async () => page.url().endsWith("exchanges=kraken,okx"));
  await page.keyboard.press(" ");
  await eventually(async () => page.url().endsWith("symbol=BTCUSDT"));
  await shown(tab);

  const thumb = "[role=slider][aria-label^=Lower]";
  await tabTo(page, thumb);
  const before = Number(await value(page, thumb, "aria-valuenow"));
  await page.keyboard.press("ArrowRight");
  await eventually(async () => Number(await value(page, thumb, "aria-valuenow")) > before);
  await tabTo(page, ".heat-legend button");
  expect(await value(page, ".heat-legend button", "aria-pressed")).toBe("false");
  await page.keyboard.press("Enter");
  await eventually(async () => (await value(page, ".heat-legend button", "aria-pressed")) === "true");

  await page.keyboard.press("h");
  expect(await page.evaluate(() => document.activeElement?.className)).toBe("heat-surface");
  await page.keyboard.press(" ");
  await still(tab);
  await page.keyboard.press("c");
  const tip = await eventually(() => tab.text(".heat-tip"));
  await page.keyboard.press("ArrowLeft");
  await eventually(async () => (await tab.text(".heat-tip")) !== tip);
  await page.keyboard.press("t");
  await eventually(async () => (await page.locator(".heat-table tbody tr").count()) > 5);
  await page.keyboard.press("t");
  await page.keyboard.press("Escape");
  await eventually(async () => !(await page.locator(".heat-tip").isVisible()));
  expect(await page.locator("#heat-summary").innerText()).toMatch(
    /largest bids .* at .*exchanges in the sum/,
  );
  await page.keyboard.press("Home");
  await eventually(async () => (await word(tab)) === "LIVE");

  await page.keyboard.press("d");
  await eventually(async () => (await value(page, "html", "data-theme")) === "light");
  await page.keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await eventually(async () => (await page.getByRole("dialog").count()) === 0);
  for (const [key, path] of [
    ["2", "/quality"],
    ["3", "/pipeline"],
    ["1", "/"],
  ] as const) {
    await page.keyboard.press(key);
    await eventually(async () => new URL(page.url()).pathname === path);
  }
  await eventually(async () => (await kind(tab, "okx")) === "live");
  await tab.close();
});

test("a replay plays, is paused, goes faster, is sought, stepped and ended", async () => {
  const tab = await Tab.open(past(begin_us, begin_us + 10e6));
  const { page } = tab;
  await still(tab);
  const begun = await position(tab);
  await page.keyboard.press("]");
  await page.keyboard.press(" ");
  await eventually(async () => (await word(tab)) === "REPLAY × 2");
  await eventually(async () => (await position(tab)) > begun + 1_500);
  await page.keyboard.press(" ");
  await still(tab);
  await page.waitForTimeout(1_500);
  const paused = await position(tab);
  await page.waitForTimeout(1_500);
  expect(await position(tab)).toBe(paused);
  await page.keyboard.press(",");
  await eventually(async () => (await position(tab)) < paused);

  await tabTo(page, "input.slider");
  const stepped = await position(tab);
  await page.keyboard.press("ArrowLeft");
  await eventually(async () => (await position(tab)) < stepped);
  expect(await value(page, "input.slider", "aria-valuetext")).toMatch(/^20\d\d-.* UTC$/);
  // The slider's end is live.
  await page.keyboard.press("End");
  await eventually(async () => (await word(tab)) === "LIVE");
  expect(new URL(page.url()).search).toBe("?symbol=BTCUSDT");
  await eventually(async () => {
    const answer = await fetch(`${world.recorded.url}/v1/replay/sessions`);
    return ((await answer.json()) as { data: unknown[] }).data.length === 0;
  });
  await tab.close();
});
