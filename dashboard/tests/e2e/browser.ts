/** Debian's Chromium without a GPU, with a fresh profile; and pages that may not do what is forbidden. */
import {
  chromium,
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  type Page,
} from "playwright-core";
import { expect, inject } from "vitest";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const SIZES = {
  desktop: { width: 1600, height: 900 },
  small: { width: 1280, height: 720 },
  phone: { width: 390, height: 844 },
  wide: { width: 3840, height: 2160 },
} as const;

export interface Options extends BrowserContextOptions {
  theme?: "dark" | "light";
  size?: keyof typeof SIZES;
  /** Run in the page before anything of it. */
  before?: (page: Page) => Promise<void>;
  /** Requests may fail, as the network or the API is taken away. */
  mayFail?: boolean;
}

let browser: Browser | null = null;

export async function launched(): Promise<Browser> {
  browser ??= await chromium.launch({ executablePath: inject("chromium"), headless: true, args: FLAGS });
  return browser;
}

export async function closeBrowser(): Promise<void> {
  await browser?.close();
  browser = null;
}

/** A page that notes what no page of ours may do. */
export class Tab {
  readonly errors: string[] = [];
  readonly foreign: string[] = [];

  private constructor(
    readonly page: Page,
    private readonly context: BrowserContext,
    private readonly mayFail: boolean,
  ) {}

  static async open(url: string, options: Options = {}): Promise<Tab> {
    const { theme = "dark", size = "desktop", before, mayFail = false, ...more } = options;
    const context = await (
      await launched()
    ).newContext({
      viewport: SIZES[size],
      colorScheme: theme,
      deviceScaleFactor: 1,
      ...more,
    });
    const page = await context.newPage();
    const tab = new Tab(page, context, mayFail);
    tab.listen(new URL(url).origin);
    await before?.(page);
    await page.goto(url);
    return tab;
  }

  private listen(origin: string): void {
    const own = [origin, origin.replace("http", "ws")];
    const look = (url: string): void => {
      if (!own.some((one) => url.startsWith(`${one}/`)) && !/^(blob|data):/.test(url)) this.foreign.push(url);
    };
    this.page.on("request", (request) => look(request.url()));
    this.page.on("websocket", (socket) => look(socket.url()));
    this.page.on("pageerror", (error) => this.errors.push(String(error)));
    this.page.on("console", (message) => {
      // Refusals of the content security policy are console errors, too.
      if (message.type() === "error" && !(this.mayFail && /Failed to load|WebSocket/.test(message.text())))
        this.errors.push(`${message.text()} ${message.location().url}`);
    });
  }

  text(selector: string): Promise<string> {
    return this.page.locator(selector).first().innerText();
  }

  /** Close it; nothing may have gone wrong. */
  async close(): Promise<void> {
    await this.context.close();
    expect(this.foreign, "requests to another origin").toEqual([]);
    expect(this.errors, "errors of the page").toEqual([]);
  }
}
