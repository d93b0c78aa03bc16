import { defineConfig } from "vitest/config";

// In a real Chromium on a running COBY (tests/dashboard_world.py). One after another: they share it.
export default defineConfig({
  test: {
    include: ["tests/e2e/**/*.test.ts"],
    globalSetup: "tests/e2e/setup.ts",
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
