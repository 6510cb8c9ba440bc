// The view between two images: pictures of mixed codes and of mixed pixels, and their energies.

import { strokeSign } from "../kit/dom.js";
import { circle, numbersOf, paint } from "../kit/layers.js";
import { COLOURS, DASHES } from "../kit/look.js";
import { NO_BYTES, NO_FLOATS } from "../kit/model.js";
import { range } from "../kit/numbers.js";
import { Plot } from "../kit/plot.js";
import { linear } from "../kit/scales.js";
import { tileMarkup } from "./tile.js";

/** @typedef {import("../kit/layers.js").Spot} Spot */

const MARGINS = { left: 44, right: 10, top: 8, bottom: 20 };
const CURVES = ["codes mixed, as A", "as B", "pixels mixed, own code"];
const KEY = CURVES.map((name, k) => `<span>${strokeSign(COLOURS[k], DASHES[k])}${name}</span>`);

export const BETWEEN_MARKUP = `
<div class="between"><div class="row fours">${tileMarkup("A", "image A")}
${tileMarkup("codes mixed", "mixed codes")}${tileMarkup("pixels mixed", "mixed pixels")}
${tileMarkup("B", "image B")}</div>
<div class="mixer"><span>A</span>
<input type="range" class="mix" min="0" step="1" aria-label="t, from A to B"><span>B</span>
<output></output></div><p class="heading soft unit"></p><div class="chart layers">
<canvas role="img" aria-label="energies between A and B"></canvas></div>
<p class="key">${KEY.join("")}</p></div>`;

export class Between {
  #view;
  #canvases;
  #chart;
  #mixes = NO_BYTES;
  #curves = NO_FLOATS;
  #way = NO_FLOATS;
  #pair = "";

  /**
   * @param {import("../kit/base.js").View<import("./view.js").Traits>} view with BETWEEN_MARKUP
   * @param {number} n number of pictures from A to B
   */
  constructor(view, n) {
    this.#view = view;
    this.n = n;
    this.slider = view.find(".mix", HTMLInputElement);
    this.slider.max = String(n - 1);
    this.#canvases = view.findAll(".between .row canvas", HTMLCanvasElement);
    this.#chart = view.find(".chart canvas", HTMLCanvasElement);
    this.read();
  }

  /** Read the kernel's answer. */
  read() {
    const { model } = this.#view;
    this.#pair = String(model.get("mixed"));
    this.#mixes = model.bytes("mixes");
    this.#curves = model.floats("curves");
    this.#way = model.floats("way");
  }

  /**
   * @param {number[]} pair
   * @returns {boolean} whether the kernel has answered for it
   */
  knows(pair) {
    return this.#pair === String(pair);
  }

  /**
   * Write the pair to which the energies belong.
   *
   * @param {(k: number) => number} called function that returns the row number of a point
   */
  name(called) {
    const [a, b] = this.#view.model.get("mixed").map(called);
    const unit = this.#view.model.get("unit");
    this.#view.write(".unit", `energy above the floor, ${unit}, between A ${a} and B ${b}`);
  }

  /** Whether the path of the mixed codes is curved on the map. */
  get bent() {
    return this.#way.length > 0;
  }

  /** @param {number} step */
  share(step) {
    return step / Math.max(this.n - 1, 1);
  }

  /** @param {number} step */
  write(step) {
    const words = `t = ${this.share(step).toFixed(2)}`;
    this.slider.value = String(step);
    this.slider.ariaValueText = words;
    this.#view.write(".mixer output", words);
  }

  /**
   * Mark the path from A to B on a map: that of the codes if it is known, or else a straight line.
   *
   * @param {import("./stage.js").Stage} stage
   * @param {{ pair: number[], ends: Spot[], step: number }} chosen
   */
  mark(stage, { pair, ends, step }) {
    if (this.bent && this.knows(pair)) {
      const way = range(this.n, (k) => stage.spot(this.#way, k));
      return stage.drawWay(way, way[step]);
    }
    const [a, b] = ends;
    const t = this.share(step);
    return stage.drawWay(ends, [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]);
  }

  /**
   * @param {number[]} pair
   * @param {number} step
   * @param {(row: number) => Uint8Array} imageOf
   */
  draw(pair, step, imageOf) {
    if (!this.knows(pair)) return;
    const shape = this.#view.model.get("image_shape");
    const size = numbersOf(shape);
    /** @type {(k: number) => Uint8Array} */
    const mix = (k) => this.#mixes.subarray(k * size, (k + 1) * size);
    const pictures = [imageOf(pair[0]), mix(step), mix(this.n + step), imageOf(pair[1])];
    pictures.forEach((levels, k) => {
      paint(this.#canvases[k], shape, levels);
    });
    this.#drawChart(step);
  }

  /** @param {number} step */
  #drawChart(step) {
    const high = 1.08 * this.#curves.reduce((a, b) => Math.max(a, b), 0) || 1;
    const x = linear(0, this.n - 1);
    const plot = new Plot(this.#chart, this.#view.theme, MARGINS, x, linear(0, high));
    plot.rules();
    ["A", "t = 0.5", "B"].forEach((text, k) => {
      plot.below((k * (this.n - 1)) / 2, text);
    });
    plot.upright(step);
    for (let c = 0; c < CURVES.length; c++) {
      const spots = range(this.n, (k) => plot.spot(k, this.#curves[c * this.n + k]));
      plot.line(spots, COLOURS[c], 2, DASHES[c]);
      plot.pen.fillStyle = COLOURS[c];
      plot.pen.fill(circle(spots[step], 4));
    }
  }
}
