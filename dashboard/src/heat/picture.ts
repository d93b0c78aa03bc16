/** All that a frame is painted from. */

import type { Theme } from "../app";
import type { Layout } from "./layout";
import type { Bubble } from "./lines";
import type { Scene } from "./scene";

export type Context = CanvasRenderingContext2D;

/** Colours of the theme for lines and words. */
export interface Ink {
  readonly text: string;
  readonly quiet: string;
  readonly line: string;
  readonly panel: string;
  readonly bid: string;
  readonly ask: string;
  readonly warn: string;
  readonly blind: string;
  readonly accent: string;
  readonly good: string;
}

/** What is shown beside the cells; each can be left out. */
export interface Shown {
  best: boolean;
  trades: boolean;
  vwap: boolean;
  marks: boolean;
}

export interface Cross {
  readonly x: number;
  readonly y: number;
}

export interface Picture {
  readonly scene: Scene;
  readonly layout: Layout;
  readonly ink: Ink;
  readonly theme: Theme;
  readonly shown: Shown;
  /** Exchanges that have a lane. */
  readonly lanes: readonly string[];
  readonly bubbles: readonly Bubble[];
  readonly cross: Cross | null;
}
