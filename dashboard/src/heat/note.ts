/** What is said above the picture. Pure. */

import { momentText } from "./layout";
import type { Loading } from "./loader";
import type { Reading } from "./reading";
import type { Scene } from "./scene";

/** What the picture lacks at the moment, and what is done about it; empty: nothing. */
export function noteOf(loading: Loading, scene: Scene, now: number | null, isLive: boolean): string {
  if (now === null) return "Waiting for the server's time …";
  if (loading.state === "waiting")
    return `History: ${loading.text}. Asked again in ${Math.ceil(loading.retryMs / 1_000)} s.`;
  if (loading.state === "refused") return `History: ${loading.text}.`;
  if (loading.state === "loading") return "Loading history …";
  if (scene.camera.middle === null) return "No order book has come yet: as soon as one does it is here.";
  if (isLive && !scene.camera.isLive)
    return `Looking at the past, until ${momentText(scene.camera.edge)}. Home: back to now.`;
  return "";
}

/** A reading as one sentence. */
export function sentence(read: Reading): string {
  const volumes = [read.ask && `ask ${read.ask.text}`, read.bid && `bid ${read.bid.text}`];
  return [read.prices, ...volumes, read.state].filter(Boolean).join(", ");
}
