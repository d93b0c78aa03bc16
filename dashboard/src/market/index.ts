import type { Page } from "../app";

export const marketPage: Page = {
  path: "market",
  title: "Market",
  mount: () => () => undefined,
};
