import { defineConfig } from "vitest/config";

// `npm run dev` shows the sources beside a running API (make demo prints its address): COBY_API=http://127.0.0.1:8080.
const api = process.env["COBY_API"] ?? "http://127.0.0.1:8080";
const paths = ["/v1", "/health", "/openapi.json", "/asyncapi.json"];

export default defineConfig({
  build: {
    // The API serves what lies here, from a checkout and from a wheel alike.
    outDir: "../api/dashboard",
    emptyOutDir: true,
    target: "es2022",
    // The CSP knows no data: scripts and no inline styles, so nothing is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: Object.fromEntries(paths.map((path) => [path, { target: api, ws: path === "/v1" }])) },
  test: { include: ["tests/unit/**/*.test.ts"] },
});
