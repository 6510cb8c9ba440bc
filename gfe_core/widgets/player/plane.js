// The plane on which codes flow: the landscape, the tracks over it, and the scale of colours.

import { layer, pathThrough, stroke } from "../kit/layers.js";
import { dashOf, mapTable, NEAR, paletteTable } from "../kit/look.js";
import { drawMark } from "../kit/marks.js";
import { clamp, range, tidied } from "../kit/numbers.js";
import { Ground } from "./ground.js";

/** @typedef {import("../kit/layers.js").Spot} Spot */
/** @typedef {import("./film.js").Film} Film */

const CANVAS = '<canvas aria-hidden="true"></canvas>';

/** @param {string} handle markup of the elements over the plane */
export const planeMarkup = (handle) => `
<figure class="plane"><div class="over"><span class="slice"></span><span class="scale">energy
<span class="low"></span><i></i><span class="high"></span></span></div><div class="stage">
${CANVAS}${CANVAS}<canvas role="img"></canvas><span class="x axis"></span>
<span class="y axis"></span>${handle}</div></figure>`;

export class Plane {
  #view;
  #ground;
  #trails;
  #table;
  #extent = [0, 1, 0, 1];
  #limits = [0, 1];
  width = 0;
  height = 0;

  /** @param {import("../kit/base.js").View<import("./view.js").Traits>} view */
  constructor(view) {
    this.#view = view;
    this.stage = view.find(".stage", HTMLElement);
    const [still, trails, points] = view.findAll(".stage canvas", HTMLCanvasElement);
    this.#ground = new Ground(still);
    this.#trails = trails;
    this.points = points;
    this.#table = paletteTable(view.model.get("palette"));
  }

  /** Read the landscape. */
  async readGround() {
    const { model } = this.#view;
    await this.#ground.read(model.bytes("landscape"), model.get("n_maps"));
  }

  /** Read the extent, the colours and the axes of the plane. */
  read() {
    const { model } = this.#view;
    this.#extent = model.get("extent");
    this.#limits = model.get("energy_range");
    this.#table = paletteTable(model.get("palette"));
    const [across, up] = model.get("axes");
    this.#view.write(".x.axis", across && `${across} →`);
    this.#view.write(".y.axis", up && `${up} →`);
    this.#ground.forget();
  }

  /** Height over width. */
  get ratio() {
    const [left, right, low, high] = this.#extent;
    return clamp((high - low) / (right - left), 0.4, 1.25);
  }

  /**
   * @param {number} width in pixels
   */
  resize(width) {
    this.width = width;
    this.height = Math.round(width * this.ratio);
    this.stage.style.width = `${this.width}px`;
    this.stage.style.height = `${this.height}px`;
    this.#ground.wipe();
    this.#drawScale();
  }

  #drawScale() {
    const [low, high] = this.#limits;
    const levels = mapTable(this.#table);
    const stops = [0, 48, 96, 143, NEAR - 1, 255].map((level) => `rgb(${levels[level]})`);
    const [lowest, highest] = tidied([low, high]);
    this.#view.write(".scale .low", lowest);
    this.#view.write(".scale .high", `≥ ${highest}`);
    const bar = this.#view.find(".scale i", HTMLElement);
    bar.style.background = `linear-gradient(90deg, ${stops})`;
  }

  /**
   * @param {number[]} place on the plane
   * @returns {[number, number]} position as shares of the width from left and the height from top
   */
  shares([x, y]) {
    const [left, right, low, high] = this.#extent;
    return [(x - left) / (right - left), (high - y) / (high - low)];
  }

  /**
   * @param {number[]} place
   * @returns {boolean} whether it lies in the part of the plane that is shown
   */
  holds(place) {
    return this.shares(place).every((share) => share >= 0 && share <= 1);
  }

  /**
   * @param {number[]} place first place
   * @param {number[]} by shares of width and height
   * @returns {[number, number]} the place that lies there, moved into the part that is shown
   */
  moved([x, y], [dx, dy]) {
    const [left, right, low, high] = this.#extent;
    return [clamp(x + dx * (right - left), left, right), clamp(y - dy * (high - low), low, high)];
  }

  /** @param {number} frame */
  drawGround(frame) {
    this.#ground.draw(frame, this.#table, this.#view.theme.rule);
  }

  /**
   * Draw the tracks up to a frame.
   *
   * @param {Film} film
   * @param {number} frame
   * @param {boolean} faint while the start is being moved
   */
  drawTracks(film, frame, faint) {
    const { pen } = layer(this.#trails);
    const top = layer(this.points).pen;
    this.#trails.style.opacity = faint ? "0.3" : "1";
    for (const track of film.backwards) {
      const look = film.looks[track];
      /** @type {(k: number) => Spot} */
      const spot = (k) => {
        const [x, y] = this.shares(film.place(track, k));
        return [x * this.width, y * this.height];
      };
      const line = pathThrough([...range(Math.ceil(frame), spot), spot(frame)]);
      stroke(pen, line, "#fff", 5);
      stroke(pen, line, look.colour, 2.4, dashOf(look));
      const fill = `rgb(${this.#colourOf(film.at(film.energy, track, frame))})`;
      /** @type {[number, string][]} */
      const rings = [
        [7, "#fff"],
        [3.6, look.colour],
      ];
      drawMark(top, spot(frame), look, { radius: 8.5, fill, rings });
    }
  }

  /** @param {number} energy */
  #colourOf(energy) {
    const [low, high] = this.#limits;
    const level = Math.round(clamp((energy - low) / (high - low), 0, 1) * 255);
    return this.#table[level] ?? this.#table[255];
  }
}
