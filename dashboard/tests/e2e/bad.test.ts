/** Bad input: each looks like what it is. */
import { afterAll, expect, test } from "vitest";
import { findings } from "./axe";
import { closeBrowser, Tab } from "./browser";
import { placeAt, strokesAt } from "./picture";
import { allLive, bare, kind, LIVE, moves, note, past, settled, shown, word } from "./states";
import { eventually, world } from "./world";

const { url, begin_us, end_us, jump_us } = world.recorded;
const DAY_US = 86_400e6;

afterAll(closeBrowser);

/** Every price that the crosshair has a volume of, at this share of the width. */
async function pricesAt(tab: Tab, across: number): Promise<number[]> {
  const found = [];
  for (let down = 0.02; down < 0.98; down += 0.04) {
    const place = await placeAt(tab.page, across, down);
    if (place && /\b(Ask|Bid)\b/.test(place.words)) found.push(place.price);
  }
  return found;
}

test("no data: a time before everything is hatched, and says that nothing is stored", async () => {
  const tab = await Tab.open(past(begin_us - DAY_US, begin_us - DAY_US + 60e6), { mayFail: true });
  await eventually(async () => /^REPLAY (paused|stopped)$/.test(await word(tab)));
  await eventually(async () => !/loading/i.test(await note(tab)));
  await eventually(async () => (await strokesAt(tab.page, 0.5)) > 20);
  await bare(tab);
  const place = await placeAt(tab.page, 0.5, 0.5);
  // Without any price there is no place to read, but a note.
  expect(`${place?.words ?? ""} ${await note(tab)}`).toMatch(/not stored|No order book/);
  // Nor does the replay look as if it could be played.
  expect(await tab.text(".panel.replay")).toMatch(/nothing|no record|not kept|no longer|before/i);
  expect(await tab.text(".panel.book")).toMatch(/no book|nothing/i);
  expect(await findings(tab.page)).toEqual([]);
  await tab.close();
});

test("no data live: a market that has fallen silent is not shown as live", async () => {
  const tab = await Tab.open(`${url}/?symbol=BTCUSDT`);
  await eventually(async () => ["unknown", "down"].includes((await kind(tab, "binance")) ?? ""));
  expect(await findings(tab.page)).toEqual([]);
  await tab.close();
});

test("one exchange only: its light, its sum, and it can't be taken out", async () => {
  await allLive();
  const tab = await Tab.open(`${LIVE}&exchanges=kraken`);
  await shown(tab);
  await moves(tab);
  const pressed = tab.page.locator(".lights button[aria-pressed=true]");
  expect(await pressed.allInnerTexts()).toEqual([expect.stringContaining("kraken")]);
  await pressed.click();
  expect(await pressed.count()).toBe(1);
  const place = await eventually(async () => {
    for (let down = 0.3; down < 0.7; down += 0.02) {
      const found = await placeAt(tab.page, 0.9, down);
      if (found && /\b(Ask|Bid)\b/.test(found.words)) return found;
    }
    return null;
  });
  expect(place.words).toMatch(/\(1 ex\./);
  await tab.close();
});

test("prices that jump ten times: each side of the jump shows its own, and the picture follows", async () => {
  const before = await Tab.open(past(begin_us, jump_us - 2e6, "ETHUSDT"));
  await settled(before);
  const low = await eventually(async () => {
    const found = await pricesAt(before, 0.6);
    return found.length > 2 ? found : null;
  });
  await before.close();
  const after = await Tab.open(past(begin_us, end_us, "ETHUSDT"));
  await settled(after);
  const high = await pricesAt(after, 0.9);
  expect(Math.max(...low)).toBeLessThan(4_000);
  expect(high.length).toBeGreaterThan(2);
  expect(Math.min(...high)).toBeGreaterThan(25_000);
  // The cheap time is above no price of its own here: unknown, not zero.
  const place = await placeAt(after.page, 0.15, 0.5);
  expect(place?.words).toMatch(/unknown|not stored/);
  expect(await findings(after.page)).toEqual([]);
  await after.close();
});
