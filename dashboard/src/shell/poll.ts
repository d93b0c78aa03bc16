/** Asks again and again while the page is looked at, and says when it can't. */
import type { End } from "../app";
import { Problem } from "../data/rest";

/** A page that is not seen asks nothing. */
export function poll(
  everyMs: number,
  ask: (signal: AbortSignal) => Promise<void>,
  failed: (error: unknown) => void,
): End {
  const abort = new AbortController();
  let timer = 0;
  const turn = async (): Promise<void> => {
    window.clearTimeout(timer);
    let wait = everyMs;
    try {
      await ask(abort.signal);
    } catch (error) {
      if (abort.signal.aborted) return;
      failed(error);
      wait = Math.max(wait, 1_000 * (error instanceof Problem ? (error.retryAfter ?? 0) : 0));
    }
    if (!abort.signal.aborted && document.visibilityState === "visible")
      timer = window.setTimeout(() => void turn(), wait);
  };
  const seen = (): void => {
    if (document.visibilityState === "visible") void turn();
  };
  document.addEventListener("visibilitychange", seen);
  void turn();
  return () => {
    abort.abort();
    window.clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}
