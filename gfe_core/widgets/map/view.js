// Maps of images that change into each other, and the view between two images. The kernel sends all
// layouts at once; only a new pair A, B is a request.

import "./view.css";
import { onReset, STATE_MARKUP, TITLE_MARKUP, View, widgetOf } from "../kit/base.js";
import { make } from "../kit/dom.js";
import { drag } from "../kit/drag.js";
import { ARROWS, isShortcut } from "../kit/keyboard.js";
import { paint } from "../kit/layers.js";
import { clamp } from "../kit/numbers.js";
import { BETWEEN_MARKUP, Between } from "./between.js";
import { STAGE_MARKUP, Stage } from "./stage.js";
import { tileMarkup } from "./tile.js";

/** @typedef {import("../kit/layers.js").Spot} Spot */

/**
 * The choices of the reader.
 *
 * @typedef {object} Choice
 * @property {number} map
 * @property {number} frame index of the perplexity
 * @property {number} point
 * @property {[number, number]} pair A and B
 * @property {number} step from A to B
 */

/**
 * @typedef {object} Traits
 * @property {string[]} names of the maps
 * @property {string[]} notes
 * @property {number[]} perplexities
 * @property {number} seed
 * @property {DataView} layouts (maps, perplexities, n, 2)
 * @property {DataView} flat (maps, n, 2), by PCA
 * @property {DataView} nearest (maps, n, 5), 16 bits each
 * @property {number[]} labels
 * @property {string[]} class_names
 * @property {DataView} excess (n), energy above the floor
 * @property {number[]} image_shape rows and columns, and 3 in colour
 * @property {DataView} images (n, rows, columns)
 * @property {DataView} drawn (n, rows, columns), from the codes
 * @property {number} choice
 * @property {number} frame
 * @property {number[]} rows row number by which each point is named
 * @property {string} noun word for a point
 * @property {Choice} first
 * @property {[number, number]} pair
 * @property {number} n_mix
 * @property {number[]} mixed pair to which the next three belong
 * @property {DataView} mixes (codes and pixels, n_mix, rows, columns)
 * @property {DataView} curves (3, n_mix)
 * @property {DataView} way (n_mix, 2), or empty if it is straight
 * @property {string} unit
 * @property {string} alt_text
 */

/**
 * A drag from one point to another.
 *
 * @typedef {object} Hand
 * @property {number} start
 * @property {[number, number]} before pair when the drag began
 * @property {number} over point under the pointer, or -1
 * @property {Spot} spot
 * @property {boolean} moved
 */

const SECONDS = 0.6; // from one layout to the next
const N_NEAR = 5;

const MARKUP = `
${TITLE_MARKUP}<div class="controls">
<div class="choices" role="group" aria-label="what is mapped"></div>
<label class="level"><span>perplexity</span>
<input type="range" class="frame" min="0" step="1" aria-label="perplexity"><output></output></label>
</div>${STATE_MARKUP}
<div class="grid"><figure><p class="heading soft of-main"></p>
<div class="stage main" tabindex="0" role="application">${STAGE_MARKUP}</div></figure>
<div><div class="top about"><figure><p class="heading soft">the same points by PCA</p>
<div class="stage side">${STAGE_MARKUP}</div></figure>
<div class="tiles">${tileMarkup("image", "image")}
${tileMarkup("from its code", "reconstruction from its code")}</div></div>
<div class="near"><p class="heading soft">its five nearest in all dimensions; lines lead to them</p>
<div class="row">${tileMarkup("", "a near image").repeat(N_NEAR)}</div></div>
${BETWEEN_MARKUP}
<p class="words" aria-live="polite"></p><p class="caption"></p></div></div>`;

class PointMap {
  /** @type {Choice} */
  #chosen;
  /** @type {Hand | null} */
  #hand = null;
  /** @type {Float32Array} positions of the points, also while they move */
  #now;
  #request = 0;

  /** @param {import("../kit/base.js").Context} context */
  constructor(context) {
    this.view = /** @type {View<Traits>} */ (new View(context, "map", MARKUP));
    const { view } = this;
    const { model } = view;
    this.perplexities = model.get("perplexities");
    this.nMix = model.get("n_mix");
    this.n = model.get("labels").length;
    this.layouts = model.floats("layouts");
    this.flat = model.floats("flat");
    this.excess = model.floats("excess");
    this.nearest = model.words("nearest");
    this.images = model.bytes("images");
    this.drawn = model.bytes("drawn");
    const points = { labels: model.get("labels"), names: model.get("class_names") };
    this.main = new Stage(view, ".main", { points, radii: [62, 5, 8.5] });
    this.side = new Stage(view, ".side", { points, radii: [52, 3.5, 6] });
    this.between = new Between(view, this.nMix);
    this.slider = view.find(".frame", HTMLInputElement);
    this.about = view.find(".about", HTMLElement);
    this.pictures = view.findAll(".tiles canvas", HTMLCanvasElement);
    this.near = view.findAll(".near canvas", HTMLCanvasElement);
    const { map: _, ...first } = model.get("first");
    const [map, frame, pair] = [model.get("choice"), model.get("frame"), model.get("pair")];
    this.#chosen = { ...first, map, frame, pair };
    this.#now = this.#layout.slice();
    this.#build();
    this.#listen();
    view.root.dataset.settled = "true";
    view.follow(() => this.#draw());
    model.onMessage(["mixed"], () => {
      this.between.read();
      this.#look();
    });
    view.onClose(() => cancelAnimationFrame(this.#request));
  }

  #build() {
    const { view, perplexities, nMix } = this;
    const names = view.model.get("names");
    const noun = view.model.get("noun");
    this.slider.max = String(perplexities.length - 1);
    for (const part of [".level", ".about", ".near"]) {
      view.find(part, HTMLElement).hidden = !perplexities.length;
    }
    view.find(".between", HTMLElement).hidden = !nMix;
    const buttons = names.map((name, map) => {
      const button = make("button", { type: "button", class: "button" }, name);
      view.listen(button, "click", () => this.#go({ map }));
      return button;
    });
    const choices = names.length > 1 ? [make("span", {}, "points"), ...buttons] : [];
    view.find(".choices", HTMLElement).replaceChildren(...choices);
    view.write(".tiles p", noun);
    this.pictures[0].ariaLabel = noun;
    view.writeTitle();
    const ends = nMix ? ", a and b set the ends" : "";
    const keys = `Arrow keys go to the next point${ends}.`;
    this.main.element.ariaLabel = `${view.model.get("alt_text")} ${keys}`;
  }

  /**
   * @param {Float32Array} layouts
   * @param {number} k
   */
  #part(layouts, k) {
    return layouts.subarray(k * 2 * this.n, (k + 1) * 2 * this.n);
  }

  get #layout() {
    const { map, frame } = this.#chosen;
    const n = this.perplexities.length;
    return n ? this.#part(this.layouts, map * n + frame) : this.#part(this.flat, map);
  }

  get #side() {
    return this.#part(this.flat, this.#chosen.map);
  }

  get #neighbours() {
    const { map, point } = this.#chosen;
    const start = (map * this.n + point) * N_NEAR;
    return this.nearest.subarray(start, start + N_NEAR);
  }

  /**
   * @param {Uint8Array} images
   * @param {number} k
   */
  #picture(images, k) {
    const size = images.length / this.n;
    return images.subarray(k * size, (k + 1) * size);
  }

  #write() {
    const { view, between, nMix } = this;
    const { model } = view;
    const { map, frame, point, pair, step } = this.#chosen;
    const level = this.perplexities[frame];
    const name = model.get("names")[map];
    const noun = model.get("noun");
    /** @type {(k: number) => number} row of a point: samples without a code are left out */
    const called = (k) => model.get("rows")[k] ?? k;
    this.slider.value = String(frame);
    this.slider.ariaValueText = String(level ?? "");
    view.write(".level output", String(level ?? ""));
    between.write(step);
    view.findAll(".choices button", HTMLElement).forEach((button, k) => {
      button.ariaPressed = String(k === map);
    });
    const straight = between.bent ? "" : ": straight lines stay straight";
    const flat = `${name} by PCA${straight}`;
    view.write(".of-main", level ? `${name}, t-SNE with perplexity ${level}` : flat);
    const t = between.share(step).toFixed(2);
    view.writeState([
      `points ${name}`,
      level && `perplexity ${level}`,
      level && `seed ${model.get("seed")}`,
      `${noun} ${called(point)}`,
      nMix && `A ${called(pair[0])}, B ${called(pair[1])}, t ${t}`,
      nMix && view.answered("energies", " ", between.knows(pair)).trim(),
    ]);
    const of = model.get("class_names")[model.get("labels")[point]];
    const energy = `energy ${this.excess[point].toFixed(4)} above its floor`;
    view.write(".words", `${noun} ${called(point)}, class ${of}: ${energy}`);
    const drag = "Drag from one point to another, or choose a point and press a or b; then move t.";
    if (nMix) between.name(called);
    view.write(".caption", nMix ? drag : model.get("notes")[map]);
  }

  /** Draw the points, and everything that depends on the choices. */
  #draw() {
    if (!this.view.shown) return;
    this.main.drawPoints(this.#now);
    if (!this.about.hidden) this.side.drawPoints(this.#side);
    this.#look();
  }

  /**
   * Draw everything but the points: marks, pictures and words.
   *
   * @param {Event} [event]
   */
  #look(event) {
    if (!this.view.shown) return;
    const { point, pair, step, map, frame } = this.#chosen;
    const { model } = this.view;
    const shape = model.get("image_shape");
    this.#drawMarks(this.main, this.#now);
    if (!this.about.hidden) this.#drawMarks(this.side, this.#side);
    paint(this.pictures[0], shape, this.#picture(this.images, point));
    paint(this.pictures[1], shape, this.#picture(this.drawn, point));
    if (this.nMix) this.between.draw(pair, step, (row) => this.#picture(this.images, row));
    else {
      this.#neighbours.forEach((k, place) => {
        paint(this.near[place], shape, this.#picture(this.images, k));
      });
    }
    this.#write();
    const told = { map: model.get("names")[map], frame, point, pair, step };
    this.view.tellDrawn({ ...told, mixed: model.get("mixed") }, event);
  }

  /**
   * @param {Stage} stage
   * @param {Float32Array} layout
   */
  #drawMarks(stage, layout) {
    const { point, pair, step } = this.#chosen;
    const focused = document.activeElement === this.main.element;
    if (!this.nMix) {
      stage.drawNeighbours(layout, point, this.#neighbours, true);
      return;
    }
    const loose = this.#hand?.moved && this.#hand.over < 0 ? this.#hand.spot : null;
    const ends = [stage.spot(layout, pair[0]), loose ?? stage.spot(layout, pair[1])];
    const pen = this.between.mark(stage, { pair, ends, step });
    if (focused) stage.ring(pen, stage.spot(layout, point));
  }

  /**
   * Move to another layout, starting from the present positions of the points.
   *
   * @param {Partial<Choice>} changes
   */
  #go(changes) {
    Object.assign(this.#chosen, changes);
    if (changes.map !== undefined) this.view.model.send({ choice: changes.map });
    const from = this.#now.slice();
    const since = this.view.calm ? Number.NEGATIVE_INFINITY : performance.now();
    cancelAnimationFrame(this.#request);
    this.#glide(from, since, performance.now());
  }

  /**
   * @param {Float32Array} from
   * @param {number} since
   * @param {number} time
   */
  #glide(from, since, time) {
    const to = this.#layout;
    const share = clamp((time - since) / 1000 / SECONDS, 0, 1);
    const ease = share * share * (3 - 2 * share);
    this.#now = from.map((place, j) => place + (to[j] - place) * ease);
    this.view.root.dataset.settled = String(share === 1);
    this.#draw();
    if (share === 1) return;
    this.#request = requestAnimationFrame((now) => this.#glide(from, since, now));
  }

  #askPair() {
    const { pair } = this.#chosen;
    const { model } = this.view;
    if (this.nMix && String(model.get("pair")) !== String(pair)) model.send({ pair });
  }

  #listen() {
    const { view, slider, between } = this;
    const main = this.main.element;
    view.listen(main, ["pointerdown", "pointermove"], (event) =>
      this.#point(event, this.main.under(event, this.#now).over),
    );
    view.listen(this.side.element, ["pointerdown", "pointermove"], (event) =>
      this.#point(event, this.side.under(event, this.#side).over),
    );
    drag(view, main, {
      start: (event) => this.#take(event),
      move: (event) => this.#carry(event),
      end: () => this.#letGo(),
    });
    view.listen(main, ["focus", "blur"], () => this.#look());
    view.listen(main, "keydown", (event) => this.#press(event));
    view.listen(slider, "input", () => this.#go({ frame: Number(slider.value) }));
    view.listen(slider, "change", () => view.model.send({ frame: this.#chosen.frame }));
    view.listen(between.slider, "input", (event) => {
      this.#chosen.step = Number(between.slider.value);
      this.#look(event);
    });
    onReset(view, () => {
      this.#chosen.pair = view.model.get("first").pair;
      this.#askPair();
      view.model.send({ frame: view.model.get("first").frame });
      this.#go(view.model.get("first"));
    });
  }

  /**
   * @param {Event} event
   * @param {number} over
   */
  #point(event, over) {
    if (over < 0) return;
    this.#chosen.point = over;
    if (!this.#hand) this.#look(event);
  }

  /** @param {PointerEvent} event */
  #take(event) {
    const { over, spot } = this.main.under(event, this.#now);
    if (over < 0 || !this.nMix) return false;
    this.#hand = { start: over, before: this.#chosen.pair, over, spot, moved: false };
    return true;
  }

  /** @param {PointerEvent} event */
  #carry(event) {
    if (!this.#hand) return;
    const { over, spot } = this.main.under(event, this.#now);
    if (over !== this.#hand.start) {
      Object.assign(this.#hand, { moved: true, over, spot });
      this.#chosen.pair = [this.#hand.start, over >= 0 ? over : this.#chosen.pair[1]];
    }
    this.#look(event);
  }

  #letGo() {
    const { pair } = this.#chosen;
    const hand = this.#hand;
    if (hand && (!hand.moved || hand.over < 0 || pair[0] === pair[1])) {
      this.#chosen.pair = hand.before;
    }
    this.#hand = null;
    this.#askPair();
    this.#look();
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const way = ARROWS[event.key];
    const end = ["a", "b"].indexOf(event.key);
    if (isShortcut(event) || !(way || (end >= 0 && this.nMix))) return;
    event.preventDefault();
    const { point, pair } = this.#chosen;
    if (way) this.#chosen.point = this.main.next(this.#now, point, way);
    else if (pair[1 - end] !== point) {
      this.#chosen.pair = end ? [pair[0], point] : [point, pair[1]];
      this.#askPair();
    }
    this.#look(event);
  }
}

export default widgetOf(PointMap);
