/** Amounts: decimal texts, compared as decimals. A number would round 0.1 and 12345678.000000000000000001. */

const MAX_DIGITS = 100;
const AMOUNT = /^([0-9]{1,100})(?:\.([0-9]{1,100}))?$/;

/** A decimal number, in units of 10^-100. */
export type Amount = bigint;

/** An amount such as `12.5`; `undefined` for signs, exponents, `NaN` and everything else. */
export function parseAmount(text: string): Amount | undefined {
  const found = AMOUNT.exec(text);
  if (!found) return undefined;
  const [, whole = "", fraction = ""] = found;
  return BigInt(whole + fraction.padEnd(MAX_DIGITS, "0"));
}
