/** What a session's connection makes of the replay. Pure. */
import { Problem } from "../data/rest";
import type { Link } from "../data/socket";
import type { State } from "./player";

/** Errors of one subscription: it is asked for again, and the session goes on. */
const OF_SUBSCRIPTION = /^(ws\.|cursor\.|slow_consumer)/;

/** The name of the state, with its problem; null: the connection changes nothing. */
export function stateOf(link: Link): (Pick<State, "name"> & Partial<State>) | null {
  const { error, ended, state } = link;
  if (error?.code === "replay.unknown") return { name: "gone" };
  if (ended === "finished") return { name: "ended" };
  if (ended !== null) return { name: ended === "failed" ? "failed" : "gone" };
  if (error === null) return null;
  // Heartbeats go on when the session's reader has died: nothing else would tell.
  const isDead = (state === "open" || state === "silent") && !OF_SUBSCRIPTION.test(error.code);
  return state === "refused" || isDead ? { name: "failed", problem: problemOf(error) } : null;
}

function problemOf({ code, message }: NonNullable<Link["error"]>): Problem {
  return new Problem({
    type: "about:blank",
    title: code,
    status: 0,
    detail: message,
    code,
    correlation_id: "",
  });
}
