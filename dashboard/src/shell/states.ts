/** What a part shows before it has anything to show: that it loads, or what is wrong and what to do. */
import { waitMs } from "../data/backoff";
import { Problem } from "../data/rest";
import { element } from "./dom";

/** Error code -> what a person can do. */
const ADVICE: Record<string, string> = {
  no_answer:
    "The API does not answer. See whether it runs, and your network; this page tries again by itself.",
  "api.key_missing": "The API wants a key: “Key” above takes one (coby keys create dashboard --scope read).",
  "api.key_wrong": "The key is not in force: “Key” above takes another one.",
  "api.scope": "The key may not do this: it needs a further scope (coby keys create … --scope replay).",
  "api.rate": "Too many requests; this page waits and asks again.",
  "redis.not_built": "The newest values are just being filled; this page asks again.",
  "redis.no_value": "Nothing of this has come yet; as soon as it does it is here.",
  "db.timeout": "The question took too long. Look at a shorter time.",
};

export function loading(what: string): HTMLElement {
  return element("p", { class: "state", role: "status" }, `${what} …`);
}

/** Nothing went wrong: there is nothing. */
export function nothing(text: string): HTMLElement {
  return element("p", { class: "state" }, text);
}

/** What went wrong, in words, with its code for those who look it up; ``retry``: a button. */
export function problemBox(error: unknown, retry: (() => void) | null): HTMLElement {
  const { code, said, id } = told(error);
  const box = element("div", { class: "state problem", role: "alert" });
  box.append(element("p", {}, ADVICE[code] ?? said));
  const facts = [ADVICE[code] === undefined ? null : said, code, id && `id ${id}`]
    .filter(Boolean)
    .join(" · ");
  box.append(element("p", { class: "quiet small" }, facts));
  if (retry) {
    const button = element("button", { type: "button" }, "Try again");
    button.addEventListener("click", retry);
    box.append(button);
  }
  return box;
}

/**
 * What ``load`` gives, however often it has to be asked: what passes by itself is tried again, anything else waits for a
 * person. ``place`` shows how it stands, and is empty afterwards. Throws only what ``signal`` aborts with.
 */
export async function untilLoaded<T>(
  place: HTMLElement,
  what: string,
  load: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  place.replaceChildren(loading(what));
  for (let tries = 0; ; tries++) {
    try {
      const found = await load(signal);
      place.replaceChildren();
      return found;
    } catch (error) {
      signal.throwIfAborted();
      const isPassing = error instanceof Problem && error.isPassing;
      const after = error instanceof Problem && error.retryAfter ? error.retryAfter * 1_000 : waitMs(tries);
      await new Promise<void>((again) => {
        place.replaceChildren(problemBox(error, again));
        if (isPassing) setTimeout(again, after);
        signal.addEventListener("abort", () => again(), { once: true });
      });
      signal.throwIfAborted();
    }
  }
}

function told(error: unknown): { code: string; said: string; id: string } {
  if (error instanceof Problem)
    return { code: error.code, said: error.message, id: error.details.correlation_id ?? "" };
  return { code: "bug", said: error instanceof Error ? error.message : String(error), id: "" };
}
