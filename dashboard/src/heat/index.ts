import type { End, Market } from "../app";

export function mountHeat(root: HTMLElement, market: Market): End {
  (void root, market);
  return () => undefined;
}
