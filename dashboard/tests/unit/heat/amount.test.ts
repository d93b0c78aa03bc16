import { expect, test } from "vitest";
import { add, amountText, decimalsOf, isLess, parseAmount, priceText } from "../../../src/heat/amount";

test("a sum loses no digit where floats would", () => {
  const sum = add(parseAmount("9000000000000000.99999999"), parseAmount("0.00000002"));
  expect(amountText(sum)).toBe("9,000,000,000,000,001.00000001");
});

test("texts without decimals or with few are read alike", () => {
  expect(parseAmount("12.5")).toEqual(parseAmount("12.50000000"));
  expect(parseAmount("12")).toEqual({ whole: 12, part: 0 });
  expect(amountText(parseAmount("0.00000001"))).toBe("0.00000001");
  expect(amountText(parseAmount("1234567.10000000"))).toBe("1,234,567.1");
});

test("amounts that differ in the last digit are told apart", () => {
  expect(isLess(parseAmount("5.00000001"), parseAmount("5.00000002"))).toBe(true);
  expect(isLess(parseAmount("5.00000002"), parseAmount("5.00000001"))).toBe(false);
  expect(isLess(parseAmount("4.99999999"), parseAmount("5.00000000"))).toBe(true);
});

test("a price has as many decimals as its steps", () => {
  expect(priceText(64210, decimalsOf("10.00000000"))).toBe("64,210");
  expect(priceText(0.25, decimalsOf("0.05000000"))).toBe("0.25");
  expect(priceText(1234.5, 2)).toBe("1,234.50");
});
