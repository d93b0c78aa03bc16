/** What the replay bar says of each state. Pure. */
import { lengthText, speedText } from "./span";
import type { State } from "./player";

/** "LIVE", "REPLAY × 10", "REPLAY paused". */
export function word(state: State): string {
  switch (state.name) {
    case "live":
      return "LIVE";
    case "running":
      return `REPLAY ${speedText(state.speed)}`;
    case "starting":
      return `REPLAY ${speedText(state.speed)} · starting`;
    case "loading":
      return "REPLAY paused · loading";
    case "ended":
      return "REPLAY ended";
    case "gone":
    case "failed":
      return "REPLAY stopped";
    default:
      return "REPLAY paused";
  }
}

/** A sentence for what is not usual, with what to do; "": nothing. */
export function note(state: State): string {
  const lost = state.missing.length > 0 ? ` Missing: ${state.missing.join("; ")}.` : "";
  switch (state.name) {
    case "ended":
      return `This is all that there was when the replay began. Play goes on from here, Home is live.${lost}`;
    case "gone":
      return `The replay session was deleted, or its time was over. Play makes a new one from here.${lost}`;
    case "failed":
      return `The replay could not go on. Play tries again from here, Home is live.${lost}`;
    case "running":
    case "paused":
      return `${LINK_NOTES[state.link ?? "open"] ?? ""}${lost}`.trim();
    default:
      return lost.trim();
  }
}

const LINK_NOTES: Partial<Record<NonNullable<State["link"]>, string>> = {
  connecting: "Connecting to the replay.",
  waiting: "The replay's connection is away: it tries again by itself.",
  silent: "Nothing has come from the replay for five seconds: what is shown may be old.",
};

/** "12 s ago"; "": live. */
export function ago(state: State, now: number | null): string {
  if (state.name === "live" || state.position === null || now === null) return "";
  return `${lengthText(Math.max(0, now - state.position))} ago`;
}
