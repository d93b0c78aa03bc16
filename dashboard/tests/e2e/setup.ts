/** Starts the world and names the browser, once for all files. COBY_WORLD: the folder of one that runs already. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestProject } from "vitest/node";

const ROOT = resolve(import.meta.dirname, "../../..");
const PYTHON = process.env["PYTHON"] ?? join(ROOT, ".venv/bin/python");
const START_SECONDS = 300;

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const said = execFileSync(PYTHON, ["-m", "deploy.local", "browser"], { cwd: ROOT, encoding: "utf8" });
  project.provide("chromium", said.trim().split("\n").at(-1) ?? "");
  const running = process.env["COBY_WORLD"];
  if (running) {
    project.provide("folder", running);
    return async () => undefined;
  }
  // A short path: sockets have short names.
  const folder = mkdtempSync(join(tmpdir(), "coby-e2e-"));
  project.provide("folder", folder);
  const log = join(folder, "world.log");
  const world = spawn(
    "sh",
    ["-c", `exec "$0" -m tests.dashboard_world "$1" > "$2" 2>&1`, PYTHON, folder, log],
    {
      cwd: ROOT,
      stdio: ["pipe", "inherit", "inherit"],
    },
  );
  const ended = new Promise<void>((done) => world.on("exit", () => done()));
  const end = Date.now() + 1_000 * START_SECONDS;
  while (!existsSync(join(folder, "world.json"))) {
    if (world.exitCode !== null || Date.now() > end) {
      world.stdin.end();
      throw new Error(`the world did not start:\n${readFileSync(log, "utf8").slice(-4_000)}`);
    }
    await new Promise((again) => setTimeout(again, 200));
  }
  return async () => {
    world.stdin.end();
    await ended;
    if (world.exitCode !== 0)
      throw new Error(`the world ended badly:\n${readFileSync(log, "utf8").slice(-4_000)}`);
    rmSync(folder, { recursive: true, force: true });
  };
}
