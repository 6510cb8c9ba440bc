// Panels beside the painter with the kernel's answer: pictures, draws and a cloud of codes.

import { make } from "../kit/dom.js";
import { circle, hatch, layer, numbersOf, paint, penOf, pixels, stroke } from "../kit/layers.js";
import { COLOURS, HATCH, paletteTable } from "../kit/look.js";
import { range } from "../kit/numbers.js";

/** @typedef {import("../kit/layers.js").Spot} Spot */
/** @typedef {import("./view.js").Traits} Traits */

export const PANELS_MARKUP = `
<div class="panels"><div class="tiles"></div><div class="below">
<figure><p class="heading soft">eight draws that agree with what is seen</p>
<div class="draws fours"></div></figure>
<figure><p class="heading soft">codes, along their two widest directions</p><div class="cloud">
<canvas role="img" aria-label="codes drawn for this image, over those of training images"></canvas>
</div><p class="key"><span><i style="background:var(--rule)"></i>training images</span>
<span><i style="background:${COLOURS[0]}"></i>drawn for what is seen</span>
<span class="of-whole"><i class="whole"></i>the whole image</span></p></figure></div></div>`;

const COVER = 160; // side of a covered picture, in pixels
const COVER_GAP = 14;

export class Panels {
  #view;
  #truth;
  /** @type {{ canvas: HTMLCanvasElement, note: HTMLElement }[]} one for each picture */
  #tiles = [];

  /** @param {import("../kit/base.js").View<Traits>} view with PANELS_MARKUP */
  constructor(view) {
    this.#view = view;
    this.#truth = view.find(".truth", HTMLInputElement);
    view.listen(this.#truth, "change", () => this.draw());
    this.#build();
  }

  /** Cover the truth again. */
  reset() {
    this.#truth.checked = false;
  }

  #build() {
    const { model } = this.#view;
    const boxes = model.get("names").map((name) => {
      const canvas = make("canvas", { role: "img", "aria-label": name });
      const note = make("p", { class: "soft" });
      this.#tiles.push({ canvas, note });
      return make("div", { class: "tile" }, make("p", { title: name }, name), canvas, note);
    });
    this.#view.find(".tiles", HTMLElement).replaceChildren(...boxes);
    const n = model.bytes("draws").length / numbersOf(model.get("image_shape"));
    const draws = range(n, () => make("canvas", { role: "img", "aria-label": "a draw" }));
    this.#view.find(".draws", HTMLElement).replaceChildren(...draws);
  }

  draw() {
    const { model } = this.#view;
    this.#view.root.classList.toggle("covered", !this.#truth.checked);
    const shape = model.get("image_shape");
    const size = numbersOf(shape);
    const tiles = model.bytes("tiles");
    const draws = model.bytes("draws");
    this.#tiles.forEach((_, k) => {
      this.#drawTile(k, tiles.subarray(k * size, (k + 1) * size));
    });
    this.#view.findAll(".draws canvas", HTMLCanvasElement).forEach((canvas, k) => {
      paint(canvas, shape, draws.subarray(k * size, (k + 1) * size));
    });
    if (this.#view.shown) this.#drawCloud();
  }

  /**
   * @param {number} k
   * @param {Uint8Array} levels
   */
  #drawTile(k, levels) {
    const { model } = this.#view;
    const { canvas, note } = this.#tiles[k];
    const covered = model.get("names")[k] === "truth" && !this.#truth.checked;
    const palette = model.get("palettes")[k];
    const shape = model.get("image_shape");
    note.textContent = covered ? "covered" : model.get("notes")[k];
    canvas.style.imageRendering = covered ? "auto" : "";
    if (covered) this.#cover(canvas);
    else if (!palette) paint(canvas, shape, levels);
    else {
      const table = paletteTable(palette);
      const [, , n = 1] = shape; // a palette shows one number; in colour all three are equal
      pixels(canvas, shape, (j) => table[levels[n * j]]);
    }
  }

  /** @param {HTMLCanvasElement} canvas */
  #cover(canvas) {
    canvas.width = COVER;
    canvas.height = COVER;
    const all = new Path2D(`M0 0H${COVER}V${COVER}H0z`);
    const inks = this.#view.theme.dark ? HATCH.dark : HATCH.light;
    hatch({ pen: penOf(canvas), width: COVER, height: COVER }, all, inks, COVER_GAP);
  }

  #drawCloud() {
    const { model, theme } = this.#view;
    const { pen, width, height } = layer(this.#view.find(".cloud canvas", HTMLCanvasElement));
    const [left, right, low, high] = model.get("extent");
    /** @type {(key: "ground" | "cloud" | "marks") => Spot[]} */
    const spots = (key) => {
      const at = model.floats(key);
      return range(at.length / 2, (k) => [
        ((at[2 * k] - left) / (right - left)) * width,
        ((high - at[2 * k + 1]) / (high - low)) * height,
      ]);
    };
    pen.fillStyle = theme.rule;
    for (const spot of spots("ground")) pen.fill(circle(spot, 2));
    pen.fillStyle = `${COLOURS[0]}b0`;
    for (const spot of spots("cloud")) pen.fill(circle(spot, 2.8));
    for (const spot of this.#truth.checked ? spots("marks") : []) {
      stroke(pen, circle(spot, 7), theme.bg, 6);
      stroke(pen, circle(spot, 7), theme.fg, 2.4);
    }
    this.#view.find(".of-whole", HTMLElement).hidden = !this.#truth.checked;
  }
}
