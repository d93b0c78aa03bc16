/** Why a book is not shown, in words; the codes are docs/topics.md's and docs/api.md's. */
const WORDS: Record<string, string> = {
  never_connected: "never connected",
  disconnected: "connection lost",
  producer_lost: "collector lost",
  sequence_gap: "sequence gap",
  checksum: "checksum failed",
  crossed: "crossed",
  stale: "stale",
  not_listed: "not listed there",
  no_tick: "no tick",
  time_jump: "time jump",
  dropped: "frames dropped",
  retention: "deleted by retention",
  not_stored: "not stored",
  not_kept: "not kept any more",
  incomplete: "an exchange was missing",
  no_candle: "no candle",
  too_old: "nothing told for 5 s",
  no_status: "no status yet",
  no_book: "no book yet",
};

/** "sequence gap"; a reason that is not known here as it is. */
export function reason(code: string): string {
  return WORDS[code] ?? code;
}
