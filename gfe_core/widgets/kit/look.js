// Colours, dashes and palettes. Python reads those of solvers and methods from the same
// identity.json.

import { dashes, inks } from "./identity.json";
import {
  accent,
  inks as classInks,
  hatch,
  near,
  on_inks,
  palettes,
  too_little,
  too_much,
} from "./look.json";
import { range } from "./numbers.js";

/** @typedef {[number, number, number]} Rgb red, green and blue, 0 to 255 */

/**
 * The look of a track or a curve, the same in every view.
 *
 * @typedef {object} Look
 * @property {string} colour
 * @property {string} dash name of the dash
 * @property {string} marker name of the marker
 */

/** Colours and dashes for curves without a look of their own. */
export const COLOURS = Object.values(inks);
export const DASHES = Object.values(dashes);

/**
 * @param {Look} look
 * @returns {number[]} strokes and gaps in pixels
 */
export const dashOf = ({ dash }) => /** @type {Record<string, number[]>} */ (dashes)[dash];

/** Colours of missing ink, and of ink that should not be there. */
export const TOO_LITTLE = /** @type {Rgb} */ (too_little);
export const TOO_MUCH = /** @type {Rgb} */ (too_much);

/** Colours of classes on a map, and of words on them; "fg" and "bg" are the theme's. */
export const INKS = classInks;
export const ON_INKS = on_inks;

/** Colour of a single series, in a light and in a dark theme. */
export const ACCENT = accent;

/** Colours of the ground and of the lines of hidden pixels. */
export const HATCH = hatch;

/** Number of the 256 levels of a map that cover the energy range; the others lie above it. */
export const NEAR = near;

const PALE = [236, 235, 230];

/**
 * @param {Rgb[]} table colours of a palette
 * @returns {Rgb[]} colours of the levels of a map, which fade above the energy range
 */
export const mapTable = (table) =>
  range(256, (level) => {
    const faded = Math.max(level - NEAR + 1, 0) / (256 - NEAR);
    const colour = table[Math.min(Math.round((255 * level) / (NEAR - 1)), 255)];
    const mixed = colour.map((c, i) => Math.round(c + (PALE[i] - c) * faded));
    return /** @type {Rgb} */ (mixed);
  });

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
  const stops = /** @type {Record<string, string>} */ (palettes)[name].split(" ").map(rgbOf);
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
