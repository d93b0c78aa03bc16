/** A fixed recording: its holes, and its replay. */
import { afterAll, describe, expect, test } from "vitest";
import { closeBrowser, Tab } from "./browser";
import { placeAt } from "./picture";
import { past, position, settled, still, word } from "./states";
import { eventually, world } from "./world";

const { url, begin_us, lost_us, hole_us } = world.recorded;

afterAll(closeBrowser);

test("says of each hole what it is: a lost connection, and what was not stored", async () => {
  const tab = await Tab.open(past());
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
  expect(seen.hole).toMatch(/not stored/);
  await tab.close();
});

describe("a replay", () => {
  test("steps back and forth by a tick, exactly, and shows the same again", async () => {
    const tab = await Tab.open(past());
    await still(tab);
    const time = (): Promise<number> => position(tab);
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
    expect(Number(first![0]) - Number(second![0])).toBe(500);
    expect(again).toEqual(first);
    expect(second![1]).not.toBe("");
    await tab.close();
  });

  test("has a coloured frame, which what is live has not", async () => {
    const frame = (tab: Tab): Promise<string> =>
      tab.page.evaluate(() => {
        const { content, borderTopWidth, borderTopColor } = getComputedStyle(document.body, "::after");
        return content === "none" ? "none" : `${borderTopWidth} ${borderTopColor}`;
      });
    const live = await Tab.open(`${url}/?symbol=BTCUSDT`);
    await eventually(async () => (await word(live)) === "LIVE");
    expect(await frame(live)).toBe("none");
    await live.close();
    const tab = await Tab.open(past());
    await still(tab);
    // Neither black, nor white, nor grey.
    const [width, ...colours] = (await frame(tab)).match(/[\d.]+/g)!.map(Number);
    expect(width).toBeGreaterThanOrEqual(2);
    expect(Math.max(...colours.slice(0, 3)) - Math.min(...colours.slice(0, 3))).toBeGreaterThan(40);
    await tab.close();
  });

  test("whose session was deleted says so, and goes on when asked to", async () => {
    const tab = await Tab.open(past(begin_us, begin_us + 10e6), { mayFail: true });
    await still(tab);
    await tab.page.keyboard.press(" ");
    await eventually(async () => (await word(tab)) === "REPLAY × 1");
    // Those of other pages end with them.
    const id = await eventually(async () => {
      const answer = await fetch(`${url}/v1/replay/sessions`);
      const { data } = (await answer.json()) as { data: { id: string }[] };
      return data.length === 1 && data[0]!.id;
    });
    await fetch(`${url}/v1/replay/sessions/${id}`, { method: "DELETE" });
    await eventually(async () => (await word(tab)) === "REPLAY stopped");
    expect(await tab.text(".replay-note")).toContain("deleted");
    await tab.page.keyboard.press(" ");
    await eventually(async () => (await word(tab)) === "REPLAY × 1");
    await tab.close();
  });
});
