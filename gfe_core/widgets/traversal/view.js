// One latent that the reader moves, and rows of pictures along all of them. The browser has all
// pictures: the view sends the reader's choices to the kernel, and makes no requests.

import "./view.css";
import { onReset, STATE_MARKUP, TITLE_MARKUP, View, widgetOf } from "../kit/base.js";
import { make, setOptions } from "../kit/dom.js";
import { drag, spotIn } from "../kit/drag.js";
import { numbersOf, paint } from "../kit/layers.js";
import { clamp } from "../kit/numbers.js";
import { STRIP_MARKUP, Strip } from "../kit/strip.js";

/** @typedef {{ model: number, base: number, latent: number, frame: number }} Values */

/**
 * @typedef {object} Numbers of one model
 * @property {number[][]} values of each latent, along its frames
 * @property {number[][]} own codes of the bases
 * @property {number[][]} shares of each latent's variance, by factor
 */

/**
 * @typedef {import("../kit/strip.js").Thumbnails & OwnTraits} Traits
 *
 * @typedef {object} OwnTraits
 * @property {DataView} images for each model (bases, latents, frames, height, width)
 * @property {Numbers[]} numbers
 * @property {string[]} models
 * @property {string[][]} latents names of the latents of each model
 * @property {string[]} factors
 * @property {number[]} image_shape rows and columns, and 3 in colour
 * @property {number} n_frames
 * @property {Values} defaults
 * @property {Values} values
 * @property {string} note
 */

const N_TILES = 9; // pictures in a row
const DEEPEST = 50; // per cent of the accent behind a share of 1, so that words stay readable
const GAP = 128; // grey level between pictures

const MARKUP = `
${TITLE_MARKUP}${STRIP_MARKUP}<div class="controls">
<label class="of-model">threshold <select class="model" aria-label="model"></select></label>
<label>latent <select class="latent" aria-label="latent"></select></label></div>
${STATE_MARKUP}
<div class="grid"><figure class="large"><canvas role="img" aria-label="what the code draws"></canvas>
<input type="range" class="frame" min="0" step="1" aria-label="value of the latent"></figure>
<div><p class="heading soft">each latent moved alone: drag along a row; right: share of the latent's
variance that a factor explains alone</p>
<div class="rows"><table><thead></thead><tbody></tbody></table></div></div></div>`;

/** @param {number} value */
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

class Traversal {
  #images;
  #values;
  #drawnRows = "";

  /** @param {import("../kit/base.js").Context} context */
  constructor(context) {
    this.view = /** @type {View<Traits>} */ (new View(context, "traversal", MARKUP));
    const { model } = this.view;
    this.shape = model.get("image_shape");
    this.size = numbersOf(this.shape);
    this.n = model.get("n_frames");
    this.samples = model.get("thumbnail_rows");
    this.strip = new Strip(this.view, (row, event) => this.#startFrom(row, event), true);
    this.latents = model.get("latents");
    this.numbers = model.get("numbers");
    this.#images = model.bytes("images");
    const chosen = model.get("values");
    this.#values = { ...chosen };
    this.canvas = this.view.find(".large canvas", HTMLCanvasElement);
    this.slider = this.view.find(".frame", HTMLInputElement);
    this.selects = {
      model: this.view.find(".model", HTMLSelectElement),
      latent: this.view.find(".latent", HTMLSelectElement),
    };
    this.#build();
    this.#listen();
    this.view.follow(() => this.#choose({}));
  }

  get #names() {
    return this.latents[this.#values.model];
  }

  get #numbers() {
    return this.numbers[this.#values.model];
  }

  /**
   * @param {number} latent
   * @param {number} frame
   */
  #picture(latent, frame) {
    const { model, base } = this.#values;
    const before = this.latents.slice(0, model).reduce((sum, names) => sum + names.length, 0);
    const row = this.samples.length * before + base * this.#names.length + latent;
    const start = (row * this.n + frame) * this.size;
    return this.#images.subarray(start, start + this.size);
  }

  #build() {
    const { model } = this.view;
    const named = model.get("models").map((text, value) => ({ text, value }));
    this.view.writeTitle();
    this.slider.max = String(this.n - 1);
    setOptions(this.selects.model, named);
    this.strip.build();
    this.view.find(".of-model", HTMLElement).hidden = named.length < 2;
    const factors = model.get("factors").map((name) => make("th", { scope: "col" }, name));
    const first = make("th", { class: "of-latent" }, "latent");
    const head = make("tr", {}, first, make("th", { class: "of-pictures" }), ...factors);
    this.view.find("thead", HTMLElement).replaceChildren(head);
  }

  #drawRows() {
    setOptions(
      this.selects.latent,
      this.#names.map((text, value) => ({ text, value })),
    );
    const rows = this.#names.map((name, latent) =>
      make(
        "tr",
        {},
        make("th", { class: "of-latent", scope: "row" }, name),
        make("td", {}, this.#strip(name, latent)),
        ...this.#numbers.shares[latent].map((share) => this.#shareCell(share)),
      ),
    );
    this.view.find("tbody", HTMLElement).replaceChildren(...rows);
  }

  /**
   * @param {string} name
   * @param {number} latent
   * @returns {HTMLElement} pictures along a latent
   */
  #strip(name, latent) {
    const values = this.#numbers.values[latent];
    const canvas = make("canvas");
    const strip = make("span", {
      class: "along",
      tabindex: 0,
      role: "slider",
      "aria-label": `latent ${name}`,
      "aria-valuemin": values[0],
      "aria-valuemax": values[this.n - 1],
    });
    const [height, width, n = 1] = this.shape;
    const wide = N_TILES * (width + 1) - 1;
    const levels = new Uint8Array(n * height * wide).fill(GAP);
    for (let tile = 0; tile < N_TILES; tile++) {
      const picture = this.#picture(latent, Math.round((tile * (this.n - 1)) / (N_TILES - 1)));
      for (let row = 0; row < height; row++) {
        const line = picture.subarray(n * row * width, n * (row + 1) * width);
        levels.set(line, n * (row * wide + tile * (width + 1)));
      }
    }
    paint(canvas, [height, wide, n], levels);
    strip.append(canvas, make("i"));
    this.#hold(strip, latent);
    return strip;
  }

  /** @param {number} share */
  #shareCell(share) {
    const cell = make("td", { class: "share" }, share.toFixed(2));
    const part = `${this.view.theme.accent} ${Math.round(DEEPEST * share)}%`;
    cell.style.background = `color-mix(in srgb, ${part}, transparent)`;
    return cell;
  }

  /**
   * Draw everything that changes with the choices.
   *
   * @param {Event} [event]
   */
  #draw(event) {
    const { model, base, latent, frame } = this.#values;
    const value = this.#numbers.values[latent][frame];
    const name = this.#names[latent];
    paint(this.canvas, this.shape, this.#picture(latent, frame));
    this.slider.value = String(frame);
    this.slider.ariaValueText = signed(value);
    this.selects.model.value = String(model);
    this.strip.show(this.samples[base]);
    this.selects.latent.value = String(latent);
    this.#markRows();
    const words = [
      this.view.model.get("models")[model],
      `sample ${this.samples[base]}`,
      `latent ${name} = ${signed(value)}`,
      `in the sample's code ${signed(this.#numbers.own[base][latent])}`,
      `${this.#names.length} latents open`,
      this.view.model.get("note"),
    ];
    this.view.writeState(words);
    this.view.tellDrawn({ latent: name, frame }, event);
  }

  #markRows() {
    const { latent, frame } = this.#values;
    const strips = this.view.findAll(".along", HTMLElement);
    strips.forEach((strip, j) => {
      strip.closest("tr")?.classList.toggle("chosen", j === latent);
      strip.ariaValueNow = String(this.#numbers.values[j][frame]);
      const mark = /** @type {HTMLElement} */ (strip.lastElementChild);
      mark.style.left = `${(100 * (frame + 0.5)) / this.n}%`;
    });
  }

  /**
   * @param {Partial<Values>} changes
   * @param {Event} [event]
   */
  #choose(changes, event) {
    const values = this.#values;
    Object.assign(values, changes);
    values.latent = clamp(values.latent, 0, this.latents[values.model].length - 1);
    values.frame = clamp(values.frame, 0, this.n - 1);
    const rows = `${values.model} ${values.base} ${this.view.theme.dark}`;
    if (rows !== this.#drawnRows) this.#drawRows();
    this.#drawnRows = rows;
    this.#draw(event);
  }

  /**
   * @param {number} row of the sample
   * @param {Event} event
   */
  #startFrom(row, event) {
    this.#choose({ base: this.samples.indexOf(row) }, event);
    this.#tell();
  }

  #tell() {
    this.view.model.send({ values: { ...this.#values } });
  }

  #listen() {
    const { model, latent } = this.selects;
    this.view.listen(this.slider, "input", (event) =>
      this.#choose({ frame: Number(this.slider.value) }, event),
    );
    this.view.listen(model, "change", (event) =>
      this.#choose({ model: Number(model.value), latent: 0 }, event),
    );
    this.view.listen(latent, "change", (event) =>
      this.#choose({ latent: Number(latent.value) }, event),
    );
    this.view.listen(this.view.root, "change", () => this.#tell());
    onReset(this.view, (event) => {
      this.#choose({ ...this.view.model.get("defaults") }, event);
      this.#tell();
    });
  }

  /**
   * Let the reader drag along a strip.
   *
   * @param {HTMLElement} strip
   * @param {number} latent
   */
  #hold(strip, latent) {
    let held = false;
    drag(this.view, strip, {
      start: () => {
        held = true;
      },
      move: (event) => {
        const share = spotIn(event, strip)[0] / strip.offsetWidth;
        const frame = Math.floor(this.n * share);
        this.#choose({ latent, frame }, event);
      },
      end: () => {
        held = false;
        this.#tell();
      },
    });
    this.view.listen(strip, "focus", (event) => {
      if (!held && strip.matches(":focus-visible")) this.#choose({ latent }, event);
    });
    this.view.listen(strip, "keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, Home: -this.n };
      const by = /** @type {Record<string, number>} */ ({ ...steps, End: this.n })[event.key];
      if (!by) return;
      event.preventDefault();
      this.#choose({ latent, frame: this.#values.frame + by }, event);
      this.#tell();
    });
  }
}

export default widgetOf(Traversal);
