/** Dark or light: what was chosen here, else what the system prefers. */
import type { Theme } from "../app";
import { Store } from "../data/store";

const NAME = "coby.theme";

export function makeTheme(): Store<Theme> {
  const system = window.matchMedia("(prefers-color-scheme: light)");
  const chosen = (): Theme | null => {
    const text = localStorage.getItem(NAME);
    return text === "dark" || text === "light" ? text : null;
  };
  const theme = new Store<Theme>(chosen() ?? (system.matches ? "light" : "dark"));
  system.addEventListener("change", () => {
    if (chosen() === null) theme.set(system.matches ? "light" : "dark");
  });
  theme.watch((name) => (document.documentElement.dataset["theme"] = name));
  return theme;
}

export function toggle(theme: Store<Theme>): void {
  const next = theme.value === "dark" ? "light" : "dark";
  localStorage.setItem(NAME, next);
  theme.set(next);
}
