// A spectrum with gaps, and the curve of its code at every step of the flow. The kernel sends all
// steps of one sample at once, and the browser draws them while the reader scrubs.

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
import { make, setOptions, sign, strokeSign } from "../kit/dom.js";
import { circle, hatch } from "../kit/layers.js";
import { COLOURS, DASHES } from "../kit/look.js";
import { NO_FLOATS } from "../kit/model.js";
import { range, tidy } from "../kit/numbers.js";
import { Plot } from "../kit/plot.js";
import { Requests } from "../kit/requests.js";
import { around, linear } from "../kit/scales.js";
import { NUMBERS_MARKUP, numbersTable, Transport, transportMarkup } from "../kit/transport.js";
import { SAMPLE_MARKUP, SampleSlider } from "./sample.js";

/** @typedef {{ sample: number, solver: string }} Values */

/**
 * @typedef {object} Traits
 * @property {DataView} at (features), their positions
 * @property {DataView} flux (features), NaN where missing
 * @property {DataView} truth (features), or empty
 * @property {DataView} curves (frames, features)
 * @property {DataView} energies (frames)
 * @property {[number, number]} limits of the vertical axis
 * @property {number | null} level energy of noise alone
 * @property {[string, number | null, number | null][]} readings name, true value, value
 *   read from the code; null where a value is unknown
 * @property {number} n_samples
 * @property {string[]} solvers
 * @property {Values} defaults
 * @property {Values} values
 * @property {number} frame
 * @property {boolean} playing
 * @property {string} x_title
 * @property {string} y_title
 * @property {string} note
 * @property {Record<string, unknown>} request
 * @property {number} reply
 */

const MARGINS = { left: 46, right: 10, top: 8, bottom: 22 };
const FRAMES_PER_SECOND = 10;
const LONGEST = 6; // seconds
const SHOWN = /** @type {const} */ ([
  ...["curves", "energies", "flux", "truth", "limits", "note", "readings", "values", "reply"],
]);

const DOTS =
  '<circle cx="7" cy="5" r="2" fill="var(--fg)"/><circle cx="19" cy="4" r="2" fill="var(--fg)"/>';
const STRIPES = range(4, (k) => `M${6 * k} 10l8 -10`).join("");

const MARKUP = `
${TITLE_MARKUP}<div class="controls">
${SAMPLE_MARKUP}<label>solver <select class="solver" aria-label="solver"></select></label>
<label class="truth"><input type="checkbox" aria-label="show the clean truth">the clean truth</label>
</div>${ASKING_MARKUP}
<figure><p class="heading soft unit"></p><div class="layers plot"><canvas aria-hidden="true"></canvas>
<canvas role="img"></canvas></div></figure>
<p class="key"><span>${sign(DOTS)}measured</span>
<span>${sign(`<path d="${STRIPES}" stroke="var(--soft)" stroke-width="1"/>`)}lost</span>
<span>${strokeSign(COLOURS[0])}what the code draws</span>
<span class="clean">${strokeSign(COLOURS[1], DASHES[1])}the clean truth</span></p>
${transportMarkup("step")}<p class="words"></p>
<div class="grid below"><figure><p class="heading soft energy"></p>
<div class="layers chart"><canvas role="img" aria-label="energy against step"></canvas></div></figure>
<table class="readings"></table></div>${CAPTION_MARKUP}${NUMBERS_MARKUP}`;

/** @param {number | null} value null where it is unknown */
const known = (value) => (value === null ? "–" : tidy(value));

class Spectrum {
  #at = NO_FLOATS;
  #flux = NO_FLOATS;
  #truth = NO_FLOATS;
  #curves = NO_FLOATS;
  #energies = NO_FLOATS;
  /** @type {Values} */
  #values;

  /** @param {import("../kit/base.js").Context} context */
  constructor(context) {
    this.view = /** @type {View<Traits>} */ (new View(context, "spectrum", MARKUP, 640));
    const { view } = this;
    const { model } = view;
    this.#values = { ...model.get("values") };
    const canvases = view.findAll(".plot canvas", HTMLCanvasElement);
    this.ground = canvases[0];
    this.top = canvases[1];
    this.chart = view.find(".chart canvas", HTMLCanvasElement);
    this.sample = new SampleSlider(view);
    this.solver = view.find(".solver", HTMLSelectElement);
    this.truthBox = view.find(".truth input", HTMLInputElement);
    this.requests = new Requests(view);
    this.transport = new Transport(view, {
      frames: () => this.#energies.length,
      rate: () => Math.max(FRAMES_PER_SECOND, this.#energies.length / LONGEST),
      draw: (event) => this.#look(event),
    });
    this.fillNumbers = numbersTable(view, () => ({
      head: ["step", "energy"],
      rows: [...this.#energies].map((energy, k) => [String(k), energy.toFixed(4)]),
    }));
    this.#read();
    this.transport.stand();
    this.#listen();
    view.follow(() => this.#draw());
    model.onMessage(SHOWN, () => this.#answered());
    this.transport.open();
  }

  #answered() {
    this.#read();
    this.transport.frame = this.transport.last; // an answer is shown in full
    this.#draw();
    this.transport.report();
  }

  #read() {
    const { model } = this.view;
    this.#at = model.floats("at");
    this.#flux = model.floats("flux");
    this.#truth = model.floats("truth");
    this.#curves = model.floats("curves");
    this.#energies = model.floats("energies");
    if (!this.requests.waiting) this.#values = { ...model.get("values") };
    setOptions(
      this.solver,
      model.get("solvers").map((text) => ({ text, value: text })),
    );
    this.view.find(".truth", HTMLElement).hidden = !this.#truth.length;
    this.view.find(".key .clean", HTMLElement).hidden = !this.#truth.length;
    this.view.writeTitle(this.top);
    this.view.writeNote();
    this.view.write(".unit", model.get("y_title"));
    const noise = model.get("level") == null ? "" : "; the dashed line is that of noise alone";
    this.view.write(".energy", `energy against step${noise}`);
    this.#fillReadings();
    this.fillNumbers();
    this.requests.acknowledge();
  }

  #fillReadings() {
    const rows = this.view.model
      .get("readings")
      .map(([name, made, read]) =>
        make(
          "tr",
          {},
          make("th", {}, name),
          make("td", {}, known(made)),
          make("td", {}, known(read)),
        ),
      );
    const names = ["", "true", "read from the code"].map((name) => make("th", {}, name));
    const table = rows.length ? [make("tr", {}, ...names), ...rows] : [];
    this.view.find(".readings", HTMLElement).replaceChildren(...table);
    this.view.find(".below", HTMLElement).classList.toggle("one", !rows.length);
  }

  get #frame() {
    return Math.floor(this.transport.frame);
  }

  /** Whether the steps belong to the sample and the solver that the reader has chosen. */
  get #current() {
    const { sample, solver } = this.view.model.get("values");
    return sample === this.#values.sample && solver === this.#values.solver;
  }

  get #truthShown() {
    return this.truthBox.checked && this.#truth.length > 0;
  }

  /** Curve of the code at the present frame. */
  get #curve() {
    const n = this.#flux.length;
    return this.#curves.subarray(this.#frame * n, (this.#frame + 1) * n);
  }

  /** @param {(flux: number) => boolean} which says from the flux of a feature whether it counts */
  #distance(which) {
    const curve = this.#curve;
    const gaps = [...this.#truth].map((truth, j) => curve[j] - truth);
    const counted = gaps.filter((_, j) => which(this.#flux[j]));
    const sum = counted.reduce((total, gap) => total + gap * gap, 0);
    return counted.length ? tidy(Math.sqrt(sum / counted.length)) : "0";
  }

  #write() {
    const { sample, solver } = this.#values;
    const level = this.view.model.get("level");
    this.sample.show(sample);
    this.solver.value = solver;
    this.transport.write();
    const current = this.#current;
    const words = [
      `sample ${sample}`,
      `solver ${solver}`,
      current && `step ${this.#frame} of ${this.transport.last}`,
      `truth ${this.truthBox.checked ? "shown" : "hidden"}`,
    ];
    this.view.writeState(words);
    const noise = level == null ? "" : ` (noise alone: ${level})`;
    const energy = `energy ${this.#energies[this.#frame].toFixed(4)}${noise}`;
    const all = this.#truthShown ? `${energy} · ${this.#distances()}` : energy;
    this.view.write(".words", this.view.answered("energy", all, current));
  }

  #distances() {
    const seen = this.#distance((flux) => Number.isFinite(flux));
    const lost = this.#distance((flux) => !Number.isFinite(flux));
    return `off the truth by ${seen} where it was seen, by ${lost} in the gaps`;
  }

  /** @param {HTMLCanvasElement} canvas */
  #plot(canvas) {
    const about = this.view.root.clientWidth / 80;
    const x = linear(this.#at[0], this.#at[this.#at.length - 1], about);
    const y = linear(...this.view.model.get("limits"));
    return new Plot(canvas, this.view.theme, MARGINS, x, y);
  }

  /** Draw axes and gaps, which a step does not change. */
  #drawGround() {
    const { theme, model } = this.view;
    const plot = this.#plot(this.ground);
    const half = (this.#at[1] - this.#at[0]) / 2;
    const gaps = new Path2D();
    this.#flux.forEach((flux, j) => {
      const [left] = plot.spot(this.#at[j] - half, 0);
      const [right] = plot.spot(this.#at[j] + half, 0);
      const wide = right - left + 0.5;
      if (!Number.isFinite(flux)) gaps.rect(left, plot.top, wide, plot.bottom - plot.top);
    });
    plot.rules();
    plot.numbers(model.get("x_title"));
    plot.pen.globalAlpha = 0.5;
    hatch(plot, gaps, [theme.rule, theme.soft], 8, 0.7);
  }

  #drawCurves() {
    const plot = this.#plot(this.top);
    const { pen } = plot;
    const line = (/** @type {Float32Array} */ values) =>
      [...values].map((value, j) => plot.spot(this.#at[j], value));
    pen.beginPath();
    pen.rect(plot.left, 0, plot.width - plot.left, plot.bottom + 2);
    pen.save();
    pen.clip();
    if (this.#truthShown) plot.line(line(this.#truth), COLOURS[1], 3, DASHES[1]);
    plot.line(line(this.#curve), COLOURS[0], 2.4);
    if (this.#truthShown) plot.line(line(this.#truth), COLOURS[1], 1.6, DASHES[1]);
    pen.fillStyle = this.view.theme.fg;
    this.#flux.forEach((flux, j) => {
      if (Number.isFinite(flux)) pen.fill(circle(plot.spot(this.#at[j], flux), 1.9));
    });
    pen.restore();
  }

  #drawChart() {
    const { theme, model } = this.view;
    const level = model.get("level");
    const { last } = this.transport;
    const x = linear(0, Math.max(last, 1));
    x.ticks = x.ticks.filter(Number.isInteger);
    const y = around(level == null ? [...this.#energies] : [...this.#energies, level]);
    const plot = new Plot(this.chart, this.view.theme, MARGINS, x, y);
    plot.rules();
    plot.numbers("step");
    const spots = [...this.#energies].map((energy, k) => plot.spot(k, energy));
    const here = spots[this.#frame];
    if (level != null) plot.level(level, theme.soft, 1.2, [5, 4]);
    plot.pen.globalAlpha = 0.3;
    plot.line(spots, COLOURS[0], 2);
    plot.pen.globalAlpha = 1;
    plot.line(spots.slice(0, this.#frame + 1), COLOURS[0], 2);
    plot.upright(this.#frame);
    plot.pen.fillStyle = COLOURS[0];
    plot.pen.fill(circle(here, 4.5));
  }

  /**
   * Draw everything that changes with the frame.
   *
   * @param {Event} [event]
   */
  #look(event) {
    if (!this.view.shown || !this.#energies.length) return;
    this.#drawCurves();
    this.#drawChart();
    this.#write();
    this.view.tellDrawn({ frame: this.#frame, ...this.#values }, event);
  }

  #draw() {
    if (!this.view.shown || !this.#energies.length) return;
    this.#drawGround();
    this.#look();
  }

  /**
   * @param {Partial<Values>} changes
   * @param {Event} event
   */
  #ask(changes, event) {
    Object.assign(this.#values, changes);
    this.#write();
    this.requests.ask(this.#values, event);
  }

  #listen() {
    const { view, sample, solver, truthBox } = this;
    view.listen(sample.input, "change", (event) => this.#ask({ sample: sample.chosen }, event));
    view.listen(solver, "change", (event) => this.#ask({ solver: solver.value }, event));
    view.listen(truthBox, "change", (event) => this.#look(event));
    const reset = onReset(view, (event) => {
      truthBox.checked = false;
      this.#look();
      this.#ask(view.model.get("defaults"), event);
    });
    needKernel(view, sample.input, solver, reset);
  }
}

export default widgetOf(Spectrum);
