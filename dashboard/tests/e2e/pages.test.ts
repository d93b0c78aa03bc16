/** Every page and state in both themes: readable by everyone, nothing from elsewhere, nothing from outside as HTML. */
import { afterAll, describe, expect, test } from "vitest";
import { findings } from "./axe";
import { closeBrowser, Tab, type Options } from "./browser";
import { past, still } from "./states";
import { eventually, order, world } from "./world";

const { lost_us } = world.recorded;

const STATES: Record<string, { url: string; options?: Options; act?: (tab: Tab) => Promise<unknown> }> = {
  live: {
    url: `${world.live}/`,
    act: (tab) => eventually(async () => /\d/.test(await tab.text(".panel.book tbody"))),
  },
  replay: {
    url: past(),
    act: still,
  },
  gap: {
    url: past(lost_us[0] - 20e6, lost_us[1] + 20e6),
    act: still,
  },
  help: {
    url: `${world.live}/`,
    act: async (tab) => {
      await eventually(async () => tab.page.getByRole("combobox", { name: "Symbol" }).isVisible());
      await tab.page.keyboard.press("?");
      await tab.page.getByRole("dialog").waitFor();
    },
  },
  key: {
    url: `${world.live}/quality`,
    act: async (tab) => {
      await tab.page.getByRole("button", { name: /key/i }).first().click();
      await tab.page.getByRole("dialog").waitFor();
    },
  },
  table: {
    url: past(),
    act: async (tab) => {
      await still(tab);
      await tab.page.keyboard.press("c");
      await tab.page.keyboard.press("t");
      await tab.page.locator(".heat-table").waitFor();
    },
  },
  "other palette": {
    url: past(),
    act: async (tab) => {
      await still(tab);
      await tab.page.getByRole("combobox", { name: "Palette" }).selectOption("viridis");
    },
  },
  refused: {
    url: past(),
    act: async (tab) => {
      await still(tab);
      await tab.page.locator(".time-input").fill("yesterday");
      await tab.page.keyboard.press("Enter");
      await eventually(async () => /looks like/.test(await tab.text(".replay-note")));
    },
  },
  phone: { url: `${world.live}/`, options: { size: "phone" } },
  quality: {
    url: `${world.live}/quality`,
    act: (tab) => eventually(async () => (await tab.text(".quality .page-head")).includes("gaps")),
  },
  pipeline: {
    url: `${world.live}/pipeline`,
    act: (tab) => eventually(async () => (await tab.text(".pipeline .page-head")).includes("last record")),
  },
};

afterAll(closeBrowser);

describe.each(["dark", "light"] as const)("in the %s theme", (theme) => {
  test.each(Object.entries(STATES))("axe finds nothing: %s", async (_, { url: where, options, act }) => {
    const tab = await Tab.open(where, { ...options, theme });
    await tab.page.waitForTimeout(1_500);
    await act?.(tab);
    expect(await findings(tab.page)).toEqual([]);
    await tab.close();
  });
});

test.each(["phone", "small", "wide"] as const)("nothing is wider than the screen: %s", async (size) => {
  for (const path of ["/", "/quality", "/pipeline"]) {
    const tab = await Tab.open(world.live + path, { size });
    await tab.page.waitForTimeout(2_500);
    const [inner, outer] = await tab.page.evaluate(() => [
      document.documentElement.scrollWidth,
      document.documentElement.clientWidth,
    ]);
    expect(inner, path).toBeLessThanOrEqual(outer!);
    // Nothing is taller than its panel, or it would lie over the next one.
    const over = await tab.page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>(".panel")]
        .filter((one) => one.firstElementChild && getComputedStyle(one).overflowY === "visible")
        .filter(
          (one) =>
            one.lastElementChild!.getBoundingClientRect().bottom > one.getBoundingClientRect().bottom + 1,
        )
        .map((one) => one.className),
    );
    expect(over, `${path} ${size}`).toEqual([]);
    await tab.close();
  }
});

test("a symbol, an exchange or a reason named like HTML is text", async () => {
  const bad = "<img src=x onerror=document.title='hit'>";
  const tab = await Tab.open(`${world.live}/`, {
    before: async (page) => {
      await page.route("**/v1/exchanges", async (route) => {
        const answer = await route.fetch();
        const json = (await answer.json()) as { data: { exchange: string }[] };
        json.data[0]!.exchange = bad;
        await route.fulfill({ response: answer, json });
      });
      await page.route("**/v1/symbols", async (route) => {
        const answer = await route.fetch();
        const json = (await answer.json()) as { data: { symbol: string }[] };
        json.data.push({ ...json.data[0]!, symbol: bad });
        await route.fulfill({ response: answer, json });
      });
    },
  });
  await eventually(async () => (await tab.page.content()).includes("&lt;img"));
  await order("gap", { reason: bad, symbol: "BTCUSDT", time_us: 1_000 * Date.now() });
  await tab.page.waitForTimeout(3_000);
  expect(await tab.page.locator("img").count()).toBe(0);
  expect(await tab.page.title()).not.toBe("hit");
  await tab.close();
  const quality = await Tab.open(`${world.live}/quality`);
  await eventually(async () => (await mainText(quality)).includes("onerror"));
  expect(await quality.page.locator("img").count()).toBe(0);
  await quality.close();
});

const mainText = (tab: Tab): Promise<string> => tab.page.locator("main").innerText();
