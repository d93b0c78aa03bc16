/** A fixed recording: the colours of its cells, its holes, a link that gives the same picture again, and its replay. */
import { afterAll, describe, expect, test } from "vitest";
import { closeBrowser, Tab } from "./browser";
import { colourOf } from "./colours";
import { cuts, pixels, placeAt, type Place } from "./picture";
import { eventually, moment, world, type Expected } from "./world";

const { url, begin_us, end_us, lost_us, hole_us, heatmaps } = world.recorded;
const LINK = `${url}/?symbol=BTCUSDT&from=${moment(begin_us)}&to=${moment(end_us)}`;
const still = (tab: Tab): Promise<unknown> =>
  eventually(async () => (await tab.text(".replay-word")) === "REPLAY paused");
const quiet = (tab: Tab): Promise<unknown> =>
  eventually(async () => !/Loading|loading/.test(await tab.text(".heat-note").catch(() => "")));
/** Painted at most once a frame, history in pages: twice the same is done. */
async function settled(tab: Tab): Promise<string> {
  await still(tab);
  await quiet(tab);
  let last = "";
  return eventually(async () => {
    const now = await pixels(tab.page);
    const same = now === last ? now : "";
    last = now;
    await tab.page.waitForTimeout(700);
    return same;
  });
}

function expectedAt(time: number): Expected | undefined {
  return heatmaps.find((one) => one.symbol === "BTCUSDT" && one.timestamp === 1_000 * time);
}

afterAll(closeBrowser);

describe("a link into the past", () => {
  test("shows cells in the colours that a second script computes from the recording", async () => {
    const tab = await Tab.open(LINK);
    await settled(tab);
    for (const name of ["Best", "Trades", "VWAP", "Gaps"])
      await tab.page.getByRole("button", { name, exact: true }).click();
    await settled(tab);
    const now = await cuts(tab.page);
    const seen: Place[] = [];
    // The recording's books are narrow: its cells lie around the middle.
    for (let across = 0.08; across < 0.98; across += 0.11)
      for (let down = 0.38; down < 0.62; down += 0.016) {
        const place = await placeAt(tab.page, across, down);
        if (place) seen.push(place);
      }
    let judged = 0;
    for (const place of seen) {
      const cell = expectedAt(place.time)?.data.find((one) => Number(one.price) === place.price);
      if (!cell) continue;
      judged += 1;
      const wanted = colourOf(Number(cell.volume), cell.side, now);
      const far = Math.max(...wanted.map((value, at) => Math.abs(value - place.pixel[at]!)));
      expect(far, `${place.words} is ${place.pixel}, not ${wanted}`).toBeLessThanOrEqual(2);
    }
    expect(judged).toBeGreaterThan(15);
    await tab.close();
  });

  test("gives the same pixels again", async () => {
    const first = await Tab.open(LINK);
    const picture = await settled(first);
    await first.close();
    const second = await Tab.open(LINK);
    expect(await settled(second)).toBe(picture);
    expect(picture.length).toBeGreaterThan(5_000);
    await second.close();
  });

  test("says of each hole what it is: a lost connection, and what was not stored", async () => {
    const tab = await Tab.open(LINK);
    await settled(tab);
    let first = Infinity;
    const seen = { lost: "", hole: "" };
    for (let across = 0.02; across < 0.995; across += 0.012) {
      const place = await placeAt(tab.page, across, 0.4);
      if (!place) continue;
      first = Math.min(first, place.time);
      const inside = ([from, to]: [number, number]): boolean =>
        place.time >= from / 1_000 && place.time <= to / 1_000;
      if (inside(lost_us)) seen.lost ||= place.words;
      if (inside([hole_us[0] + 1_000_000, hole_us[1] - 1_000_000])) seen.hole ||= place.words;
    }
    expect(seen.lost).toMatch(/blind|disconnect|lost/i);
    // The range of the link fills the picture.
    expect(first).toBeLessThan(begin_us / 1_000 + 15_000);
    expect(seen.hole).toMatch(/not stored|stored/i);
    await tab.close();
  });
});

describe("a replay", () => {
  test("steps back and forth by a tick, exactly, and shows the same again", async () => {
    const tab = await Tab.open(LINK);
    await still(tab);
    const time = (): Promise<string> => tab.page.locator(".time-input").inputValue();
    const book = (): Promise<string> => tab.text(".panel.book");
    await eventually(async () => !(await book()).includes("no book"));
    const texts = [];
    for (const key of [",", ",", "."]) {
      const before = await time();
      await tab.page.keyboard.press(key);
      await eventually(async () => (await time()) !== before);
      await tab.page.waitForTimeout(600);
      texts.push([await time(), await book()]);
    }
    const [first, second, again] = texts;
    const at = (one: unknown): number => Date.parse(String(one).replace(" UTC", "Z").replace(" ", "T"));
    expect(at(first![0]) - at(second![0])).toBe(500);
    expect(again).toEqual(first);
    expect(second![1]).not.toBe("");
    await tab.close();
  });

  test("plays, is paused, goes faster, is sought and comes back to live, all by the keyboard", async () => {
    const tab = await Tab.open(
      `${url}/?symbol=BTCUSDT&from=${moment(begin_us)}&to=${moment(begin_us + 10e6)}`,
    );
    const { page } = tab;
    const word = (): Promise<string> => tab.text(".replay-word");
    const position = async (): Promise<number> =>
      Date.parse((await page.locator(".time-input").inputValue()).replace(" UTC", "Z").replace(" ", "T"));
    await still(tab);
    expect(await page.evaluate(() => document.documentElement.dataset["mode"])).toBe("replay");
    const begun = await position();
    await page.keyboard.press("]");
    await page.keyboard.press(" ");
    await eventually(async () => (await word()) === "REPLAY × 2");
    await eventually(async () => (await position()) > begun + 1_500);
    await page.keyboard.press(" ");
    await eventually(async () => (await word()) === "REPLAY paused");
    await page.waitForTimeout(1_500);
    const paused = await position();
    await page.waitForTimeout(1_500);
    expect(await position()).toBe(paused);
    const slider = page.getByRole("slider", { name: "Time", exact: true });
    await slider.focus();
    await page.keyboard.press("ArrowLeft");
    await eventually(async () => (await position()) < paused);
    expect(await slider.getAttribute("aria-valuetext")).toMatch(/^20\d\d-.* UTC$/);
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await page.keyboard.press("Home");
    await eventually(async () => (await word()) === "LIVE");
    expect(page.url()).toBe(`${url}/?symbol=BTCUSDT`);
    const left = async (): Promise<unknown[]> =>
      ((await (await fetch(`${url}/v1/replay/sessions`)).json()) as { data: unknown[] }).data;
    await eventually(async () => (await left()).length === 0);
    await tab.close();
  });

  test("whose session was deleted says so, and goes on when asked to", async () => {
    const tab = await Tab.open(
      `${url}/?symbol=BTCUSDT&from=${moment(begin_us)}&to=${moment(begin_us + 10e6)}`,
      {
        mayFail: true,
      },
    );
    await still(tab);
    await tab.page.keyboard.press(" ");
    await eventually(async () => (await tab.text(".replay-word")) === "REPLAY × 1");
    const { data } = (await (await fetch(`${url}/v1/replay/sessions`)).json()) as { data: { id: string }[] };
    expect(data).toHaveLength(1);
    await fetch(`${url}/v1/replay/sessions/${data[0]!.id}`, { method: "DELETE" });
    await eventually(async () => (await tab.text(".replay-word")) === "REPLAY stopped");
    expect(await tab.text(".replay-note")).toContain("deleted");
    await tab.page.keyboard.press(" ");
    await eventually(async () => (await tab.text(".replay-word")) === "REPLAY × 1");
    await tab.close();
  });
});
