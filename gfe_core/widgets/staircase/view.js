// Closing gates above the error and its threshold, which the reader moves while the kernel trains.
// The threshold moves here at once, and a request sends it to the kernel.

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
import { drag, spotIn } from "../kit/drag.js";
import { circle } from "../kit/layers.js";
import { COLOURS, DASHES } from "../kit/look.js";
import { NO_BYTES, NO_FLOATS } from "../kit/model.js";
import { clamp, range, tidy } from "../kit/numbers.js";
import { Plot } from "../kit/plot.js";
import { Requests } from "../kit/requests.js";
import { linear, linearTicks, logarithmic } from "../kit/scales.js";

/** @typedef {import("../kit/layers.js").Spot} Spot */

/**
 * @typedef {object} Values
 * @property {number} threshold
 * @property {boolean} running
 * @property {boolean} fresh whether a new run begins with new weights
 * @property {number} start number of the run; another number begins another run
 */

/**
 * @typedef {object} Traits
 * @property {DataView} lines (5, points): updates, open gates, error, threshold, multiplier
 * @property {DataView} gates (gates, points): probabilities, 255 is 1
 * @property {number} n_gates
 * @property {boolean} running
 * @property {[number, number]} limits of the threshold
 * @property {string} unit
 * @property {number} seed
 * @property {Values} values
 * @property {string} note
 * @property {Record<string, unknown>} request
 * @property {number} reply
 */

const MARGINS = { left: 56, right: 14, top: 8, bottom: 20 };
const STAIRS = 92; // pixels from the top to the foot of the staircase; the gates are below it
const STEPS = 200; // number of steps of the slider
const GATES = "open gates, and below them each gate's probability to be open: blue is 1";
const MULTIPLIER = "λ, the weight of the error against everything else";

/**
 * @param {string} name
 * @param {string} label
 */
const chartMarkup = (name, label) => `<figure class="${name}"><p class="heading soft">${label}</p>
<div class="layers"><canvas role="img" aria-label="${label}"></canvas></div></figure>`;

const MARKUP = `
${TITLE_MARKUP}<div class="controls">
<label>threshold <input type="range" class="threshold" min="0" max="${STEPS}" step="1"
aria-label="threshold"><output></output></label>
<span><button type="button" class="button train"></button> <button type="button"
class="button anew" title="Fresh weights, open gates, this threshold">Start again</button></span></div>
${ASKING_MARKUP}
${chartMarkup("gates", GATES)}${chartMarkup("error", "")}${chartMarkup("multiplier", MULTIPLIER)}
${CAPTION_MARKUP}`;

/** @param {number} value */
const known = (value) => (Number.isFinite(value) ? tidy(value) : "–");

/**
 * @param {Spot[]} spots
 * @returns {Spot[]} line that first goes sideways and then up or down
 */
const stairs = (spots) =>
  spots.flatMap((spot, k) =>
    k ? [/** @type {Spot} */ ([spot[0], spots[k - 1][1]]), spot] : [spot],
  );

class Staircase {
  #lines = range(5, () => NO_FLOATS);
  #gates = NO_BYTES;
  #held = false;
  /** @type {Values} */
  #values;
  /** @type {Plot | null} chart of the error, in which the reader drags the threshold */
  #plot = null;

  /** @param {import("../kit/base.js").Context} context */
  constructor(context) {
    this.view = /** @type {View<Traits>} */ (new View(context, "staircase", MARKUP));
    const { view } = this;
    this.#values = { ...view.model.get("values") };
    this.first = this.#values.threshold;
    this.thresholds = logarithmic(...view.model.get("limits"));
    this.slider = view.find("input.threshold", HTMLInputElement);
    this.train = view.find(".train", HTMLButtonElement);
    this.anew = view.find(".anew", HTMLButtonElement);
    this.gateChart = view.find(".gates canvas", HTMLCanvasElement);
    this.errorChart = view.find(".error canvas", HTMLCanvasElement);
    this.multiplierChart = view.find(".multiplier canvas", HTMLCanvasElement);
    this.requests = new Requests(view, { patience: 600 });
    this.#build();
    this.#listen();
    this.#read();
    view.follow(() => this.#draw());
    view.model.onMessage(["lines", "gates", "running", "values", "note", "reply"], () => {
      this.#read();
      this.#draw();
    });
  }

  #build() {
    const { live, model } = this.view;
    const heading = `moving average of the ${model.get("unit")}; dashed: the threshold at the time`;
    this.view.writeTitle();
    this.view.write(".error .heading", live ? `${heading}; drag it` : heading);
    this.errorChart.ariaLabel = heading;
  }

  /** Number of recorded points. */
  get #n() {
    return this.#lines[0].length;
  }

  #read() {
    const { model, root } = this.view;
    const flat = model.floats("lines");
    const n = flat.length / 5;
    this.#lines = range(5, (k) => flat.subarray(k * n, (k + 1) * n));
    this.#gates = model.bytes("gates");
    const told = { ...model.get("values") };
    if (!this.requests.pending && !this.#held) this.#values = told;
    else this.#values.start = Math.max(this.#values.start, told.start);
    this.view.writeNote();
    root.dataset.updates = String(n ? this.#last(0) : 0);
    root.dataset.running = String(model.get("running"));
    root.dataset.open = String(this.#open);
    const asked = this.requests.pending;
    this.requests.acknowledge();
    if (asked && !this.requests.pending) this.#values = told;
  }

  /** @param {number} line */
  #last(line) {
    return this.#n ? this.#lines[line][this.#n - 1] : Number.NaN;
  }

  get #open() {
    return this.#n ? this.#last(1) : this.view.model.get("n_gates");
  }

  #write() {
    const { model, root } = this.view;
    const { threshold, running } = this.#values;
    this.slider.value = String(Math.round(STEPS * this.thresholds.at(threshold)));
    this.slider.ariaValueText = known(threshold);
    this.view.write(".threshold + output", known(threshold));
    this.train.textContent = running ? "Pause" : "Train on";
    root.dataset.threshold = String(threshold);
    const again = this.#values.start !== model.get("values").start;
    if (again) return this.view.writeState([`threshold ${known(threshold)}`, "another run …"]);
    const limit = this.#last(2) <= threshold ? ", within" : ", above";
    const words = [
      `threshold ${known(threshold)}`,
      `${this.#open} of ${model.get("n_gates")} gates open`,
      `update ${this.#n ? this.#last(0).toLocaleString("en") : 0}`,
      `error ${known(this.#last(2))}${this.#n ? limit : ""}`,
      `λ ${known(this.#last(4))}`,
      `seed ${model.get("seed")}`,
    ];
    this.view.writeState(words);
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("../kit/scales.js").Scale} y
   * @param {number} [foot] lower end of the chart, if something else is drawn below it
   */
  #chart(canvas, y, foot) {
    const x = linear(0, this.#n ? this.#last(0) : 1, 6);
    const plot = new Plot(canvas, this.view.theme, MARGINS, x, y);
    if (foot) plot.bottom = foot;
    plot.rules();
    if (!foot && this.#n) for (const u of x.ticks) plot.below(u, u.toLocaleString("en"));
    return plot;
  }

  /**
   * @param {Plot} plot
   * @param {number} line
   * @returns {Spot[]}
   */
  #spots(plot, line) {
    const values = this.#lines[line];
    const spots = range(this.#n, (k) => plot.spot(this.#lines[0][k], values[k]));
    return spots.filter(([x, y]) => Number.isFinite(x + y));
  }

  #drawGates() {
    const { accent } = this.view.theme;
    const m = this.view.model.get("n_gates");
    const y = { ...linear(0, 1.04 * m), ticks: linearTicks(0, m, 4) };
    const plot = this.#chart(this.gateChart, y, STAIRS);
    plot.line(stairs(this.#spots(plot, 1)), accent, 2.6);
    const top = STAIRS + 14;
    const tall = (plot.height - top - 6) / m;
    for (let gate = 0; gate < m; gate++) this.#drawGate(plot, gate, top + gate * tall, tall);
    plot.pen.globalAlpha = 1;
    plot.pen.fillStyle = this.view.theme.soft;
    for (const gate of [0, m - 1]) {
      const middle = top + (gate + 0.5) * tall;
      plot.write(`gate ${gate}`, [plot.left - 8, middle], "right", "middle");
    }
  }

  /**
   * @param {Plot} plot
   * @param {number} gate
   * @param {number} y
   * @param {number} tall
   */
  #drawGate(plot, gate, y, tall) {
    const { pen } = plot;
    const thick = Math.max(tall - (tall > 4 ? 1.5 : 0.5), 1);
    pen.globalAlpha = 0.35;
    pen.fillStyle = this.view.theme.rule;
    pen.fillRect(plot.left, y, plot.right - plot.left, thick);
    pen.fillStyle = this.view.theme.accent;
    let from = Math.round(plot.spot(0, 0)[0]); // whole pixels, so that there are no seams
    for (let k = 0; k < this.#n; k++) {
      const to = Math.round(plot.spot(this.#lines[0][k], 0)[0]);
      pen.globalAlpha = this.#gates[gate * this.#n + k] / 255;
      pen.fillRect(from, y, to - from, thick);
      from = to;
    }
  }

  #drawError() {
    const { theme, model } = this.view;
    const errors = this.#lines[2].filter((error) => error > 0);
    const limits = [...model.get("limits"), ...errors];
    const y = logarithmic(Math.min(...limits), Math.max(...limits));
    const plot = this.#chart(this.errorChart, y);
    this.#plot = plot;
    plot.line(stairs(this.#spots(plot, 3)), COLOURS[1], 2, DASHES[1]);
    plot.line(this.#spots(plot, 2), theme.accent, 2.4);
    this.#drawThreshold(plot);
  }

  /** @param {Plot} plot */
  #drawThreshold(plot) {
    const { fg } = this.view.theme;
    const { threshold } = this.#values;
    const [, y] = plot.spot(0, threshold);
    const high = y < 30;
    plot.level(threshold, fg, this.#held ? 2.4 : 1.2);
    plot.pen.fillStyle = fg;
    const words = `threshold now ${known(threshold)}`;
    plot.write(words, [plot.right - 2, y + (high ? 4 : -3)], "right", high ? "top" : "bottom");
    plot.pen.fill(circle([plot.left, y], 5));
  }

  #drawMultiplier() {
    const values = [1, ...this.#lines[4].filter((value) => value > 0)];
    const y = logarithmic(Math.min(...values) / 1.3, Math.max(...values) * 1.3);
    const plot = this.#chart(this.multiplierChart, y);
    plot.line(this.#spots(plot, 4), this.view.theme.fg, 1.6);
  }

  /**
   * Draw everything that changes with the threshold.
   *
   * @param {Event} [event]
   */
  #look(event) {
    if (!this.view.shown) return;
    this.#write();
    this.#drawError();
    this.view.tellDrawn({}, event);
  }

  #draw() {
    if (!this.view.shown) return;
    this.#look();
    this.#drawGates();
    this.#drawMultiplier();
  }

  /**
   * @param {Partial<Values>} changes
   * @param {Event} event
   */
  #ask(changes, event) {
    if (!this.view.live) return;
    Object.assign(this.#values, changes);
    this.#look(event);
    this.requests.ask(this.#values, event);
  }

  #listen() {
    const { view, slider, errorChart } = this;
    view.listen(slider, "input", (event) => this.#moveTo(Number(slider.value) / STEPS, event));
    drag(view, errorChart, {
      start: () => {
        this.#held = view.live;
        return view.live;
      },
      move: (event) => this.#drag(event),
      end: () => {
        this.#held = false;
        this.#look();
      },
    });
    view.listen(this.train, "click", (event) =>
      this.#ask({ running: !this.#values.running }, event),
    );
    view.listen(this.anew, "click", (event) => this.#begin({ running: true, fresh: true }, event));
    const reset = onReset(view, (event) =>
      this.#begin({ threshold: this.first, running: false, fresh: false }, event),
    );
    needKernel(view, slider, this.train, this.anew, reset);
  }

  /**
   * @param {Partial<Values>} changes
   * @param {Event} event
   */
  #begin(changes, event) {
    this.#ask({ ...changes, start: this.#values.start + 1 }, event);
  }

  /**
   * @param {number} share position between the limits of the threshold, 0 to 1
   * @param {Event} event
   */
  #moveTo(share, event) {
    this.#ask({ threshold: this.thresholds.from(clamp(share, 0, 1)) }, event);
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    if (!this.#plot) return;
    const { bottom, top, y } = this.#plot;
    const height = bottom - spotIn(event, this.errorChart)[1];
    this.#moveTo(this.thresholds.at(y.from(height / (bottom - top))), event);
  }
}

export default widgetOf(Staircase);
