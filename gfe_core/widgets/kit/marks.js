// Marks of a track, with its colour, dash and shape, for canvases and for text.

import { parse } from "./dom.js";
import { dashOf } from "./look.js";
import { range } from "./numbers.js";

/** @typedef {import("./look.js").Look} Look */
/** @typedef {import("./layers.js").Spot} Spot */

/** @type {Record<string, (radius: number) => Spot[]>} corners around a middle */
const SHAPES = {
  circle: (r) =>
    range(24, (k) => [r * Math.cos((k * Math.PI) / 12), r * Math.sin((k * Math.PI) / 12)]),
  square: (r) => [
    [-0.88 * r, -0.88 * r],
    [0.88 * r, -0.88 * r],
    [0.88 * r, 0.88 * r],
    [-0.88 * r, 0.88 * r],
  ],
  "triangle-up": (r) => [
    [0, -1.2 * r],
    [1.1 * r, 0.8 * r],
    [-1.1 * r, 0.8 * r],
  ],
  diamond: (r) => [
    [0, -1.25 * r],
    [1.25 * r, 0],
    [0, 1.25 * r],
    [-1.25 * r, 0],
  ],
};

/**
 * Draw the mark of a track.
 *
 * @param {CanvasRenderingContext2D} pen
 * @param {Spot} spot
 * @param {Look} look
 * @param {{ radius: number, fill?: string, rings?: [number, string][] }} options rings: widths and
 *   colours of outlines, the outermost first
 */
export function drawMark(pen, [x, y], look, { radius, fill = look.colour, rings = [] }) {
  pen.beginPath();
  for (const [dx, dy] of SHAPES[look.marker](radius)) pen.lineTo(x + dx, y + dy);
  pen.closePath();
  for (const [width, colour] of rings) {
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    pen.stroke();
  }
  pen.fillStyle = fill;
  pen.fill();
}

/**
 * @param {Look} look
 * @returns {Element} line and mark of a track, to be placed in front of its name
 */
export function badge(look) {
  const { colour, marker } = look;
  return parse(`<svg width="30" height="12" viewBox="-15 -6 30 12"
preserveAspectRatio="xMidYMid slice" aria-hidden="true">
<path d="M-15 0H15" stroke="${colour}" stroke-width="2" stroke-dasharray="${dashOf(look)}"/>
<polygon points="${SHAPES[marker](4.2)}" fill="${colour}" stroke="var(--bg)"/></svg>`);
}
