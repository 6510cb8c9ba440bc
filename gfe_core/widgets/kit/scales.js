// Scales: the position of a value along the side of a chart, and the values written there.

import { range } from "./numbers.js";

/**
 * @typedef {object} Scale
 * @property {(value: number) => number} at from a value to a position: 0 is the low end, 1 the high
 * @property {(share: number) => number} from from a position back to a value
 * @property {number[]} ticks values to write
 */

/**
 * @param {number} low
 * @param {number} high
 * @param {number} [about] approximate number of ticks
 * @returns {Scale}
 */
export function linear(low, high, about = 4) {
  const reach = high - low || 1;
  return {
    at: (value) => (value - low) / reach,
    from: (share) => low + reach * share,
    ticks: linearTicks(low, high, about),
  };
}

/**
 * @param {number} low above zero
 * @param {number} high
 * @returns {Scale} logarithmic scale
 */
export function logarithmic(low, high) {
  const from = Math.log10(low);
  const reach = Math.log10(high) - from || 1;
  return {
    at: (value) => (Math.log10(value) - from) / reach,
    from: (share) => 10 ** (from + reach * share),
    ticks: logTicks(from, from + reach),
  };
}

/**
 * Make a scale around values: logarithmic if they are positive and span more than a decade.
 *
 * @param {number[]} values
 * @param {{ zero?: boolean }} [options] zero: begin at 0 if the scale is linear
 * @returns {Scale}
 */
export function around(values, { zero = false } = {}) {
  const real = values.filter(Number.isFinite);
  if (!real.length) return linear(0, 1);
  const least = real.reduce((a, b) => Math.min(a, b));
  const most = real.reduce((a, b) => Math.max(a, b));
  const log = least > 0 && most > 10 * least;
  const [low, high] = log ? [Math.log10(least), Math.log10(most)] : [least, most];
  const margin = (high - low || Math.abs(high) || 1) * 0.07;
  if (log) return logarithmic(10 ** (low - margin), 10 ** (high + margin));
  return linear(zero ? 0 : low - margin, high + margin);
}

/**
 * @param {number} low
 * @param {number} high
 * @param {number} about approximate number of ticks
 * @returns {number[]} multiples of 1, 2 or 5 times a power of ten
 */
export function linearTicks(low, high, about) {
  const rough = (high - low || 1) / about;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * ([1, 2, 5].find((lead) => lead * ten >= rough * 0.999) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const n = Math.floor(high / step + 1e-9) - first + 1;
  return range(n, (k) => Number(((first + k) * step).toPrecision(12)));
}

/**
 * @param {number} low exponent of ten
 * @param {number} high
 * @returns {number[]} powers of ten, and values between them if there are few decades
 */
function logTicks(low, high) {
  const decades = high - low;
  const leads = decades < 1.6 ? [1, 2, 5] : decades < 2.6 ? [1, 3] : [1];
  const every = Math.ceil(decades / 5);
  const first = Math.floor(low / every) * every;
  const powers = range(Math.ceil((high - first) / every) + 1, (k) => 10 ** (first + k * every));
  const all = powers.flatMap((power) => leads.map((lead) => Number((lead * power).toPrecision(6))));
  return all.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
}
