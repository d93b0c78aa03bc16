import type { Page } from "../app";

export const qualityPage: Page = {
  path: "quality",
  title: "Quality",
  mount: () => () => undefined,
};
