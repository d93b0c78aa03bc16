import type { App } from "./app";
import { Clock } from "./data/clock";
import { Rest } from "./data/rest";
import { Socket } from "./data/socket";
import { element } from "./shell/dom";
import { Keys } from "./shell/keys";
import { storedKey } from "./shell/keyring";
import { mountShell } from "./shell/shell";
import { makeTheme } from "./shell/theme";
import { trustNothing } from "./shell/trusted";

trustNothing();
const clock = new Clock();
const aloud = element("div", { class: "heard", "aria-live": "polite", role: "status" });
const app: App = {
  rest: new Rest({ key: storedKey }),
  clock,
  socket: new Socket({ clock, key: storedKey }),
  keys: new Keys(document),
  theme: makeTheme(),
  key: storedKey,
  say: (text) => (aloud.textContent = text),
};
const root = document.getElementById("app");
if (root === null) throw new Error("index.html has no #app");
mountShell(
  root,
  app,
  [
    { path: "/", title: "Market", key: "1", load: async () => (await import("./market")).marketPage },
    {
      path: "/quality",
      title: "Quality",
      key: "2",
      load: async () => (await import("./quality")).qualityPage,
    },
    {
      path: "/pipeline",
      title: "Pipeline",
      key: "3",
      load: async () => (await import("./pipeline")).pipelinePage,
    },
  ],
  aloud,
);
