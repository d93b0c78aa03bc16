/** The live picture: it moves, history joins it, and what goes wrong is seen and named. */
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { closeBrowser, Tab } from "./browser";
import { pixels, placeAt } from "./picture";
import { eventually, mishap, order, world } from "./world";

const HOME = `${world.live}/?symbol=BTCUSDT`;
const PRODUCER_LOST_SECONDS = 4;

interface Status {
  data: { exchange: string; books: { symbol: string; state: string }[] }[];
}

/** All books live: a test begins with what another one has not left behind. */
beforeEach(() =>
  eventually(async () => {
    const { data } = (await (await fetch(`${world.live}/v1/status`)).json()) as Status;
    return data.length === 3 && data.every((one) => one.books.every((book) => book.state === "live"));
  }, 120),
);
afterAll(closeBrowser);

const shown = (tab: Tab): Promise<unknown> =>
  eventually(async () => !/Loading|Waiting|No order book/.test(await tab.text(".heat-note")));
const light = (tab: Tab, exchange: string): Promise<string> =>
  tab.page.locator(".lights li, .lights > *").filter({ hasText: exchange }).first().innerText();

describe("the live heatmap", () => {
  test("moves", async () => {
    const tab = await Tab.open(HOME);
    await shown(tab);
    const first = await pixels(tab.page);
    await eventually(async () => (await pixels(tab.page)) !== first, 20);
    await tab.close();
  });

  test("has history that joins what is live without a seam", async () => {
    const tab = await Tab.open(HOME);
    await shown(tab);
    await tab.page.waitForTimeout(6_000);
    await tab.page.keyboard.press(" ");
    await eventually(async () => (await tab.text(".replay-word")).startsWith("REPLAY paused"));
    await shown(tab);
    const times: number[] = [];
    const words: string[] = [];
    const opened = Date.now() - 40_000;
    for (let across = 0.7; across < 0.995; across += 0.004) {
      const place = await placeAt(tab.page, across, 0.5);
      if (!place || place.time < opened) continue;
      times.push(place.time);
      words.push(place.words);
    }
    expect(times.length).toBeGreaterThan(20);
    expect([...times].sort((a, b) => a - b)).toEqual(times);
    const steps = times.slice(1).map((time, at) => time - times[at]!);
    expect(Math.max(...steps)).toBeLessThanOrEqual(2_000);
    expect(words.filter((one) => /not stored|loading/.test(one))).toEqual([]);
    await tab.close();
  });

  test("shows a forced gap, hatched and named", async () => {
    const tab = await Tab.open(HOME);
    await shown(tab);
    await mishap("binance", { kind: "drop_frames", count: 3, symbol: "BTCUSDT", channel: "depth" });
    await eventually(async () => /gap|sequence/i.test(await light(tab, "binance")), 20).catch(
      () => undefined,
    );
    // The table of gaps has it; the key G leads to it, and the crosshair names it.
    await eventually(async () => {
      const answer = await fetch(`${world.live}/v1/gaps?symbol=BTCUSDT&exchange=binance`);
      const { data } = (await answer.json()) as { data: { reason: string; until_time: string | null }[] };
      return data.some((one) => one.until_time !== null && /sequence/.test(one.reason));
    });
    await tab.page.keyboard.press("Shift+G");
    await eventually(async () => (await tab.text(".replay-word")).startsWith("REPLAY paused"));
    await shown(tab);
    const words = await eventually(async () => {
      for (let across = 0.6; across < 0.999; across += 0.006) {
        const place = await placeAt(tab.page, across, 0.5);
        if (place && /binance/.test(place.words)) return place.words;
      }
      return "";
    });
    expect(words).toMatch(/binance.*(gap|sequence|missing)/i);
    await tab.close();
  });

  test("greys an exchange that is taken down, with its reason, within four seconds, and takes it back", async () => {
    const tab = await Tab.open(HOME);
    await shown(tab);
    await eventually(async () => /live/.test(await light(tab, "okx")));
    const began = Date.now();
    await order("stop", { name: "producer-okx" });
    const stopped = Date.now();
    await eventually(async () => !/live/.test(await light(tab, "okx")), 20);
    // The order itself takes the producer's orderly stop; from then on the reason has to be there.
    const seconds = (Date.now() - stopped) / 1_000;
    expect(seconds, `asked ${(stopped - began) / 1_000} s before`).toBeLessThan(PRODUCER_LOST_SECONDS);
    expect(await light(tab, "okx")).toMatch(/disconnect|lost|stopp|unknown/i);
    await order("start", { name: "producer-okx" });
    await eventually(async () => /live/.test(await light(tab, "okx")), 90);
    await tab.close();
  });
});

describe("trouble", () => {
  test("a restart of the API is said, and mended by the page itself", async () => {
    const tab = await Tab.open(HOME, { mayFail: true });
    await shown(tab);
    await order("stop", { name: "api" });
    await eventually(async () => /away|silent|connecting/.test(await tab.text(".link-line")), 30);
    await order("start", { name: "api" });
    await eventually(async () => /connected/.test(await tab.text(".link-line")), 90);
    const first = await pixels(tab.page);
    await eventually(async () => (await pixels(tab.page)) !== first, 30);
    await tab.close();
  });

  test("a slow network is said, and the picture goes on", async () => {
    const tab = await Tab.open(HOME, { mayFail: true });
    await shown(tab);
    const session = await tab.page.context().newCDPSession(tab.page);
    const slow = { offline: false, latency: 1_000, downloadThroughput: 12_500, uploadThroughput: 12_500 };
    await session.send("Network.enable");
    await session.send("Network.emulateNetworkConditions", slow);
    await tab.page.reload({ waitUntil: "commit", timeout: 110_000 });
    await eventually(async () => /connect|silent|away|reduced/.test(await tab.text(".link-line")), 100);
    await session.send("Network.emulateNetworkConditions", {
      ...slow,
      latency: 0,
      downloadThroughput: -1,
      uploadThroughput: -1,
    });
    await eventually(async () => /connected/.test(await tab.text(".link-line")), 60);
    await shown(tab);
    await tab.close();
  });

  test("a browser whose clock is an hour off shows the server's time", async () => {
    const tab = await Tab.open(HOME, {
      before: async (page) => {
        await page.addInitScript(() => {
          const real = Date.now.bind(Date);
          Date.now = () => real() + 3_600_000;
        });
      },
    });
    await shown(tab);
    const time = await tab.page.locator(".time-input").inputValue();
    const far = Math.abs(Date.parse(time.replace(" UTC", "Z").replace(" ", "T")) - Date.now());
    expect(far).toBeLessThan(10_000);
    await tab.close();
  });
});
