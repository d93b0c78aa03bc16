/** What is being looked at, as an address has it: ?symbol=BTCUSDT&exchanges=a,b&from=2026-01-02T03:04:05Z&to=… Pure. */
import type { View } from "../app";

/** Times of an address: RFC 3339 with an offset, or milliseconds; null: neither. */
export function timeOf(text: string | null): number | null {
  if (text === null) return null;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text)) return null;
  const found = Date.parse(text);
  return Number.isNaN(found) ? null : found;
}

/** The view of an address; what does not fit is left out. ``symbols``: those there are, the first one is usual. */
export function viewOf(search: string, symbols: readonly string[], exchanges: readonly string[]): View {
  const given = new URLSearchParams(search);
  const symbol = given.get("symbol");
  const chosen = given.get("exchanges")?.split(",");
  const known = chosen && exchanges.filter((one) => chosen.includes(one));
  const [from, to] = [timeOf(given.get("from")), timeOf(given.get("to"))];
  const isRange = from !== null && (to === null || to > from);
  return {
    symbol: symbol !== null && symbols.includes(symbol) ? symbol : (symbols[0] ?? ""),
    exchanges: known && known.length > 0 && known.length < exchanges.length ? known : null,
    from: isRange ? from : null,
    to: isRange ? to : null,
  };
}

/** `?symbol=BTCUSDT`, with what differs from live and all. */
export function searchOf(view: View): string {
  const made = [`symbol=${encodeURIComponent(view.symbol)}`];
  if (view.exchanges !== null) made.push(`exchanges=${view.exchanges.map(encodeURIComponent).join(",")}`);
  if (view.from !== null) made.push(`from=${new Date(view.from).toISOString()}`);
  if (view.to !== null) made.push(`to=${new Date(view.to).toISOString()}`);
  return `?${made.join("&")}`;
}
