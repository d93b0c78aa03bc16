import type { Link } from "../../src/data/socket";

/** A connection of which all is well; tests change a part of it. */
export const LINK: Link = {
  state: "open",
  error: null,
  heardAt: 0,
  retryAt: null,
  lost: 0,
  reduced: false,
  ended: null,
};
