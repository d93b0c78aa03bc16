import { Clock } from "./data/clock";
import { Rest } from "./data/rest";
import { Socket } from "./data/socket";
import { Store } from "./data/store";
import { Keys } from "./shell/keys";
import { marketPage } from "./market";
import { pipelinePage } from "./pipeline";
import { qualityPage } from "./quality";
import type { App, Theme } from "./app";

const pages = [marketPage, qualityPage, pipelinePage];
const clock = new Clock();
const app: App = {
  rest: new Rest(),
  clock,
  socket: new Socket({ clock }),
  keys: new Keys(document),
  theme: new Store<Theme>("dark"),
  key: () => null,
  say: () => undefined,
};
pages[0]?.mount(document.body, app);
