/** The live picture: history joins it, and what goes wrong is seen and named. */
import { afterAll, beforeEach, expect, test } from "vitest";
import { closeBrowser, Tab } from "./browser";
import { placeAt, strokesAt, type Place } from "./picture";
import { allLive, bare, kind, light, LIVE, shown, still } from "./states";
import { eventually, mishap, order, world } from "./world";

const DOWN_SECONDS = 4;
const AWAY_SECONDS = 20;

beforeEach(allLive);
afterAll(closeBrowser);

/** What the crosshair says at these places from left to right. */
async function places(
  tab: Tab,
  from: number,
  until: number,
  step: number,
): Promise<(Place & { across: number })[]> {
  const found = [];
  for (let across = from; across < until; across += step) {
    const place = await placeAt(tab.page, across, 0.5);
    if (place) found.push({ ...place, across });
  }
  return found;
}

test("history joins what is live without a seam", async () => {
  const tab = await Tab.open(LIVE);
  await shown(tab);
  const opened = await tab.page.evaluate(() => performance.timeOrigin);
  await tab.page.waitForTimeout(6_000);
  await tab.page.keyboard.press(" ");
  await still(tab);
  await shown(tab);
  // Columns from before the page was there are history's, later ones came live.
  const seen = (await places(tab, 0.7, 0.995, 0.004)).filter((one) => one.time > opened - 40_000);
  const times = seen.map((one) => one.time);
  expect(times.filter((one) => one < opened).length).toBeGreaterThan(10);
  expect(times.filter((one) => one > opened).length).toBeGreaterThan(5);
  expect([...times].sort((a, b) => a - b)).toEqual(times);
  expect(Math.max(...times.slice(1).map((time, at) => time - times[at]!))).toBeLessThanOrEqual(2_000);
  expect(seen.filter((one) => /not stored|loading/.test(one.words)).map((one) => one.words)).toEqual([]);
  await tab.close();
});

test("a forced gap is hatched, and named", async () => {
  const tab = await Tab.open(LIVE);
  await shown(tab);
  const began = Date.now();
  await mishap("binance", { kind: "drop_frames", count: 3, symbol: "BTCUSDT", channel: "depth" });
  await eventually(async () => {
    const answer = await fetch(`${world.live}/v1/gaps?symbol=BTCUSDT&exchange=binance`);
    const { data } = (await answer.json()) as {
      data: { reason: string; from_time: string; until_time: string | null }[];
    };
    return data.some(
      (one) => one.until_time !== null && Date.parse(one.until_time) > began && /sequence/.test(one.reason),
    );
  });
  // The key leads to it.
  await tab.page.keyboard.press("Shift+G");
  await still(tab);
  await shown(tab);
  const gap = await eventually(async () =>
    (await places(tab, 0.6, 0.999, 0.003)).find((one) => /binance: sequence gap/.test(one.words)),
  );
  await bare(tab);
  expect(await strokesAt(tab.page, gap.across)).toBeGreaterThan(20);
  expect(await strokesAt(tab.page, gap.across - 0.2)).toBeLessThan(5);
  await tab.page.getByRole("button", { name: "Gaps", exact: true }).click();
  expect(await strokesAt(tab.page, gap.across)).toBeLessThan(5);
  await tab.close();
});

test("an exchange that is taken down is grey, with its reason, within four seconds, and comes back", async () => {
  const tab = await Tab.open(LIVE);
  await shown(tab);
  await eventually(async () => (await kind(tab, "okx")) === "live");
  await mishap("okx", { kind: "refuse_connect", seconds: AWAY_SECONDS });
  await mishap("okx", { kind: "disconnect" });
  const began = Date.now();
  await eventually(async () => (await kind(tab, "okx")) === "down", 20);
  expect((Date.now() - began) / 1_000).toBeLessThan(DOWN_SECONDS);
  expect(await light(tab, "okx")).toMatch(/connection lost/i);
  // The column says so as well.
  await eventually(async () =>
    (await places(tab, 0.9, 0.99, 0.005)).some((one) => /okx: disconnected/.test(one.words)),
  );
  await eventually(async () => (await kind(tab, "okx")) === "live", 90);
  await tab.close();
});

test("a program that is killed leaves no exchange that looks alive", async () => {
  const tab = await Tab.open(LIVE);
  await shown(tab);
  await eventually(async () => (await kind(tab, "okx")) === "live");
  await order("stop", { name: "producer-okx" });
  const began = Date.now();
  await eventually(async () => ["down", "blind"].includes((await kind(tab, "okx")) ?? ""), 20);
  expect((Date.now() - began) / 1_000).toBeLessThan(DOWN_SECONDS);
  expect(await light(tab, "okx")).toMatch(/lost|stopped/i);
  await order("start", { name: "producer-okx" });
  await eventually(async () => (await kind(tab, "okx")) === "live", 90);
  await tab.close();
});
