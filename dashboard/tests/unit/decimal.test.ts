import { expect, test } from "vitest";
import { decimal, placesOf, rounded, shown, units } from "../../src/data/decimal";

test("integers of 1e-8 are exact where floats are not", () => {
  expect(units("123456789012.12345678")).toBe(12345678901212345678n);
  expect(decimal(12345678901212345678n)).toBe("123456789012.12345678");
  expect(decimal(units("0.10000000") + units("0.20000000"))).toBe("0.30000000");
});

test("negative numbers between 0 and -1 keep their sign", () => {
  expect(units("-0.50000000")).toBe(-50000000n);
  expect(decimal(-50000000n)).toBe("-0.50000000");
  expect(rounded("-0.12340000", 2)).toBe("-0.12");
});

test("numbers are shown exactly, in groups, with as many decimals as all of them need", () => {
  expect(shown("61837.63000000")).toBe("61,837.63");
  expect(shown("1234567.00000000")).toBe("1,234,567");
  expect(shown("7.00000000", 2)).toBe("7.00");
  expect(placesOf(["1.50000000", "2.12500000", "3.00000000"])).toBe(3);
});

test("rounding carries into the whole part", () => {
  expect(rounded("999.99960000", 3)).toBe("1,000.000");
  expect(rounded("0.00005000", 4)).toBe("0.0001");
});
