// Colours, dashes and palettes.

import look from "./look.json";
import { range } from "./numbers.js";

/** @typedef {[number, number, number]} Rgb red, green and blue, 0 to 255 */

/** One of each for a track, a method or a curve. */
export const COLOURS = look.colours;
export const DASHES = look.dashes;

/** Ink that an image lacks, and ink that should not be there. */
export const TOO_LITTLE = /** @type {Rgb} */ (look.too_little);
export const TOO_MUCH = /** @type {Rgb} */ (look.too_much);

/** Of classes on a map, and of words on them; "fg" and "bg" are the theme's. */
export const INKS = look.inks;
export const ON_INKS = look.on_inks;

/** Of one series, in a light and a dark theme. */
export const ACCENT = look.accent;

/** Ground and lines of hidden pixels. */
export const HATCH = look.hatch;

/**
 * @param {number} level 0 to 255
 * @returns {Rgb}
 */
export const grey = (level) => [level, level, level];

/**
 * Colour the difference of an image from its target: one colour where ink is missing, another where
 * there is too much.
 *
 * @param {number} missing -1 to 1
 * @returns {Rgb}
 */
export function gapColour(missing) {
  const share = Math.min(2 * Math.abs(missing), 1);
  const [r, g, b] = missing > 0 ? TOO_LITTLE : TOO_MUCH;
  return [r * share, g * share, b * share];
}

/**
 * @param {string} name of a palette
 * @returns {Rgb[]} its colours for 0 to 255
 */
export function paletteTable(name) {
  const stops = /** @type {Record<string, string>} */ (look.palettes)[name].split(" ").map(rgbOf);
  return range(256, (level) => {
    const at = (level / 255) * (stops.length - 1);
    const k = Math.min(Math.floor(at), stops.length - 2);
    const mixed = stops[k].map((c, i) => Math.round(c + (stops[k + 1][i] - c) * (at - k)));
    return /** @type {Rgb} */ (mixed);
  });
}

/**
 * @param {string} hex such as "00224e"
 * @returns {Rgb}
 */
const rgbOf = (hex) => {
  const number = Number.parseInt(hex, 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
};
