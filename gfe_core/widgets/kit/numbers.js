// Numbers and their text.

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 * @returns {number} the value, moved between the two limits
 */
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/**
 * @template T
 * @param {number} n
 * @param {(k: number) => T} of
 * @returns {T[]} the results for 0 to n - 1
 */
export const range = (n, of) => Array.from({ length: Math.max(n, 0) }, (_, k) => of(k));

/**
 * Write a number with few digits; digits before the point are never dropped.
 *
 * @param {number} value
 * @param {number} [digits] number of significant digits
 * @returns {string}
 */
export function tidy(value, digits = 3) {
  if (!Number.isFinite(value)) return "not finite";
  const size = Math.abs(value);
  if (size >= 1e5 || (size > 0 && size < 1e-3)) {
    return minus(value.toExponential(1).replace(".0", "").replace("e+", "e"));
  }
  return minus(String(size < 10 ** digits ? Number(value.toPrecision(digits)) : Math.round(value)));
}

/**
 * Write adjacent numbers with as few digits as distinguish them.
 *
 * @param {number[]} values
 * @returns {string[]}
 */
export function tidied(values) {
  const written = (/** @type {number} */ digits) => values.map((value) => tidy(value, digits));
  const enough = [3, 4, 5, 6, 7].find((n) => new Set(written(n)).size === values.length);
  return written(enough ?? 8);
}

/**
 * @param {string} text
 * @returns {string} the text with proper minus signs
 */
const minus = (text) => text.replaceAll("-", "−");
