/** The list of gaps, each with a way to its picture. */
import type { Found, GapRow } from "../replay/gaps";
import { millis } from "../data/clock";
import { element } from "../shell/dom";
import { lengthText } from "../replay/span";

/** A picture of a gap shows so much before and behind it. */
const BESIDE_MS = 60_000;
const LATEST_MS = 5_000;

/** The address of the market page with the gap in it; ``now``: the end of one that is open. */
export function linkTo(gap: GapRow, now: number): string {
  const from = millis(gap.from_time);
  const to = gap.until_time === null ? now : millis(gap.until_time);
  const end = Math.min(to + BESIDE_MS, now - LATEST_MS);
  const range = [Math.min(from - BESIDE_MS, end - BESIDE_MS), end];
  const [first, last] = range.map((time) => new Date(time).toISOString());
  return `/?symbol=${encodeURIComponent(gap.symbol)}&from=${first}&to=${last}`;
}

/** "4.2 s", "still open". */
export function lengthOf(gap: GapRow): string {
  if (gap.until_time === null) return "still open";
  return lengthText(millis(gap.until_time) - millis(gap.from_time));
}

/** "12 gaps, 1 open"; ``most``: of more the newest are listed. Null: not known. */
export function countText(found: Found | null, most: number): string {
  if (found === null) return "gaps not known";
  const { rows, since } = found;
  const open = rows.filter((gap) => gap.until_time === null).length;
  const [more, least] = since === null ? ["", ""] : ["more than ", "at least "];
  const listed = rows.length > most ? `, the newest ${most} listed` : "";
  return `${more}${rows.length.toLocaleString("en")} gaps${listed}, ${least}${open} open`;
}

/** A row of the table. */
export function row(gap: GapRow, now: number): HTMLTableRowElement {
  const time = gap.from_time.slice(0, 23).replace("T", " ");
  const words = [gap.exchange, gap.symbol, gap.reason];
  return element(
    "tr",
    {},
    element("td", { class: "number" }, time),
    element("td", { class: gap.until_time === null ? "number bad" : "number" }, lengthOf(gap)),
    ...words.map((text) => element("td", {}, text)),
    element("td", { class: "quiet" }, gap.detail),
    element(
      "td",
      {},
      element(
        "a",
        { href: linkTo(gap, now) },
        "Look",
        element("span", { class: "heard" }, ` at it: ${words.join(" ")} ${time}`),
      ),
    ),
  );
}
