/** What a network, a server or a clock does to a page that is open: it says so, and mends itself. */
import { afterAll, beforeEach, expect, test } from "vitest";
import { findings } from "./axe";
import { closeBrowser, Tab } from "./browser";
import { allLive, kind, link, LIVE, moves, position, shown } from "./states";
import { eventually, order, world } from "./world";

const FAR = LIVE.replace(world.live, world.far);

beforeEach(allLive);
afterAll(closeBrowser);

test("a restart of the API is said, and mended by the page itself", async () => {
  const tab = await Tab.open(LIVE, { mayFail: true });
  await shown(tab);
  await order("stop", { name: "api" });
  await eventually(async () => /^away/.test(await link(tab)), 30);
  expect(await findings(tab.page)).toEqual([]);
  await order("start", { name: "api" });
  await eventually(async () => /^connected/.test(await link(tab)), 90);
  await shown(tab);
  await moves(tab);
  await tab.close();
});

test("a page whose API is away when it is opened says so, and is there as soon as the API is", async () => {
  const tab = await Tab.open(`${world.live}/quality`, { mayFail: true });
  await eventually(async () => /^connected/.test(await link(tab)));
  await order("stop", { name: "api" });
  await tab.page.getByRole("link", { name: "Market" }).click();
  await eventually(async () => /again|retry|away/i.test(await tab.page.locator("main").innerText()));
  expect(await findings(tab.page)).toEqual([]);
  await order("start", { name: "api" });
  await eventually(async () => (await kind(tab, "okx")) === "live", 120);
  await tab.close();
});

test("a slow network (100 kbit/s, 1 s there and back) is said, and the picture goes on", async () => {
  const tab = await Tab.open(FAR, { mayFail: true });
  await shown(tab);
  await order("network", { state: "slow" });
  try {
    await eventually(async () => /^(reduced|silent|away)/.test(await link(tab)), 100);
    // Less of it comes now: what comes is what is.
    await eventually(async () => /^(reduced|connected)/.test(await link(tab)), 100);
    await moves(tab, 60);
    await eventually(async () => (await kind(tab, "okx")) === "live", 60);
  } finally {
    await order("network", { state: "good" });
  }
  await eventually(async () => /^(reduced|connected)/.test(await link(tab)), 60);
  await moves(tab);
  await tab.close();
});

test("a page that is opened on a slow network is there in the end", async () => {
  await order("network", { state: "slow" });
  try {
    const tab = await Tab.open(FAR, { mayFail: true });
    await eventually(async () => /Loading|live/.test(await tab.page.locator("main").innerText()), 100);
    await shown(tab);
    await moves(tab, 60);
    await tab.close();
  } finally {
    await order("network", { state: "good" });
  }
});

test("a machine that slept: what is shown is called old, and is new again soon after", async () => {
  const tab = await Tab.open(FAR, { mayFail: true });
  await shown(tab);
  await eventually(async () => (await kind(tab, "okx")) === "live");
  await order("network", { state: "asleep" });
  try {
    await eventually(async () => /^silent/.test(await link(tab)), 20);
    await eventually(async () => (await kind(tab, "okx")) === "unknown", 20);
  } finally {
    await order("network", { state: "good" });
  }
  await eventually(async () => /^connected/.test(await link(tab)), 40);
  await eventually(async () => (await kind(tab, "okx")) === "live", 20);
  await moves(tab);
  await tab.close();
});

test("a browser whose clock is an hour off shows the server's time", async () => {
  const tab = await Tab.open(LIVE, {
    before: async (page) => {
      await page.addInitScript(() => {
        const real = Date.now.bind(Date);
        Date.now = () => real() + 3_600_000;
      });
    },
  });
  await shown(tab);
  await eventually(async () => (await kind(tab, "okx")) === "live");
  expect(Math.abs((await position(tab)) - Date.now())).toBeLessThan(10_000);
  await moves(tab);
  await tab.close();
});
