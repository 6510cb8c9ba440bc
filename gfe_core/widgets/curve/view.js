// A point beside the curve that a decoder with one latent draws, and the energy of its code. The
// engine follows the flow here, so that the reader can move the point and the start.

import "./view.css";
import {
  CAPTION_MARKUP,
  onReset,
  STATE_MARKUP,
  TITLE_MARKUP,
  View,
  widgetOf,
} from "../kit/base.js";
import { sign, strokeSign } from "../kit/dom.js";
import { drag, spotIn } from "../kit/drag.js";
import { Energy, follow } from "../kit/flow.js";
import { ARROWS, isShortcut } from "../kit/keyboard.js";
import { circle, stroke } from "../kit/layers.js";
import { COLOURS } from "../kit/look.js";
import { MENU_MARKUP, Menu, usualItems } from "../kit/menu.js";
import { clamp, range, tidy } from "../kit/numbers.js";
import { Plot } from "../kit/plot.js";
import { linear } from "../kit/scales.js";
import { Transport, transportMarkup } from "../kit/transport.js";

/** @typedef {import("../kit/layers.js").Spot} Spot */

/**
 * @typedef {object} Traits
 * @property {import("../kit/flow.js").Portable["layers"]} layers
 * @property {DataView} weights
 * @property {import("../kit/flow.js").Portable["loss"]} loss
 * @property {import("../kit/flow.js").Recipe} recipe
 * @property {Spot} codes lowest and highest code that is shown
 * @property {Spot} side lowest and highest coordinate of the plane
 * @property {Spot} point
 * @property {number} start
 * @property {{ point: Spot, start: number }} defaults
 * @property {number} frame
 * @property {boolean} playing
 * @property {string} note
 */

const MARGINS = { left: 40, right: 12, top: 10, bottom: 22 };
const PLACES = 241; // points of a curve
const NUDGE = 1 / 50; // share of a side that a key moves
const FRAMES_PER_SECOND = 16;
const FLOW = COLOURS[4]; // the colour of RK4, which follows the flow
const CROSS = "M8 1 16 9M16 1 8 9";

const MARKUP = `
<div class="head">${TITLE_MARKUP}${MENU_MARKUP}</div>${STATE_MARKUP}
<div class="grid"><figure><p class="heading soft">the plane: drag the data point x</p>
<div class="layers plane"><canvas role="img" tabindex="0"></canvas></div></figure>
<figure><p class="heading soft">the energy E(z) of this point: drag the start</p>
<div class="layers heights"><canvas role="img" tabindex="0"></canvas></div>
<p class="key"><span>${sign('<circle cx="13" cy="5" r="4.5" fill="var(--fg)"/>')}data point x</span>
<span>${sign(`<circle cx="13" cy="5" r="4.5" fill="${FLOW}"/>`)}D(z), and its energy</span>
<span>${strokeSign("var(--soft)")}all D(z)</span>
<span>${sign(`<path d="${CROSS}" stroke="var(--fg)" stroke-width="2"/>`)}start</span></p></figure></div>
${transportMarkup("step")}${CAPTION_MARKUP}`;

class Curve {
  /** @type {import("../kit/flow.js").Attempt[]} */
  #path = [];
  /** @type {Spot} */
  #point = [0, 0];
  #start = 0;

  /** @param {import("../kit/base.js").Context} context */
  constructor(context) {
    this.view = /** @type {View<Traits>} */ (new View(context, "curve", MARKUP));
    const { view } = this;
    const { model } = view;
    this.plane = view.find(".plane canvas", HTMLCanvasElement);
    this.chart = view.find(".heights canvas", HTMLCanvasElement);
    const [low, high] = model.get("codes");
    this.codes = range(PLACES, (k) => low + ((high - low) * k) / (PLACES - 1));
    this.#read();
    this.transport = new Transport(view, {
      frames: () => this.#path.length,
      rate: () => FRAMES_PER_SECOND,
      draw: (event) => this.#draw(event),
    });
    this.transport.stand();
    this.menu = new Menu(view, usualItems(view));
    view.writeTitle();
    this.plane.ariaLabel = "the data point and the curve: arrow keys move the point";
    this.chart.ariaLabel = "energy against code: arrow keys move the start";
    view.writeNote();
    this.#listen();
    view.follow(() => this.#draw());
    model.onMessage(["point", "start"], () => {
      this.#read();
      this.#draw();
    });
    this.transport.open();
  }

  #read() {
    const { model } = this.view;
    this.#point = model.get("point");
    this.#start = model.get("start");
    this.#follow();
  }

  /** Follow the flow of the point from the start. */
  #follow() {
    const { model } = this.view;
    const { layers, weights, loss } = this.#portable;
    this.energy = new Energy({ layers, weights, loss }, this.#point);
    this.#path = [...follow(this.energy, Float64Array.of(this.#start), model.get("recipe"))];
    this.heights = this.codes.map((z) => this.#at(z));
    this.curve = this.codes.map((z) => this.#drawn(z));
  }

  get #portable() {
    const { model } = this.view;
    return {
      layers: model.get("layers"),
      weights: model.get("weights"),
      loss: model.get("loss"),
    };
  }

  /** @param {number} z */
  #at(z) {
    return this.energy?.at(Float64Array.of(z)) ?? 0;
  }

  /**
   * @param {number} z
   * @returns {Spot} D(z)
   */
  #drawn(z) {
    const [x, y] = this.energy?.mean(Float64Array.of(z)) ?? [0, 0];
    return [x, y];
  }

  get #frame() {
    return clamp(Math.floor(this.transport.frame), 0, this.transport.last);
  }

  /** @param {Event} [event] */
  #draw(event) {
    if (!this.view.shown || !this.#path.length) return;
    const seen = this.#path.slice(0, this.#frame + 1).map(({ z }) => z[0]);
    this.#drawPlane(seen);
    this.#drawChart(seen);
    this.#write(seen[seen.length - 1]);
    this.transport.write();
    this.view.tellDrawn({ frame: this.#frame, code: seen[seen.length - 1].toFixed(4) }, event);
  }

  /** @param {number} z */
  #write(z) {
    const [x, y] = this.#drawn(z);
    const away = Math.hypot(x - this.#point[0], y - this.#point[1]);
    const [low, high] = this.view.model.get("codes");
    const beyond = z < low || z > high;
    this.view.writeState([
      `x = (${this.#point.map((one) => tidy(one, 2)).join(", ")})`,
      `start z = ${tidy(this.#start, 2)}`,
      `now z = ${tidy(z)}`,
      `distance of D(z) from x: ${tidy(away)}`,
      beyond && "beyond the right figure: the end of the curve is near, and z runs on",
    ]);
  }

  /** @param {number[]} seen codes so far */
  #drawPlane(seen) {
    const [low, high] = this.view.model.get("side");
    const { theme } = this.view;
    const plot = new Plot(this.plane, theme, MARGINS, linear(low, high), linear(low, high));
    const spots = (/** @type {Spot[]} */ points) => points.map(([x, y]) => plot.spot(x, y));
    const trail = spots(seen.map((z) => this.#drawn(z)));
    const here = trail[trail.length - 1];
    const point = plot.spot(...this.#point);
    plot.rules();
    plot.numbers("");
    plot.line(spots(this.curve ?? []), theme.soft, 2);
    plot.line([point, here], theme.soft, 1.2, [4, 4]);
    plot.line(trail, FLOW, 4);
    stroke(plot.pen, crossAt(trail[0]), theme.fg, 2);
    this.#dot(plot, point, theme.fg, 7);
    this.#dot(plot, here, FLOW, 7);
  }

  /** @param {number[]} seen */
  #drawChart(seen) {
    const { theme } = this.view;
    const heights = this.heights ?? [];
    const x = linear(...this.view.model.get("codes"), 6);
    const y = linear(0, 1.06 * Math.max(...heights));
    const plot = new Plot(this.chart, theme, MARGINS, x, y);
    const spots = (/** @type {number[]} */ codes) => codes.map((z) => plot.spot(z, this.#at(z)));
    plot.rules();
    plot.numbers("code z");
    plot.line(spots(this.codes), theme.soft, 2);
    plot.pen.save();
    plot.pen.beginPath();
    plot.pen.rect(plot.left - 8, 0, plot.right - plot.left + 16, plot.height);
    plot.pen.clip();
    const trail = spots(seen);
    plot.line(trail, FLOW, 4);
    stroke(plot.pen, crossAt(trail[0]), theme.fg, 2);
    this.#dot(plot, trail[trail.length - 1], FLOW, 7);
    plot.pen.restore();
  }

  /**
   * @param {Plot} plot
   * @param {Spot} spot
   * @param {string} ink
   * @param {number} radius
   */
  #dot({ pen }, spot, ink, radius) {
    pen.fillStyle = ink;
    pen.fill(circle(spot, radius));
    stroke(pen, circle(spot, radius), this.view.theme.bg, 2);
  }

  /**
   * Move the point or the start, and show where its flow ends.
   *
   * @param {{ point?: Spot, start?: number }} moved
   * @param {Event} event
   */
  #move({ point = this.#point, start = this.#start }, event) {
    const [low, high] = this.view.model.get("side");
    const [from, to] = this.view.model.get("codes");
    this.#point = [clamp(point[0], low, high), clamp(point[1], low, high)];
    this.#start = clamp(start, from, to);
    this.#follow();
    this.transport.move(this.transport.last, event);
  }

  #tell() {
    this.view.model.send({ point: this.#point, start: this.#start });
  }

  /** Play the flow from its start, or show its end to a reader who prefers reduced motion. */
  #release() {
    this.#tell();
    if (this.view.calm) return;
    this.transport.frame = 0;
    this.transport.setPlaying(true);
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {PointerEvent} event
   * @returns {Spot} position of the pointer, as shares of the chart's width and height
   */
  #under(canvas, event) {
    const [x, y] = spotIn(event, canvas);
    const width = canvas.clientWidth - MARGINS.left - MARGINS.right;
    const height = canvas.clientHeight - MARGINS.top - MARGINS.bottom;
    return [(x - MARGINS.left) / width, 1 - (y - MARGINS.top) / height];
  }

  #listen() {
    const { view, plane, chart } = this;
    const { model } = view;
    const on = (/** @type {Spot} */ [low, high], /** @type {number} */ share) =>
      low + (high - low) * share;
    drag(view, plane, {
      move: (event) => {
        const [x, y] = this.#under(plane, event);
        this.#move({ point: [on(model.get("side"), x), on(model.get("side"), y)] }, event);
      },
      end: () => this.#release(),
    });
    drag(view, chart, {
      move: (event) => {
        this.#move({ start: on(model.get("codes"), this.#under(chart, event)[0]) }, event);
      },
      end: () => this.#release(),
    });
    view.listen(plane, "keydown", (event) => this.#step(event, true));
    view.listen(chart, "keydown", (event) => this.#step(event, false));
    onReset(view, (event) => {
      this.#move(model.get("defaults"), event);
      this.#release();
    });
  }

  /**
   * @param {KeyboardEvent} event
   * @param {boolean} ofPoint whether the key moves the point; otherwise it moves the start
   */
  #step(event, ofPoint) {
    const arrow = ARROWS[event.key];
    if (!arrow || isShortcut(event)) return;
    event.preventDefault();
    const size = (/** @type {Spot} */ [low, high]) => NUDGE * (high - low);
    const { model } = this.view;
    const [x, y] = this.#point;
    const far = size(model.get("side"));
    if (ofPoint) this.#move({ point: [x + far * arrow[0], y - far * arrow[1]] }, event);
    else this.#move({ start: this.#start + size(model.get("codes")) * arrow[0] }, event);
    this.#tell();
  }
}

/** @param {Spot} spot */
const crossAt = ([x, y]) =>
  `M${x - 6} ${y - 6}L${x + 6} ${y + 6}M${x + 6} ${y - 6}L${x - 6} ${y + 6}`;

export default widgetOf(Curve);
