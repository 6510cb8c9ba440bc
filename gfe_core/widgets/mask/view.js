// An image on which the reader paints missing pixels, which are drawn at once. If the model has
// `names`, these are pictures in the kernel's answer, and panels beside the image draw them.

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
import { drag } from "../kit/drag.js";
import { ARROWS, isShortcut } from "../kit/keyboard.js";
import { stroke } from "../kit/layers.js";
import { NO_BYTES } from "../kit/model.js";
import { clamp } from "../kit/numbers.js";
import { PAPER_MARKUP, Paper } from "../kit/paper.js";
import { Requests } from "../kit/requests.js";
import { STRIP_MARKUP, Strip } from "../kit/strip.js";
import { dab, READY } from "./masks.js";
import { PANELS_MARKUP, Panels } from "./panels.js";

/** @typedef {{ seed: number, sample?: number, prior?: boolean }} Values */

/**
 * @typedef {import("../kit/strip.js").Thumbnails & OwnTraits} Traits
 *
 * @typedef {object} OwnTraits
 * @property {DataView} image (rows, columns)
 * @property {number[]} image_shape rows and columns, and 3 in colour
 * @property {DataView} mask (rows, columns), 1 where visible
 * @property {number} brush initial width in pixels
 * @property {number} n_samples
 * @property {Values} values
 * @property {Values & { hidden: number[] }} first state that Reset restores
 * @property {string} facts
 * @property {string} title
 * @property {string} caption
 * @property {string} alt_text
 * @property {Record<string, unknown>} request
 * @property {number} reply
 * @property {string[]} names of the pictures in the panels, to which the following traits belong
 * @property {string[]} notes
 * @property {string[]} palettes
 * @property {DataView} tiles (names, rows, columns)
 * @property {DataView} draws (n, rows, columns)
 * @property {DataView} ground (codes, 2), as the next two
 * @property {DataView} cloud
 * @property {DataView} marks
 * @property {number[]} extent
 */

const PAINTER = /** @type {const} */ ([
  ...["image", "image_shape", "mask", "n_samples", "values", "facts", "title", "caption", "brush"],
  "reply",
]);
const PANELS = /** @type {const} */ ([
  ...["names", "notes", "palettes", "tiles", "draws", "ground", "cloud", "marks", "extent"],
]);
const REST = 100; // ms between requests while the reader paints

/** @param {string} panels */
const markup = (panels) => `
${TITLE_MARKUP}${STRIP_MARKUP}<div class="controls"><label class="priors"><input type="checkbox" class="prior">prior</label>
${panels && '<label><input type="checkbox" class="truth">show the truth</label>'}</div>
${ASKING_MARKUP}
<div class="grid"><figure><p class="heading soft">paint what is missing</p>
${PAPER_MARKUP}
<div class="tools" role="group" aria-label="tool">
<button type="button" class="button" data-tool="brush">brush</button>
<button type="button" class="button" data-tool="eraser">eraser</button>
<label>size<input type="range" class="brush" min="1" step="1" aria-label="brush size in pixels">
<output></output></label></div>
<div class="tools" role="group" aria-label="ready masks">
<button type="button" class="button" data-mask="clear">clear</button>
<button type="button" class="button" data-mask="half">left half</button>
<button type="button" class="button" data-mask="random">random 75 %</button></div>
<p class="where soft" role="status"></p></figure>
${panels}</div>${CAPTION_MARKUP}`;

class MaskPainter {
  #mask = NO_BYTES;
  /** @type {Values} */
  #values;
  #brush;
  #erases = false;
  #thrown = false; // whether the random mask of this seed has been shown
  #cursor = [0.5, 0.5]; // row and column
  #over = false;
  #answeredFor = "";
  /** @type {number[] | null} last position of the pointer that paints */
  #stroke = null;

  /** @param {import("../kit/base.js").Context} context */
  constructor(context) {
    const wide = Boolean(context.model.get("names")?.length);
    this.view = /** @type {View<Traits>} */ (
      new View(context, "mask", markup(wide ? PANELS_MARKUP : ""))
    );
    const { view } = this;
    const { model } = view;
    this.panels = wide ? new Panels(view) : null;
    this.paper = new Paper(view);
    this.strip = new Strip(view, (sample, event) => this.#turnTo(sample, event));
    this.strip.build();
    this.prior = view.find(".prior", HTMLInputElement);
    this.size = view.find("input.brush", HTMLInputElement);
    this.requests = new Requests(view, {
      patience: 400,
      rest: REST,
      traits: () => ({ mask: new DataView(this.#mask.slice().buffer) }),
    });
    const first = model.get("values");
    this.#values = { ...first };
    this.#brush = model.get("brush");
    this.#mask = model.bytes("mask").slice();
    this.#answeredFor = this.#asked;
    this.#listen();
    this.#read();
    view.follow(() => {
      this.#draw();
      this.panels?.draw();
    });
    model.onMessage([...PAINTER, ...(wide ? PANELS : [])], (changed) => this.#answered(changed));
  }

  /** @param {Set<string>} changed */
  #answered(changed) {
    const { model } = this.view;
    const waits = Boolean(this.requests.waiting);
    if (changed.has("mask") && !this.#stroke && !waits) {
      this.#mask = model.bytes("mask").slice();
    }
    if (changed.has("values") && !waits) Object.assign(this.#values, model.get("values"));
    if (changed.has("brush")) this.#brush = model.get("brush");
    if (changed.has("reply")) this.requests.acknowledge();
    const { pending, waiting } = this.requests;
    if (!pending && !waiting) this.#answeredFor = this.#asked;
    this.#read();
    this.#draw();
    this.panels?.draw();
  }

  /** The content of a request as text: the mask and the values. */
  get #asked() {
    const { seed, sample, prior } = this.#values;
    return [this.#mask, seed, sample, prior].join();
  }

  #read() {
    const { model } = this.view;
    const keys = "Arrow keys move, space paints; with shift the arrows paint on their way.";
    this.paper.read();
    this.paper.element.style.aspectRatio = `${this.paper.columns} / ${this.paper.rows}`;
    this.size.max = String(Math.ceil(this.paper.rows / 2));
    this.view.find(".priors", HTMLElement).hidden = !("prior" in this.#values);
    this.view.writeTitle();
    this.paper.element.ariaLabel = `${model.get("alt_text")} ${keys}`;
    this.view.write(".caption", model.get("caption"));
  }

  #write() {
    const { sample, seed, prior } = this.#values;
    const n = this.#mask.length;
    const seen = this.#mask.reduce((sum, one) => sum + one, 0);
    const share = Math.round((100 * seen) / Math.max(n, 1));
    const facts = this.view.model.get("facts");
    const last = this.view.model.get("n_samples") - 1;
    this.strip.show(last ? sample : undefined, last);
    this.prior.checked = Boolean(prior);
    this.size.value = String(this.#brush);
    this.view.write(".brush + output", String(this.#brush));
    this.view.writeState([
      sample !== undefined && `sample ${sample}`,
      `seed ${seed}`,
      prior !== undefined && `prior ${prior ? "on" : "off"}`,
      `observed ${seen} of ${n} pixels (${share} %)`,
      this.view.answered("energy", facts, this.#asked === this.#answeredFor),
    ]);
    for (const button of this.view.findAll("[data-tool]", HTMLElement)) {
      button.ariaPressed = String((button.dataset.tool === "eraser") === this.#erases);
    }
    this.view.write(".where", this.#focused ? this.#placeInWords() : "");
    this.view.root.dataset.seen = String(seen);
  }

  get #focused() {
    return document.activeElement === this.paper.element;
  }

  #placeInWords() {
    const [row, column] = this.#cursor.map(Math.floor);
    const state = this.#mask[row * this.paper.columns + column] ? "seen" : "hidden";
    return `row ${row + 1}, column ${column + 1}: ${state}`;
  }

  /** @param {Event} [event] that the drawing follows */
  #draw(event) {
    const { rows, columns } = this.paper;
    const edge = (/** @type {number[]} */ ...[k, n, size]) => (size * k) / n;
    const { pen, width, height } = this.paper.draw(this.#mask, edge);
    if (this.#over || this.#focused) this.#drawBrush(pen, width / columns, height / rows);
    this.#write();
    this.view.tellDrawn({}, event);
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {number} wide width of a pixel of the image on the paper
   * @param {number} tall
   */
  #drawBrush(pen, wide, tall) {
    const [row, column] = this.#cursor;
    const outline = new Path2D();
    const radius = this.#brush / 2;
    if (this.#brush > 1) {
      outline.ellipse(column * wide, row * tall, radius * wide, radius * tall, 0, 0, 2 * Math.PI);
    } else outline.rect(Math.floor(column) * wide, Math.floor(row) * tall, wide, tall);
    stroke(pen, outline, "#fff", 4);
    stroke(pen, outline, "#1d1e22", 1.8);
  }

  /** @param {number[]} spot row and column */
  #dab(spot) {
    dab(this.#mask, this.paper.columns, spot, this.#brush, this.#erases ? 1 : 0);
  }

  /**
   * Paint from the last position of the pointer to the present one.
   *
   * @param {number[]} to
   */
  #paintTo(to) {
    const from = this.#stroke ?? to;
    const way = [to[0] - from[0], to[1] - from[1]];
    const n = Math.ceil(2 * Math.hypot(way[0], way[1])) || 1;
    for (let k = 1; k <= n; k++)
      this.#dab([from[0] + (way[0] * k) / n, from[1] + (way[1] * k) / n]);
    this.#stroke = to;
  }

  /**
   * @param {Event} event
   * @param {boolean} held whether the drag goes on
   */
  #ask(event, held) {
    this.requests.ask(this.#values, event, { held });
  }

  #listen() {
    this.#listenToPaper();
    const { view, prior, size } = this;
    for (const button of view.findAll("[data-mask]", HTMLElement)) {
      view.listen(button, "click", (event) => this.#replace(String(button.dataset.mask), event));
    }
    for (const button of view.findAll("[data-tool]", HTMLElement)) {
      view.listen(button, "click", () => {
        this.#erases = button.dataset.tool === "eraser";
        this.#write();
      });
    }
    view.listen(size, "input", () => {
      this.#brush = Number(size.value);
      this.#draw();
    });
    view.listen(prior, "change", (event) => {
      this.#values.prior = prior.checked;
      this.#write();
      this.#ask(event, false);
    });
    onReset(view, (event) => this.#reset(event));
    needKernel(view, prior);
  }

  /**
   * @param {number} sample
   * @param {Event} event
   */
  #turnTo(sample, event) {
    this.#values.sample = sample;
    this.#write();
    this.#ask(event, false);
  }

  #listenToPaper() {
    const { view } = this;
    const paper = this.paper.element;
    view.listen(paper, ["pointerdown", "pointermove"], (event) => {
      this.#cursor = this.#under(event);
      this.#over = true;
      if (!this.#stroke) this.#draw(event);
    });
    drag(view, paper, {
      move: (event) => {
        this.#paintTo(this.#cursor);
        this.#ask(event, true);
        this.#draw(event);
      },
      end: (event) => {
        this.#stroke = null;
        this.#ask(event, false);
      },
    });
    view.listen(paper, "pointerleave", () => {
      this.#over = false;
      this.#draw();
    });
    view.listen(paper, ["focus", "blur"], () => this.#draw());
    view.listen(paper, "keydown", (event) => this.#step(event));
  }

  /** @param {PointerEvent} event */
  #under(event) {
    const at = this.paper.under(event);
    return [at[1] * this.paper.rows, at[0] * this.paper.columns];
  }

  /** @param {KeyboardEvent} event */
  #step(event) {
    const paints = event.key === " ";
    const way = paints ? [0, 0] : ARROWS[event.key];
    if (!way || isShortcut(event)) return;
    event.preventDefault();
    const [row, column] = this.#cursor.map(Math.floor);
    const { rows, columns } = this.paper;
    this.#cursor = [
      clamp(row + way[1], 0, rows - 1) + 0.5,
      clamp(column + way[0], 0, columns - 1) + 0.5,
    ];
    if (paints || event.shiftKey) {
      this.#dab(this.#cursor);
      this.#ask(event, event.repeat);
    }
    this.#draw(event);
  }

  /**
   * @param {string} name of a ready mask
   * @param {Event} event
   */
  #replace(name, event) {
    if (name === "random") {
      if (this.#thrown) this.#values.seed += 1; // another press, another mask
      this.#thrown = true;
    }
    READY[name](this.#mask, this.paper.columns, this.#values.seed);
    this.#ask(event, false);
    this.#draw(event);
  }

  /** @param {Event} event */
  #reset(event) {
    const { hidden, ...first } = this.view.model.get("first");
    this.#mask.fill(1);
    for (const j of hidden) this.#mask[j] = 0;
    Object.assign(this.#values, first);
    this.#brush = this.view.model.get("brush");
    this.#erases = this.#thrown = false;
    this.panels?.reset();
    this.#ask(event, false);
    this.#draw(event);
    this.panels?.draw();
  }
}

export default widgetOf(MaskPainter);
