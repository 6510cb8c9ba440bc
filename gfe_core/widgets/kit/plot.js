// A chart on a canvas: scales along two sides, rules, numbers and lines.

import { layer, pathThrough, stroke } from "./layers.js";
import { clamp, tidied, tidy } from "./numbers.js";

/** @typedef {import("./layers.js").Spot} Spot */
/** @typedef {import("./scales.js").Scale} Scale */

/**
 * Pixels around the chart, which hold its numbers.
 *
 * @typedef {object} Margins
 * @property {number} left
 * @property {number} right
 * @property {number} top
 * @property {number} bottom
 */

export class Plot {
  /**
   * Clear a canvas for a chart.
   *
   * @param {HTMLCanvasElement} canvas
   * @param {import("./theme.js").Theme} theme
   * @param {Margins} margins
   * @param {Scale} x
   * @param {Scale} y
   */
  constructor(canvas, theme, margins, x, y) {
    const { pen, width, height } = layer(canvas);
    this.pen = pen;
    this.width = width;
    this.height = height;
    this.theme = theme;
    this.x = x;
    this.y = y;
    this.left = margins.left;
    this.right = width - margins.right;
    this.top = margins.top;
    this.bottom = height - margins.bottom;
    pen.font = theme.font;
  }

  /**
   * @param {number} u
   * @param {number} v
   * @returns {Spot} position of the values on the canvas
   */
  spot(u, v) {
    return [
      this.left + (this.right - this.left) * this.x.at(u),
      this.bottom - (this.bottom - this.top) * this.y.at(v),
    ];
  }

  /** Draw rules at the ticks of y, with their numbers. */
  rules() {
    this.pen.fillStyle = this.theme.soft;
    const labels = tidied(this.y.ticks);
    for (const [k, tick] of this.y.ticks.entries()) {
      const y = Math.round(this.spot(0, tick)[1]) + 0.5;
      stroke(this.pen, `M${this.left} ${y}H${this.right}`, this.theme.rule);
      this.write(labels[k], [this.left - 8, y], "right", "middle");
    }
  }

  /**
   * Write a text below the chart at a value of x, moved so that it stays on the canvas.
   *
   * @param {number} u
   * @param {string} text
   * @param {CanvasTextAlign} [align]
   */
  below(u, text, align = "center") {
    this.pen.fillStyle = this.theme.soft;
    const half = align === "center" ? this.pen.measureText(text).width / 2 : 0;
    const x = clamp(this.spot(u, 0)[0], half, this.width - half);
    this.write(text, [x, this.height], align, "bottom");
  }

  /**
   * Write the ticks of x below the chart, and their title at the right end.
   *
   * @param {string} title
   */
  numbers(title) {
    this.pen.fillStyle = this.theme.soft;
    this.write(title, [this.right, this.height], "right", "bottom");
    const end = this.right - 8 - this.pen.measureText(title).width;
    for (const tick of this.x.ticks) {
      if (this.spot(tick, 0)[0] < end) this.below(tick, tidy(tick, 6));
    }
  }

  /**
   * @param {string} text
   * @param {Spot} spot
   * @param {CanvasTextAlign} align
   * @param {CanvasTextBaseline} baseline
   */
  write(text, [x, y], align, baseline) {
    this.pen.textAlign = align;
    this.pen.textBaseline = baseline;
    this.pen.fillText(text, x, y);
  }

  /**
   * Draw a line through values.
   *
   * @param {Iterable<Spot>} spots
   * @param {string} ink
   * @param {number} width
   * @param {number[]} [dash]
   */
  line(spots, ink, width, dash) {
    stroke(this.pen, pathThrough(spots), ink, width, dash);
  }

  /**
   * Draw a vertical line.
   *
   * @param {number} u
   */
  upright(u) {
    const [x] = this.spot(u, 0);
    stroke(this.pen, `M${x} ${this.top}V${this.bottom}`, this.theme.fg);
  }

  /**
   * Draw a horizontal line.
   *
   * @param {number} v
   * @param {string} ink
   * @param {number} width
   * @param {number[]} [dash]
   */
  level(v, ink, width, dash) {
    const [, y] = this.spot(0, v);
    stroke(this.pen, `M${this.left} ${y}H${this.right}`, ink, width, dash);
  }
}
