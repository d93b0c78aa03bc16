/** What pages and panels are given. */
import type { Clock } from "./data/clock";
import type { SwitchFeed } from "./data/feed";
import type { Rest } from "./data/rest";
import type { Socket } from "./data/socket";
import type { Store } from "./data/store";
import type { ExchangeRow, SymbolRow } from "./data/types";
import type { Keys } from "./shell/keys";

export type Theme = "dark" | "light";

export interface App {
  rest: Rest;
  /** The live connection; pages of a replay make one of their own (`new Socket({…, session})`). */
  socket: Socket;
  clock: Clock;
  keys: Keys;
  theme: Store<Theme>;
  /** The API's key, where it wants one. */
  key: () => string | null;
  /** Tell a person and a screen reader something that has happened. */
  say: (text: string) => void;
}

/** What ends a page or a panel: timers, listeners, subscriptions, elements. */
export type End = () => void;

export interface Page {
  path: string;
  title: string;
  mount(root: HTMLElement, app: App): End;
}

/** What is being looked at; in the address as ?symbol&exchanges&from&to. */
export interface View {
  symbol: string;
  /** Those in the sum; null: all. */
  exchanges: readonly string[] | null;
  /** Milliseconds of server time: the range of a link into history; null: live. */
  from: number | null;
  to: number | null;
}

export type Mode =
  | { name: "live" }
  | { name: "replay"; session: string; state: string; speed: number; position: number | null };

/** Where the crosshair is, for panels that show the same place. */
export interface Place {
  time: number;
  price: number;
}

export interface Market {
  app: App;
  symbols: readonly SymbolRow[];
  exchanges: readonly ExchangeRow[];
  view: Store<View>;
  mode: Store<Mode>;
  feed: SwitchFeed;
  place: Store<Place | null>;
  /** How much time the heatmap shows, milliseconds: what a link shows, too. */
  seenMs: number;
  /** Milliseconds now: the server's clock when live, the replay's position in a replay; null: not known yet. */
  now(): number | null;
}
