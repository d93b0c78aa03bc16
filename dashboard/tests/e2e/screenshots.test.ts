/** `make screenshots`: the pictures of the documents. Without COBY_SCREENSHOTS, the folder for them, there are none. */
import { afterAll, test } from "vitest";
import { closeBrowser, Tab, type Options } from "./browser";
import { LIVE, past } from "./states";
import { eventually, world } from "./world";

const folder = process.env["COBY_SCREENSHOTS"];
const { lost_us } = world.recorded;

const has = (selector: string, words: RegExp) => (tab: Tab) =>
  eventually(async () => words.test(await tab.text(selector)));
const paused = has(".replay-word", /^REPLAY paused$/);
const moving = has(".heat-note", /^$/);

interface Shot {
  at: string;
  options?: Options;
  ready: (tab: Tab) => Promise<unknown>;
}

const SHOTS: Record<string, Shot> = {
  replay: { at: past(), options: { size: "small" }, ready: paused },
  gap: { at: past(lost_us[0] - 20e6, lost_us[1] + 20e6), options: { size: "small" }, ready: paused },
  quality: { at: `${world.live}/quality`, options: { size: "small" }, ready: has(".page-head", /gaps/) },
  pipeline: {
    at: `${world.live}/pipeline`,
    options: { size: "small" },
    ready: has(".page-head", /of the last 10 s/),
  },
  light: { at: LIVE, options: { theme: "light", size: "small" }, ready: moving },
  phone: { at: LIVE, options: { size: "phone" }, ready: moving },
  dark: { at: LIVE, ready: moving },
};
/** So that there is something to be seen. */
const WARM_MS = 12_000;

afterAll(closeBrowser);

test.skipIf(!folder).each(Object.entries(SHOTS))("%s", async (name, { at, options, ready }) => {
  const tab = await Tab.open(at, options);
  await ready(tab);
  await tab.page.waitForTimeout(WARM_MS);
  await tab.page.screenshot({ path: `${folder}/dashboard-${name}.png` });
  await tab.close();
});
