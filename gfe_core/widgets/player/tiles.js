// Pictures beside the plane: the target, that of each track, and the difference of the first from
// the target.

import { make } from "../kit/dom.js";
import { paint, pixels } from "../kit/layers.js";
import { gapColour, TOO_LITTLE, TOO_MUCH } from "../kit/look.js";
import { badge } from "../kit/marks.js";

/** @typedef {import("./film.js").Film} Film */

export const TILES_MARKUP = '<div class="tiles"></div>';

const KEY = `<p class="key"><span><i style="background:rgb(${TOO_LITTLE})"></i>too little</span>
<span><i style="background:rgb(${TOO_MUCH})"></i>too much</span></p>`;
const IN_A_ROW = 4; // more pictures are laid out in two rows, with the words beside them

export class Tiles {
  /** @type {HTMLCanvasElement[]} */
  #canvases = [];

  /** @param {import("../kit/base.js").View<any>} view with TILES_MARKUP */
  constructor(view) {
    this.element = view.find(".tiles", HTMLElement);
  }

  /** @param {Film} film */
  build(film) {
    this.#canvases = [];
    this.element.replaceChildren();
    if (!film.tracks) return;
    this.#add("target", ["target"]);
    film.names.forEach((name, track) => {
      this.#add(name, [badge(film.looks[track]), name]);
    });
    const last = this.#add(`missing in ${film.names[0]}`, [badge(film.looks[0]), "missing, ×2"]);
    last.insertAdjacentHTML("beforeend", KEY);
    this.element.classList.toggle("beside", this.#canvases.length > IN_A_ROW);
    paint(this.#canvases[0], film.imageShape, film.target);
  }

  /**
   * @param {string} label in full
   * @param {(Node | string)[]} words beside the picture
   */
  #add(label, words) {
    const canvas = make("canvas", { role: "img", "aria-label": label });
    const tile = make("div", { class: "tile" }, make("p", { title: label }, ...words), canvas);
    this.element.append(tile);
    this.#canvases.push(canvas);
    return tile;
  }

  /**
   * @param {Film} film
   * @param {number} frame a whole number
   */
  draw(film, frame) {
    const shape = film.imageShape;
    const first = film.image(0, frame);
    for (let track = 0; track < film.tracks; track++) {
      paint(this.#canvases[track + 1], shape, film.image(track, frame));
    }
    const [, , n = 1] = shape;
    const missing = (/** @type {number} */ j) => {
      let gap = 0;
      for (let k = n * j; k < n * (j + 1); k++) gap += film.target[k] - first[k];
      return gapColour(gap / (255 * n));
    };
    pixels(this.#canvases[film.tracks + 1], shape, missing);
  }
}
