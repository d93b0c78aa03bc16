import type { End, Market } from "../app";

export function mountReplay(root: HTMLElement, market: Market): End {
  (void root, market);
  return () => undefined;
}
