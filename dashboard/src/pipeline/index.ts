import type { Page } from "../app";

export const pipelinePage: Page = {
  path: "pipeline",
  title: "Pipeline",
  mount: () => () => undefined,
};
