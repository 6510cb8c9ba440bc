// The landscape below the film: coloured maps of grey levels, with lines of equal height.

import { make } from "../kit/dom.js";
import { layer, penOf, pixels, stroke } from "../kit/layers.js";
import { mapTable, NEAR } from "../kit/look.js";
import { range } from "../kit/numbers.js";
import { isDark } from "../kit/theme.js";
import { contours } from "./contours.js";

/** @typedef {import("../kit/look.js").Rgb} Rgb */
/** @typedef {{ canvas: HTMLCanvasElement, lines: Path2D[] }} DrawnMap */

const HEIGHTS = range(15, (k) => ((k + 1) * (NEAR - 1)) / 16);

export class Ground {
  #canvas;
  #columns = 0;
  #rows = 0;
  #maps = 0;
  #levels = new Uint8ClampedArray();
  /** @type {DrawnMap[]} */
  #drawn = [];
  #shown = -1;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
  }

  /**
   * Read the maps.
   *
   * @param {Uint8Array} png image of all maps, one below the other; may be empty
   * @param {number} maps number of maps
   */
  async read(png, maps) {
    this.#maps = 0;
    this.forget();
    if (!png.length) return;
    const image = await createImageBitmap(new Blob([png.slice()]));
    const { width, height } = image;
    const pen = penOf(make("canvas", { width, height }));
    pen.drawImage(image, 0, 0);
    const { data } = pen.getImageData(0, 0, width, height);
    this.#columns = width;
    this.#rows = height / maps;
    this.#maps = maps;
    this.#levels = data.filter((_, j) => j % 4 === 0);
  }

  /** Colour the maps again at the next drawing. */
  forget() {
    this.#drawn = [];
    this.#shown = -1;
  }

  /** Draw even the same map again, because the size or the theme has changed. */
  wipe() {
    this.#shown = -1;
  }

  /**
   * Draw the map of a frame, unless it is drawn already.
   *
   * @param {number} frame
   * @param {Rgb[]} table colours of the palette
   * @param {string} empty colour of the plane if there is no map
   */
  draw(frame, table, empty) {
    const k = this.#maps ? Math.min(Math.floor(frame), this.#maps - 1) : 0;
    if (this.#shown === k) return;
    this.#shown = k;
    const { pen, width, height } = layer(this.#canvas);
    pen.fillStyle = empty;
    if (!this.#maps) {
      pen.fillRect(0, 0, width, height);
      return;
    }
    this.#drawn[k] ??= this.#map(k, table);
    const { canvas, lines } = this.#drawn[k];
    pen.drawImage(canvas, 0, 0, width, height);
    lines.forEach((line, j) => {
      const scaled = new Path2D();
      scaled.addPath(line, new DOMMatrix([width, 0, 0, height, 0, 0]));
      const ink = isDark(table[(j + 1) * 16]) ? "#ffffff50" : "#00000036";
      stroke(pen, scaled, ink, 0.8);
    });
  }

  /**
   * @param {number} k
   * @param {Rgb[]} table
   * @returns {DrawnMap}
   */
  #map(k, table) {
    const size = this.#columns * this.#rows;
    const levels = this.#levels.subarray(k * size, (k + 1) * size);
    const canvas = make("canvas");
    const colours = mapTable(table);
    pixels(canvas, [this.#rows, this.#columns], (j) => colours[levels[j]]);
    return { canvas, lines: contours(levels, this.#columns, this.#rows, HEIGHTS) };
  }
}
