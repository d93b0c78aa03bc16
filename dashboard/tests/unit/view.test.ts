import { expect, test } from "vitest";
import { searchOf, timeOf, viewOf } from "../../src/shell/view";

const SYMBOLS = ["BTCUSDT", "ETHUSDT"];
const EXCHANGES = ["binance", "kraken", "okx"];
const viewed = (search: string) => viewOf(search, SYMBOLS, EXCHANGES);

test("a link says what is looked at, and saying it again gives the same link", () => {
  const search =
    "?symbol=ETHUSDT&exchanges=binance,okx&from=2026-01-02T03:04:05.000Z&to=2026-01-02T03:09:05.000Z";
  expect(viewed(search)).toEqual({
    symbol: "ETHUSDT",
    exchanges: ["binance", "okx"],
    from: Date.UTC(2026, 0, 2, 3, 4, 5),
    to: Date.UTC(2026, 0, 2, 3, 9, 5),
  });
  expect(searchOf(viewed(search))).toBe(search);
});

test("what is not there, or is all there is, is what is usual", () => {
  expect(viewed("?symbol=NOPE&exchanges=nowhere")).toEqual({
    symbol: "BTCUSDT",
    exchanges: null,
    from: null,
    to: null,
  });
  expect(viewed("?exchanges=okx,kraken,binance").exchanges).toBeNull();
});

test("a range that ends before it begins is none", () => {
  expect(viewed("?from=2000&to=1000")).toMatchObject({ from: null, to: null });
});

test("times are those of the API: with an offset, or milliseconds; one without an offset is none", () => {
  expect(timeOf("1767323045000")).toBe(1_767_323_045_000);
  expect(timeOf("2026-01-02T04:04:05+01:00")).toBe(Date.UTC(2026, 0, 2, 3, 4, 5));
  expect([timeOf("2026-01-02T03:04:05"), timeOf("yesterday"), timeOf(null)]).toEqual([null, null, null]);
});
