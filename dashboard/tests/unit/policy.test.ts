import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { isLogo } from "../../src/shell/trusted";

const root = new URL("../../", import.meta.url);
const library = readFileSync(
  new URL("node_modules/lightweight-charts/dist/lightweight-charts.production.mjs", root),
  "utf-8",
);

test("the policy of the API allows the one style element that the chart library brings, by its hash", () => {
  const styles = [...library.matchAll(/createElement\("style"\),[\w.]+\.innerText="([^"]*)"/g)].map(
    (found) => found[1],
  );
  expect(styles).toHaveLength(1);
  const hash = createHash("sha256").update(styles[0]!).digest("base64");
  expect(readFileSync(new URL("../api/built.py", root), "utf-8")).toContain(`"sha256-${hash}"`);
});

test("of HTML texts the library's logo alone is let through", () => {
  const texts = [...library.matchAll(/\.innerHTML='([^']*)'/g)].map((found) => found[1]!);
  expect(texts).toHaveLength(1);
  expect(isLogo(texts[0]!)).toBe(true);
  expect(isLogo(`${texts[0]!}<img src=x onerror=alert(1)>`)).toBe(false);
  expect(isLogo("<b>bold</b>")).toBe(false);
});
