// An image on which the reader paints; its hidden pixels are hatched.

import { make } from "./dom.js";
import { spotIn } from "./drag.js";
import { hatch, layer, paint } from "./layers.js";
import { HATCH } from "./look.js";
import { NO_BYTES } from "./model.js";

export const PAPER_MARKUP =
  '<div class="paper" tabindex="0" role="application"><canvas aria-hidden="true"></canvas></div>';

export class Paper {
  #view;
  #canvas;
  #small = make("canvas");
  image = NO_BYTES;
  rows = 1;
  columns = 1;

  /** @param {import("./base.js").View<any>} view with the traits `image` and `image_shape`, and
   * PAPER_MARKUP */
  constructor(view) {
    this.#view = view;
    this.element = view.find(".paper", HTMLElement);
    this.#canvas = view.find(".paper canvas", HTMLCanvasElement);
    this.read();
  }

  /** Read the image. */
  read() {
    const { model } = this.#view;
    const shape = model.get("image_shape");
    [this.rows, this.columns] = shape;
    this.image = model.bytes("image");
    paint(this.#small, shape, this.image);
  }

  /**
   * @param {PointerEvent} event
   * @returns {[number, number]} position of the pointer, across and down, 0 to 1
   */
  under(event) {
    const [x, y] = spotIn(event, this.element);
    return [x / this.element.offsetWidth, y / this.element.offsetHeight];
  }

  /**
   * Draw the image.
   *
   * @param {Uint8Array} seen 0 where a pixel is hidden
   * @param {(k: number, n: number, size: number) => number} edge position at which pixel k of n
   *   begins on a paper of the given size
   * @returns {import("./layers.js").Layer} layer on which more can be drawn
   */
  draw(seen, edge) {
    const { theme } = this.#view;
    const sheet = layer(this.#canvas);
    const { rows, columns } = this;
    const left = (/** @type {number} */ k) => edge(k, columns, sheet.width);
    const top = (/** @type {number} */ k) => edge(k, rows, sheet.height);
    const [wide, tall] = [left(columns) - left(0), top(rows) - top(0)];
    const hole = new Path2D();
    sheet.pen.fillStyle = theme.rule;
    sheet.pen.fillRect(0, 0, sheet.width, sheet.height);
    sheet.pen.imageSmoothingEnabled = false;
    sheet.pen.drawImage(this.#small, left(0), top(0), wide, tall);
    seen.forEach((one, j) => {
      if (one) return;
      const [x, y] = [left(j % columns), top(Math.floor(j / columns))];
      hole.rect(x, y, wide / columns + 0.5, tall / rows + 0.5);
    });
    hatch(sheet, hole, theme.dark ? HATCH.dark : HATCH.light);
    return sheet;
  }
}
