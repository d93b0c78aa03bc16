/**
 * Frames, script and memory of the heatmap in Chromium without a GPU: `npm run bench -- --seconds 60 --width 1600 --height 900`,
 * which `make dashboard-bench` calls. Prints one JSON object; with --shot FILE also writes what was seen.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { build, preview } from "vite";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    width: { type: "string", default: "1600" },
    height: { type: "string", default: "900" },
    surface: { type: "string", default: "" },
    out: { type: "string", default: "0" },
    shot: { type: "string", default: "" },
  },
});
const [seconds, width, height] = [values.seconds, values.width, values.height].map(Number);
const ROOT = resolve(import.meta.dirname, "../..");
const python = process.env.PYTHON ?? join(ROOT, ".venv/bin/python");
const chromiumPath = execFileSync(python, ["-m", "deploy.local", "browser"], { cwd: ROOT, encoding: "utf8" })
  .trim()
  .split("\n")
  .at(-1);
const folder = mkdtempSync(join(tmpdir(), "coby-bench-"));
const root = fileURLToPath(new URL(".", import.meta.url));
const common = {
  root,
  configFile: false,
  logLevel: "error",
  build: { outDir: folder, target: "es2022", emptyOutDir: true },
};

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

function share(sorted, of) {
  return Number(sorted[Math.min(sorted.length - 1, Math.floor(of * sorted.length))].toFixed(2));
}

function spread(numbers) {
  const sorted = numbers.toSorted((one, other) => one - other);
  return {
    median: share(sorted, 0.5),
    p95: share(sorted, 0.95),
    p99: share(sorted, 0.99),
    max: share(sorted, 1),
  };
}

/** Resident memory of all processes that the browser has started, MiB. */
function resident(marker) {
  const lines = execFileSync("ps", ["-eo", "rss=,args="], { encoding: "utf8", maxBuffer: 1 << 26 }).split(
    "\n",
  );
  const kib = lines
    .filter((line) => line.includes(marker))
    .map((line) => Number(line.trim().split(/\s+/)[0]));
  return Math.round(kib.reduce((sum, one) => sum + one, 0) / 1_024);
}

async function memory(session, marker) {
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  const bytes = metrics.find((one) => one.name === "JSHeapUsedSize").value;
  return { heap_mib: Number((bytes / 2 ** 20).toFixed(1)), resident_mib: resident(marker) };
}

await build(common);
const server = await preview({ ...common, preview: { port: 0, host: "127.0.0.1" } });
const data = mkdtempSync(join(tmpdir(), "coby-chromium-"));
const browser = await chromium.launchPersistentContext(data, {
  executablePath: chromiumPath,
  args: FLAGS,
  viewport: { width, height },
});
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(error));
  await page.goto(server.resolvedUrls.local[0]);
  if (values.surface) {
    const [wide, high] = values.surface.split("x");
    await page.addStyleTag({
      content: `.heat-surface { width: ${wide}px; height: ${high}px; flex: none }`,
    });
  }
  await page.waitForFunction(() => window.heatFrames.intervals.length > 10, null, { timeout: 60_000 });
  for (let one = 0; one < Number(values.out); one++) await page.keyboard.press("-");
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const took = [];
  const began = Date.now();
  await page.evaluate(() => {
    window.heatFrames.intervals.length = window.heatFrames.scripts.length = window.heatFrames.columns = 0;
  });
  const frames = { intervals: [], scripts: [], columns: 0 };
  while (Date.now() - began < seconds * 1_000) {
    await page.waitForTimeout(Math.min(60_000, seconds * 1_000 - (Date.now() - began)));
    const part = await page.evaluate(() => {
      const { intervals, scripts, columns } = window.heatFrames;
      window.heatFrames.intervals = [];
      window.heatFrames.scripts = [];
      window.heatFrames.columns = 0;
      return { intervals, scripts, columns };
    });
    frames.intervals.push(...part.intervals.slice(1));
    frames.scripts.push(...part.scripts.slice(1));
    frames.columns += part.columns;
    took.push({ at_s: Math.round((Date.now() - began) / 1_000), ...(await memory(session, data)) });
  }
  const canvas = await page.locator(".heat-cells").evaluate((one) => [one.width, one.height]);
  const interval = spread(frames.intervals);
  const every = Math.ceil(took.length / 12);
  console.log(
    JSON.stringify(
      {
        canvas,
        seconds: Math.round((Date.now() - began) / 1_000),
        frames: frames.intervals.length,
        frames_per_second: { median: Number((1_000 / interval.median).toFixed(1)), interval_ms: interval },
        script_ms_per_frame: spread(frames.scripts),
        columns_per_second: Number((frames.columns / seconds).toFixed(1)),
        memory: took.filter((_, place) => place % every === 0 || place === took.length - 1),
      },
      null,
      1,
    ),
  );
  if (values.shot) await page.screenshot({ path: values.shot });
} finally {
  await browser.close();
  await server.close();
  for (const one of [folder, data]) rmSync(one, { recursive: true, force: true });
}
