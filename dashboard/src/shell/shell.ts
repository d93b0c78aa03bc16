/** The frame of all pages: heading, navigation, the line of the connection, dialogs, what is said aloud. */
import type { App, End, Page } from "../app";
import { element } from "./dom";
import { openHelp } from "./help";
import { askForKey } from "./keyring";
import { mountLink } from "./linkline";
import { toggle } from "./theme";

export interface Entry {
  path: string;
  title: string;
  key: string;
  load: () => Promise<Page>;
}

export function mountShell(root: HTMLElement, app: App, entries: readonly Entry[], aloud: HTMLElement): void {
  const main = element("main", { id: "main", tabindex: "-1" });
  const tools = element("div", { class: "tools" });
  const line = element("div", { class: "link-line" });
  const links = entries.map((entry) => element("a", { href: entry.path, class: "tab" }, entry.title));
  const header = element(
    "header",
    { class: "head" },
    element("a", { class: "skip", href: "#main" }, "Skip to the page"),
    element("h1", { class: "brand" }, "COBY"),
    element("nav", { "aria-label": "Pages" }, ...links),
    line,
    tools,
  );
  root.append(header, main, aloud);
  const pages = new Pages(app, entries, links, main);
  addTools(tools, app, pages);
  mountLink(line, app);
  entries.forEach((entry) => {
    app.keys.on({ keys: [entry.key], group: "Pages", what: entry.title, run: () => pages.go(entry.path) });
  });
  pages.show();
}

/** One page at a time, by the path of the address. */
class Pages {
  private end: End | null = null;
  private shown = 0;

  constructor(
    private readonly app: App,
    private readonly entries: readonly Entry[],
    private readonly links: readonly HTMLAnchorElement[],
    private readonly main: HTMLElement,
  ) {
    window.addEventListener("popstate", () => this.show());
    links.forEach((link) =>
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        this.go(link.getAttribute("href") ?? "/");
      }),
    );
  }

  go(path: string): void {
    if (path === window.location.pathname) return;
    const symbol = new URLSearchParams(window.location.search).get("symbol");
    window.history.pushState(
      null,
      "",
      path + (symbol === null ? "" : `?symbol=${encodeURIComponent(symbol)}`),
    );
    this.show();
    this.main.focus();
  }

  /** The page of the address; anew, too. */
  show(): void {
    const path = window.location.pathname;
    const entry = this.entries.find((one) => one.path === path) ?? this.entries[0];
    if (!entry) return;
    this.end?.();
    this.end = null;
    this.main.replaceChildren();
    this.links.forEach((link, at) => {
      if (this.entries[at] === entry) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    document.title = `${entry.title} · COBY`;
    const number = ++this.shown;
    entry.load().then(
      (page) => {
        if (number === this.shown) this.end = page.mount(this.main, this.app);
      },
      () => {
        if (number === this.shown) this.end = this.notLoaded();
      },
    );
  }

  /** The API is away, or a newer build has taken the files away that this page knows. */
  private notLoaded(): End {
    const text = "Not loaded: tried again as soon as the API answers. If it does, reload the page.";
    this.main.append(element("p", { class: "state", role: "status" }, text));
    let wasAway = false;
    return this.app.socket.link.watch(({ state }) => {
      if (state === "open" && wasAway) window.location.reload();
      wasAway ||= state !== "open";
    });
  }
}

function addTools(tools: HTMLElement, app: App, pages: Pages): void {
  const key = button("Key", "The API's key", () =>
    askForKey(() => {
      app.socket.connect();
      pages.show();
    }),
  );
  const theme = button("Theme", "Theme: dark or light", () => toggle(app.theme));
  const help = button("?", "Keys", () => openHelp(app.keys));
  tools.append(key, theme, help);
  app.keys.on({ keys: ["?"], group: "Pages", what: "this list", run: () => openHelp(app.keys) });
  app.keys.on({ keys: ["d"], group: "Pages", what: "dark or light", run: () => toggle(app.theme) });
}

function button(text: string, label: string, run: () => void): HTMLButtonElement {
  const made = element("button", { type: "button", title: label, "aria-label": label }, text);
  made.addEventListener("click", run);
  return made;
}
