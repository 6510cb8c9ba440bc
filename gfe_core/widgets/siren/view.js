// An image with a window that the reader moves, and that window drawn from a code and by enlarging
// pixels. The window moves here at once; its content is a request to the kernel.

import "./view.css";
import {
  ASKING_MARKUP,
  CAPTION_MARKUP,
  needKernel,
  onReset,
  TITLE_MARKUP,
  View,
  widgetOf,
} from "../kit/base.js";
import { setOptions, sign, strokeSign } from "../kit/dom.js";
import { drag } from "../kit/drag.js";
import { ARROWS, isShortcut } from "../kit/keyboard.js";
import { circle, paint, pixels, stroke } from "../kit/layers.js";
import { COLOURS, DASHES, gapColour } from "../kit/look.js";
import { NO_BYTES } from "../kit/model.js";
import { clamp, range, tidy } from "../kit/numbers.js";
import { PAPER_MARKUP, Paper } from "../kit/paper.js";
import { Plot } from "../kit/plot.js";
import { Requests } from "../kit/requests.js";
import { linear } from "../kit/scales.js";
import { STRIP_MARKUP, Strip } from "../kit/strip.js";

/** @typedef {import("../kit/layers.js").Spot} Spot */

/**
 * @typedef {object} Values
 * @property {string} decoder
 * @property {number} sample
 * @property {number} resolution
 * @property {number} half half of the window's side; the image reaches from -1 to 1
 * @property {string} by method that found the code
 * @property {number} share of the pixels from which the code is found
 * @property {number} seed of the choice of these pixels
 * @property {number} down middle of the window
 * @property {number} across
 */

/**
 * @typedef {object} Options of the controls
 * @property {string[]} decoder
 * @property {number[]} resolution
 * @property {[string, number][]} half
 * @property {string[]} by
 * @property {number[]} share
 */

/**
 * @typedef {import("../kit/strip.js").Thumbnails & OwnTraits} Traits
 *
 * @typedef {object} OwnTraits
 * @property {DataView} image (rows, columns)
 * @property {number[]} image_shape
 * @property {DataView} seen (rows, columns), 1 at pixels from which the code was found
 * @property {DataView} tiles (3, n, n): the code, bilinear, nearest
 * @property {DataView} curves (2, places): the code and bilinear along the cut
 * @property {number} row of pixels along which the cut goes
 * @property {number} n_samples
 * @property {Options} options
 * @property {Values} defaults
 * @property {Values} values
 * @property {string} facts
 * @property {string} note
 * @property {Record<string, unknown>} request
 * @property {number} reply
 */

const MARGINS = { left: 40, right: 10, top: 6, bottom: 20 };
const LIMITS = [-0.4, 1.4]; // limits of the values along a cut
const TILES = ["the code", "bilinear", "nearest pixel", "code − bilinear, ×2"];

const FINDING = /** @type {const} */ (["decoder", "sample", "by", "share", "seed"]);

const PIXEL = '<circle cx="13" cy="5" r="3.4" fill="var(--fg)"/>';
const UNSEEN = '<circle cx="13" cy="5" r="3.4" fill="none" stroke="var(--fg)" stroke-width="1.4"/>';

/**
 * @param {string} name
 * @param {string} label
 */
const selectMarkup = (name, label) =>
  `<label class="of-${name}">${label} <select class="${name}" aria-label="${label}"></select></label>`;

/**
 * @param {string} name
 * @param {number} k
 */
const tileMarkup = (name, k) =>
  `<div class="tile${k ? "" : " large"}"><p>${name}</p><canvas role="img" aria-label="${name}">
  </canvas></div>`;

const MARKUP = `
${TITLE_MARKUP}${STRIP_MARKUP}<div class="controls">${selectMarkup("decoder", "decoder")}
${selectMarkup("resolution", "resolution")}${selectMarkup("half", "window")}
${selectMarkup("by", "found by")}${selectMarkup("share", "pixels seen")}
<button type="button" class="button other">other pixels</button></div>
${ASKING_MARKUP}
<div class="grid"><figure><p class="heading soft trained"></p>
${PAPER_MARKUP}
<p class="where soft"></p></figure>
<div class="tiles fours">${TILES.map(tileMarkup).join("")}
<p class="soft honest">blue: darker than bilinear, orange: brighter. Nobody measured between pixels:
what is added is invented.</p></div></div>
<figure class="cut"><p class="heading soft"></p><div class="layers chart"><canvas role="img"
aria-label="values along a row of pixels"></canvas></div>
<p class="key"><span>${strokeSign(COLOURS[0], DASHES[0])}the code</span>
<span>${strokeSign(COLOURS[1], DASHES[1])}bilinear</span><span>${sign(PIXEL)}pixel</span>
<span>${sign(UNSEEN)}pixel not seen</span></p></figure>
${CAPTION_MARKUP}`;

/** @param {number} share */
const percent = (share) => `${Math.round(100 * share)} %`;

class Siren {
  #seen = NO_BYTES;
  /** @type {Values} choices of the reader */
  #values;
  /** @type {Values} choices that the kernel has drawn */
  #drawn;
  /** @type {[number, number] | null} from the middle of the window to the pointer that drags it */
  #grip = null;

  /** @param {import("../kit/base.js").Context} context */
  constructor(context) {
    this.view = /** @type {View<Traits>} */ (new View(context, "siren", MARKUP));
    const { view } = this;
    this.#drawn = view.model.get("values");
    this.#values = { ...this.#drawn };
    this.requests = new Requests(view, { patience: 400 });
    this.paper = new Paper(view);
    this.cut = view.find(".cut canvas", HTMLCanvasElement);
    this.strip = new Strip(view, (sample, event) => this.#ask({ sample }, event));
    this.other = view.find(".other", HTMLButtonElement);
    this.selects = {
      decoder: view.find("select.decoder", HTMLSelectElement),
      resolution: view.find("select.resolution", HTMLSelectElement),
      half: view.find("select.half", HTMLSelectElement),
      by: view.find("select.by", HTMLSelectElement),
      share: view.find("select.share", HTMLSelectElement),
    };
    this.#build();
    this.#listen();
    this.#read();
    view.follow(() => this.#draw());
    const keys = /** @type {const} */ (["image", "seen", "tiles", "curves", "row", "values"]);
    view.model.onMessage([...keys, "facts", "note", "reply"], () => {
      this.#read();
      this.#draw();
    });
  }

  #build() {
    const { model } = this.view;
    const { decoder, resolution, half, by, share } = model.get("options");
    const named = (/** @type {string[]} */ names) => names.map((text) => ({ text, value: text }));
    setOptions(this.selects.decoder, named(decoder));
    setOptions(
      this.selects.resolution,
      resolution.map((value) => ({ text: `${value} × ${value}`, value })),
    );
    setOptions(
      this.selects.half,
      half.map(([text, value]) => ({ text, value })),
    );
    setOptions(this.selects.by, named(by));
    setOptions(
      this.selects.share,
      share.map((value) => ({ text: percent(value), value })),
    );
    needKernel(this.view, this.other, ...Object.values(this.selects));
    this.view.find(".of-decoder", HTMLElement).hidden = decoder.length < 2;
    this.view.writeTitle();
    this.strip.build();
    this.paper.element.ariaLabel = "The image and a window on it. Arrow keys move the window.";
  }

  #read() {
    const { model } = this.view;
    this.paper.read();
    this.#seen = model.bytes("seen");
    this.#drawn = { ...model.get("values") };
    if (!this.requests.waiting && !this.#grip) this.#values = { ...this.#drawn };
    this.view.writeNote();
    this.requests.acknowledge();
  }

  /** Whether the code that the kernel has drawn is the one that the reader has chosen. */
  get #current() {
    return FINDING.every((name) => this.#values[name] === this.#drawn[name]);
  }

  #write() {
    const { model, live } = this.view;
    const { decoder, sample, by, share, seed, down, across, half } = this.#values;
    const { resolution } = this.#drawn;
    const { rows, columns } = this.paper;
    const number = (/** @type {number} */ edge) => tidy(Number(edge.toFixed(3)));
    const edges = (/** @type {number} */ middle) =>
      `${number(middle - half)} to ${number(middle + half)}`;
    this.strip.show(sample, model.get("n_samples") - 1);
    for (const [name, select] of Object.entries(this.selects)) {
      select.value = String(this.#values[/** @type {keyof Values} */ (name)]);
    }
    this.other.disabled = !live || share === 1;
    const words = [
      decoder,
      `sample ${sample}`,
      `by ${by}`,
      `${percent(share)} of the pixels, seed ${seed}`,
      `window rows ${edges(down)}, columns ${edges(across)}`,
      `drawn ${resolution} × ${resolution}`,
      this.view.answered("energy", model.get("facts"), this.#current),
    ];
    this.view.writeState(words);
    const hatched = share < 1 ? ", hatched where not seen" : "";
    this.view.write(".trained", `the pixels: ${rows} × ${columns}${hatched}`);
    const drag =
      half < 1 ? "drag the frame over the image" : "choose a smaller window, then drag it";
    this.view.write(".where", live ? drag : "");
    const row = `row ${model.get("row")} of the pixels`;
    this.view.write(".cut .heading", `a cut through the window along ${row}`);
  }

  /** Half the side of the part that the paper shows, in coordinates of the image. */
  get #reach() {
    const { rows, columns } = this.paper;
    return Math.max(1 + 1 / Math.max(rows - 1, columns - 1, 1), 1.06 * this.#values.half);
  }

  #drawPaper() {
    /** @type {(c: number, size: number) => number} from a coordinate of the image to the paper */
    const to = (c, size) => ((c / this.#reach + 1) / 2) * size;
    const { pen, width } = this.paper.draw(this.#seen, (k, n, size) =>
      to((2 * k - 1) / Math.max(n - 1, 1) - 1, size),
    );
    this.#drawWindow(pen, (c) => to(c, width));
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {(c: number) => number} to from a coordinate of the image to the paper
   */
  #drawWindow(pen, to) {
    const { across, down, half } = this.#values;
    const cut = to((2 * this.view.model.get("row")) / Math.max(this.paper.rows - 1, 1) - 1);
    const [left, top, side] = [to(across - half), to(down - half), to(half) - to(-half)];
    const frame = new Path2D(`M${left} ${cut}h${side}`);
    frame.rect(left, top, side, side);
    stroke(pen, frame, "#fff", 4);
    stroke(pen, frame, COLOURS[0], 1.8);
  }

  #drawTiles() {
    const n = this.#drawn.resolution;
    const bytes = this.view.model.bytes("tiles");
    const tiles = range(3, (k) => bytes.subarray(k * n * n, (k + 1) * n * n));
    const canvases = this.view.findAll(".tile canvas", HTMLCanvasElement);
    tiles.forEach((levels, k) => {
      paint(canvases[k], [n, n], levels);
    });
    const [code, bilinear] = tiles;
    pixels(canvases[3], [n, n], (j) => gapColour((bilinear[j] - code[j]) / 255));
  }

  #drawCut() {
    const { theme, model } = this.view;
    const curves = model.floats("curves");
    const { across, half } = this.#drawn;
    const places = curves.length / 2;
    const x = linear(across - half, across + half);
    const y = { ...linear(LIMITS[0], LIMITS[1]), ticks: [0, 0.5, 1] };
    const plot = new Plot(this.cut, theme, MARGINS, x, y);
    plot.rules();
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      plot.below(x.from(share), tidy(Number(x.from(share).toFixed(3))));
    }
    plot.pen.save();
    plot.pen.beginPath();
    plot.pen.rect(plot.left, 0, plot.width, plot.bottom);
    plot.pen.clip();
    for (const k of [1, 0]) {
      const line = range(places, (j) =>
        plot.spot(x.from(j / (places - 1)), curves[k * places + j]),
      );
      plot.line(line, COLOURS[k], 2.4, DASHES[k]);
    }
    this.#drawPixels(plot);
    plot.pen.restore();
  }

  /** @param {Plot} plot */
  #drawPixels(plot) {
    const columns = this.paper.columns;
    const start = this.view.model.get("row") * columns;
    plot.pen.fillStyle = this.view.theme.fg;
    for (let c = 0; c < columns; c++) {
      const spot = plot.spot(
        (2 * c) / Math.max(columns - 1, 1) - 1,
        this.paper.image[start + c] / 255,
      );
      if (this.#seen[start + c]) plot.pen.fill(circle(spot, 3.4));
      else stroke(plot.pen, circle(spot, 3.4), this.view.theme.fg, 1.4);
    }
  }

  /**
   * Draw everything that changes without the kernel.
   *
   * @param {Event} [event]
   */
  #look(event) {
    if (!this.view.shown || !this.paper.image.length) return;
    this.#drawPaper();
    this.#write();
    this.view.tellDrawn({ resolution: this.#drawn.resolution }, event);
  }

  #draw() {
    if (!this.view.shown || !this.paper.image.length) return;
    this.#look();
    this.#drawTiles();
    this.#drawCut();
  }

  /**
   * @param {Partial<Values>} changes
   * @param {Event} event
   */
  #ask(changes, event) {
    if (!this.view.live) return;
    const values = Object.assign(this.#values, changes);
    const most = Math.max(1 - values.half, 0);
    values.down = clamp(values.down, -most, most);
    values.across = clamp(values.across, -most, most);
    this.#look(event);
    this.requests.ask(values, event);
  }

  #listen() {
    const { view, paper, selects } = this;
    drag(view, paper.element, {
      start: (event) => this.#take(this.#under(event)),
      move: (event) => this.#carry(this.#under(event), event),
      end: () => {
        this.#grip = null;
      },
    });
    view.listen(paper.element, "keydown", (event) => this.#step(event));
    for (const name of /** @type {const} */ (["decoder", "by"])) {
      view.listen(selects[name], "change", (event) =>
        this.#ask({ [name]: selects[name].value }, event),
      );
    }
    for (const name of /** @type {const} */ (["resolution", "half", "share"])) {
      view.listen(selects[name], "change", (event) =>
        this.#ask({ [name]: Number(selects[name].value) }, event),
      );
    }
    view.listen(this.other, "click", (event) => this.#ask({ seed: this.#values.seed + 1 }, event));
    const reset = onReset(view, (event) => this.#ask(view.model.get("defaults"), event));
    needKernel(view, reset);
  }

  /**
   * @param {PointerEvent} event
   * @returns {Spot} position of the pointer, in coordinates of the image
   */
  #under(event) {
    const [across, down] = this.paper.under(event);
    return [(2 * across - 1) * this.#reach, (2 * down - 1) * this.#reach];
  }

  /** @param {Spot} hand position of the pointer; the window jumps to it if it is outside */
  #take([across, down]) {
    const off = [across - this.#values.across, down - this.#values.down];
    const inside = Math.max(Math.abs(off[0]), Math.abs(off[1])) <= this.#values.half;
    this.#grip = inside ? [off[0], off[1]] : [0, 0];
  }

  /**
   * @param {Spot} hand
   * @param {Event} event
   */
  #carry([across, down], event) {
    const [right, below] = this.#grip ?? [0, 0];
    this.#ask({ across: across - right, down: down - below }, event);
  }

  /** @param {KeyboardEvent} event */
  #step(event) {
    const way = ARROWS[event.key];
    if (!way || isShortcut(event)) return;
    event.preventDefault();
    const { across, down, half } = this.#values;
    this.#ask({ across: across + (way[0] * half) / 4, down: down + (way[1] * half) / 4 }, event);
  }
}

export default widgetOf(Siren);
