/** The line that says how the connection stands. */
import type { App, End } from "../app";
import type { Link } from "../data/socket";
import { element, put } from "./dom";

const REASONS: Record<string, string> = {
  slow_consumer: "The network is too slow for all of it: trades and books are left out for five minutes.",
  server_stopping: "The API is restarting.",
  "api.key_missing": "The API wants a key.",
  "api.key_wrong": "The key is not in force.",
};

/** A word, a sentence for what is not usual, and a class by which both are coloured. */
export function words(link: Link, now: number): { word: string; more: string; kind: string } {
  const why = link.error === null ? "" : (REASONS[link.error.code] ?? link.error.message);
  switch (link.state) {
    case "open":
      if (link.reduced) return { word: "reduced", more: REASONS["slow_consumer"]!, kind: "warn" };
      return { word: "connected", more: why, kind: why ? "warn" : "good" };
    case "connecting":
      return { word: "connecting", more: why, kind: "warn" };
    case "silent":
      return {
        word: "silent",
        more: "Nothing has come for some seconds; what is shown may be old.",
        kind: "warn",
      };
    case "waiting": {
      const seconds = Math.max(0, Math.ceil(((link.retryAt ?? now) - now) / 1_000));
      return { word: "away", more: `${why} Next try in ${seconds} s; what is shown is old.`, kind: "bad" };
    }
    case "refused":
      return { word: "refused", more: why, kind: "bad" };
    case "closed":
      return { word: "ended", more: why, kind: "warn" };
  }
}

export function mountLink(root: HTMLElement, app: App): End {
  const word = element("span", { class: "light" });
  const more = element("span", { class: "quiet" });
  const time = element("time", { class: "number" });
  const lost = element("span", { class: "quiet" });
  root.append(word, more, lost, time);
  let said = "";
  const show = (): void => {
    const link = app.socket.link.value;
    const now = words(link, performance.now());
    word.dataset["kind"] = now.kind;
    put(word, now.word);
    put(more, now.more);
    put(lost, link.lost > 0 ? `${link.lost} lost and fetched anew` : "");
    if (now.word !== said && (said !== "" || now.kind === "bad"))
      app.say(`Connection: ${now.word}. ${now.more}`);
    said = now.word;
  };
  const tick = (): void => {
    const at = app.clock.now();
    put(time, at === null ? "" : `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`);
    show();
  };
  const end = app.socket.link.watch(show);
  const timer = window.setInterval(tick, 1_000);
  tick();
  return () => {
    end();
    window.clearInterval(timer);
  };
}
