/** What `make check` looks at in Chromium: few and short. `make dashboard-test` has all of it. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { findings } from "./axe";
import { closeBrowser, Tab } from "./browser";
import { colourOf } from "./colours";
import { cuts, placeAt } from "./picture";
import { allLive, bare, LIVE, moves, past, settled, shown } from "./states";
import { eventually, world, type Expected } from "./world";

const { heatmaps, hole_us } = world.recorded;

/** Of the milliseconds of a tick: what was stored of it is taken away. */
function isTaken(time: number): boolean {
  return 1_000 * time >= hole_us[0] && 1_000 * time < hole_us[1];
}

function cellAt(time: number, price: number): Expected["data"][number] | undefined {
  const expected = heatmaps.find((one) => one.symbol === "BTCUSDT" && one.timestamp === 1_000 * time);
  return expected?.data.find((one) => Number(one.price) === price);
}

beforeAll(allLive);
afterAll(closeBrowser);

test("the live heatmap moves, beside a book; axe finds nothing", async () => {
  const tab = await Tab.open(LIVE);
  await shown(tab);
  await moves(tab);
  await eventually(async () => /\d/.test(await tab.text(".panel.book tbody")));
  expect(await findings(tab.page)).toEqual([]);
  await tab.close();
});

test("a link into the past is the same each time, in the colours that a second script computes from the recording", async () => {
  const first = await Tab.open(past());
  const picture = await settled(first);
  expect(picture.length).toBeGreaterThan(5_000);
  await first.close();
  const tab = await Tab.open(past());
  expect(await settled(tab)).toBe(picture);
  await bare(tab, "Gaps");
  await settled(tab);
  const now = await cuts(tab.page);
  let judged = 0;
  // The recording's books are narrow: its cells lie around the middle.
  for (let across = 0.08; across < 0.98; across += 0.15)
    for (let down = 0.38; down < 0.62; down += 0.03) {
      const place = await placeAt(tab.page, across, down);
      const cell = place && !isTaken(place.time) && cellAt(place.time, place.price);
      if (!cell) continue;
      judged += 1;
      const wanted = colourOf(Number(cell.volume), cell.side, now);
      const far = Math.max(...wanted.map((value, at) => Math.abs(value - place.pixel[at]!)));
      expect(far, `${place.words} is ${place.pixel}, not ${wanted}`).toBeLessThanOrEqual(2);
    }
  expect(judged).toBeGreaterThan(10);
  expect(await cuts(tab.page)).toEqual(now);
  await tab.close();
});

test("the policy allows nothing that is unsafe, and nobody else", async () => {
  for (const path of ["/", "/quality", "/pipeline"]) {
    const policy = (await fetch(world.live + path)).headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("connect-src 'self'");
    expect(policy).not.toMatch(/unsafe-|https?:|\*/);
  }
});
