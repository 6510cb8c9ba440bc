// One map: points that the reader can choose, with marks over them.

import { spotIn } from "../kit/drag.js";
import { circle, layer, pathThrough, stroke } from "../kit/layers.js";
import { INKS, ON_INKS } from "../kit/look.js";
import { clamp, range } from "../kit/numbers.js";

/** @typedef {import("../kit/layers.js").Spot} Spot */

const NEAR = 26; // largest distance between the pointer and the point that it chooses, in pixels
const PAD = 0.05; // margin on every side, as a share of the width
const BORDER = 1;

export const STAGE_MARKUP =
  '<canvas aria-hidden="true"></canvas><canvas aria-hidden="true"></canvas>';

/**
 * @typedef {object} Points
 * @property {number[]} labels class of each point
 * @property {string[]} names of the classes
 */

export class Stage {
  #view;
  #points;
  #ground;
  #top;
  #radii;

  /**
   * @param {import("../kit/base.js").View<any>} view
   * @param {string} selector of an element that holds STAGE_MARKUP
   * @param {{ points: Points, radii: number[] }} options radii: width of the map over the radius of
   *   a point, and the smallest and the largest radius
   */
  constructor(view, selector, { points, radii }) {
    this.#view = view;
    this.#points = points;
    this.#radii = radii;
    this.element = view.find(selector, HTMLElement);
    const canvases = view.findAll(`${selector} canvas`, HTMLCanvasElement);
    this.#ground = canvases[0];
    this.#top = canvases[1];
  }

  get #radius() {
    const [share, least, most] = this.#radii;
    return clamp(this.element.clientWidth / share, least, most);
  }

  /**
   * @param {ArrayLike<number>} layout coordinates, -1 to 1, two for each point
   * @param {number} k
   * @param {number} [width] of the map
   * @returns {Spot}
   */
  spot(layout, k, width = this.element.clientWidth) {
    const scale = width * (0.5 - PAD);
    return [width / 2 + scale * layout[2 * k], width / 2 - scale * layout[2 * k + 1]];
  }

  /**
   * @param {PointerEvent} event
   * @param {ArrayLike<number>} layout
   * @returns {{ over: number, spot: Spot }} point under the pointer or -1, and the pointer's place
   */
  under(event, layout) {
    const [x, y] = spotIn(event, this.element).map((place) => place - BORDER);
    const gaps = this.#points.labels.map((_, k) => {
      const [u, v] = this.spot(layout, k);
      return Math.hypot(u - x, v - y);
    });
    const least = gaps.reduce((a, b) => Math.min(a, b), NEAR);
    return { over: least < NEAR ? gaps.indexOf(least) : -1, spot: [x, y] };
  }

  /** @param {ArrayLike<number>} layout */
  drawPoints(layout) {
    const { theme } = this.#view;
    const { labels, names } = this.#points;
    const { pen } = layer(this.#ground);
    const radius = this.#radius;
    const ink = (/** @type {string} */ name) =>
      name === "fg" ? theme.fg : name === "bg" ? theme.bg : name;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.font = `600 ${radius * 1.45}px ${theme.family}`;
    labels.forEach((label, k) => {
      const [x, y] = this.spot(layout, k);
      const mark = label % INKS.length;
      const point = circle([x, y], radius);
      pen.fillStyle = ink(INKS[mark]);
      pen.fill(point);
      stroke(pen, point, INKS[mark] === "bg" ? theme.fg : theme.bg);
      pen.fillStyle = ink(ON_INKS[mark]);
      pen.fillText(names[label].slice(0, 1), x, y + 0.5);
    });
  }

  /** Clear the marks. */
  beginMarks() {
    const { theme } = this.#view;
    const { pen } = layer(this.#top);
    pen.font = `700 14px ${theme.family}`;
    pen.textAlign = "start";
    pen.textBaseline = "alphabetic";
    pen.fillStyle = theme.fg;
    return pen;
  }

  /**
   * Draw a line with an outline in the colour of the background.
   *
   * @param {CanvasRenderingContext2D} pen
   * @param {Path2D} path
   * @param {number} [width]
   */
  trace(pen, path, width = 2.4) {
    stroke(pen, path, this.#view.theme.bg, width + 2.6);
    stroke(pen, path, this.#view.theme.fg, width);
  }

  /**
   * Draw a ring around a spot, with a letter.
   *
   * @param {CanvasRenderingContext2D} pen
   * @param {Spot} spot
   * @param {string} [letter]
   */
  ring(pen, [x, y], letter = "") {
    const radius = this.#radius + 3;
    this.trace(pen, circle([x, y], radius));
    pen.lineWidth = 5;
    pen.strokeStyle = this.#view.theme.bg;
    pen.strokeText(letter, x + radius + 3, y - radius);
    pen.fillText(letter, x + radius + 3, y - radius);
  }

  /**
   * Draw lines from a point to its neighbours, and optionally a ring around the point.
   *
   * @param {ArrayLike<number>} layout
   * @param {number} point
   * @param {Iterable<number>} neighbours
   * @param {boolean} ringed
   */
  drawNeighbours(layout, point, neighbours, ringed) {
    const pen = this.beginMarks();
    for (const k of neighbours) {
      this.trace(pen, pathThrough([this.spot(layout, point), this.spot(layout, k)]), 1.4);
    }
    if (ringed) this.ring(pen, this.spot(layout, point));
  }

  /**
   * Draw the path from A to B, and the position of t on it.
   *
   * @param {Spot[]} way
   * @param {Spot} here
   */
  drawWay(way, here) {
    const pen = this.beginMarks();
    this.trace(pen, pathThrough(way), 2);
    this.ring(pen, way[0], "A");
    this.ring(pen, way[way.length - 1], "B");
    pen.fill(new Path2D(`M${here[0]} ${here[1] - 7}l7 7l-7 7l-7 -7z`));
    return pen;
  }

  /**
   * Find the nearest point in a direction.
   *
   * @param {ArrayLike<number>} layout
   * @param {number} point
   * @param {[number, number]} direction
   * @returns {number}
   */
  next(layout, point, [dx, dy]) {
    const [x0, y0] = this.spot(layout, point, 100);
    const costs = range(this.#points.labels.length, (k) => {
      const [x, y] = this.spot(layout, k, 100);
      const along = (x - x0) * dx + (y - y0) * dy;
      const aside = Math.abs((x - x0) * dy - (y - y0) * dx);
      return along > 1e-6 ? along + 2 * aside : Number.POSITIVE_INFINITY;
    });
    const least = costs.reduce((a, b) => Math.min(a, b));
    return Number.isFinite(least) ? costs.indexOf(least) : point;
  }
}
