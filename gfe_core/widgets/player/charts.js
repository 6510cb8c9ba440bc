// Energy and step size against the step, with a playhead that the reader can drag.

import { drag, spotIn } from "../kit/drag.js";
import { dashOf } from "../kit/look.js";
import { drawMark } from "../kit/marks.js";
import { clamp, range } from "../kit/numbers.js";
import { Plot } from "../kit/plot.js";
import { around, linear, linearTicks } from "../kit/scales.js";

/** @typedef {import("../kit/base.js").View<import("./view.js").Traits>} View */
/** @typedef {import("../kit/scales.js").Scale} Scale */
/** @typedef {import("./film.js").Film} Film */

const MARGINS = { left: 60, right: 12, top: 6, bottom: 18 };
const CHART_MARKUP = `<figure><p></p><div class="layers"><canvas aria-hidden="true">
</canvas><canvas role="img"></canvas></div></figure>`;

export const CHARTS_MARKUP = `<div class="charts">${CHART_MARKUP}${CHART_MARKUP}</div>`;

class Chart {
  #view;
  #base;
  #heading;
  #values;
  /** @type {Scale} */
  #scale = linear(0, 1);
  #limit = 0;

  /**
   * @param {View} view
   * @param {HTMLElement} figure
   * @param {{ dots: boolean, values: (film: Film) => Float32Array }} options dots: draw values
   *   as separate dots, without values between them
   */
  constructor(view, figure, { dots, values }) {
    const canvases = [...figure.querySelectorAll("canvas")];
    this.#view = view;
    this.#base = canvases[0];
    this.top = canvases[1];
    this.#heading = /** @type {HTMLElement} */ (figure.firstElementChild);
    this.#values = values;
    this.dots = dots;
  }

  /**
   * @param {string} heading
   * @param {Scale} scale
   * @param {number} [limit] value of a dashed line
   */
  read(heading, scale, limit = 0) {
    this.#heading.textContent = this.top.ariaLabel = heading;
    this.#scale = scale;
    this.#limit = limit;
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Film} film
   */
  #plot(canvas, film) {
    const x = linear(0, Math.max(film.last, 1));
    return new Plot(canvas, this.#view.theme, MARGINS, x, this.#scale);
  }

  /**
   * Draw axes and the whole film, faintly.
   *
   * @param {Film} film
   */
  drawBase(film) {
    const plot = this.#plot(this.#base, film);
    if (!film.tracks) return;
    const ticks = linearTicks(0, Math.max(film.last, 1), Math.min(6, plot.width / 70));
    plot.rules();
    const zero = `${film.noun} 0`;
    const wide = (/** @type {any} */ text) => plot.pen.measureText(text).width;
    for (const k of ticks.filter(Number.isInteger)) {
      if (!k) plot.below(k, zero, "left");
      else if (plot.spot(k, 0)[0] - wide(k) / 2 > plot.left + wide(zero) + 4) {
        plot.below(k, String(k));
      }
    }
    if (this.#limit > 0) {
      const { soft } = this.#view.theme;
      const [, y] = plot.spot(0, this.#limit);
      plot.level(this.#limit, soft, 1, [5, 4]);
      plot.pen.fillStyle = soft;
      const above = y - plot.top > 15;
      plot.write(
        this.#view.model.get("step_limit_label"),
        [plot.right - 6, above ? y - 3 : y + 3],
        "right",
        above ? "bottom" : "top",
      );
    }
    plot.pen.globalAlpha = 0.28;
    this.#drawTracks(plot, film, film.last);
  }

  /**
   * Draw the film up to a frame.
   *
   * @param {Film} film
   * @param {number} frame
   */
  drawTop(film, frame) {
    const plot = this.#plot(this.top, film);
    plot.upright(frame);
    this.#drawTracks(plot, film, frame);
    for (const track of film.backwards) {
      const end = Math.max(this.#end(film, track, frame), 0);
      if (this.dots && !(this.#value(film, track, end) > 0)) continue;
      const spot = plot.spot(end, this.#value(film, track, end));
      drawMark(plot.pen, spot, film.looks[track], { radius: 5, rings: [[3, this.#view.theme.bg]] });
    }
  }

  /**
   * @param {Film} film
   * @param {number} track
   * @param {number} frame
   */
  #value(film, track, frame) {
    return film.at(this.#values(film), track, frame);
  }

  /**
   * @param {Film} film
   * @param {number} track
   * @param {number} frame
   * @returns {number} last frame of the track up to the given one
   */
  #end(film, track, frame) {
    return Math.min(this.dots ? Math.floor(frame) : frame, film.lengths[track] - 1);
  }

  /**
   * @param {Plot} plot
   * @param {Film} film
   * @param {number} frame
   */
  #drawTracks(plot, film, frame) {
    const radius = clamp(plot.width / film.frames / 3, 1.2, 2.6);
    for (const track of film.backwards) {
      const look = film.looks[track];
      const end = this.#end(film, track, frame);
      const frames = range(Math.ceil(end) + 1, (k) => Math.min(k, end));
      const spot = (/** @type {number} */ k) => plot.spot(k, this.#value(film, track, k));
      if (!this.dots) plot.line(frames.map(spot), look.colour, 2, dashOf(look));
      else {
        for (const k of frames.filter((k) => this.#value(film, track, k) > 0)) {
          drawMark(plot.pen, spot(k), look, { radius });
        }
      }
    }
  }
}

export class Charts {
  #view;
  #energy;
  #step;

  /**
   * @param {View} view with CHARTS_MARKUP
   * @param {{ last: () => number, move: (frame: number, event: Event) => void,
   *   end: () => void }} playhead
   */
  constructor(view, playhead) {
    const [energy, step] = view.findAll(".charts figure", HTMLElement);
    this.#view = view;
    this.#energy = new Chart(view, energy, { dots: false, values: (film) => film.energy });
    this.#step = new Chart(view, step, { dots: true, values: (film) => film.step });
    for (const { top } of this.#both) {
      drag(view, top, {
        move(event) {
          const wide = top.offsetWidth - MARGINS.left - MARGINS.right;
          const share = clamp((spotIn(event, top)[0] - MARGINS.left) / wide, 0, 1);
          playhead.move(Math.round(share * playhead.last()), event);
        },
        end: () => playhead.end(),
      });
    }
  }

  get #both() {
    return [this.#energy, this.#step];
  }

  /** @param {Film} film */
  read(film) {
    const { model } = this.#view;
    const limit = model.get("step_limit") ?? 0;
    const steps = [...film.step].filter((step) => step > 0);
    const reach = limit > 0 ? [...steps, limit, 1.25 * limit] : steps;
    this.#energy.read(model.get("energy_label"), around([...film.energy]));
    this.#step.read(model.get("step_label"), around(reach, { zero: true }), limit);
  }

  /** @param {Film} film */
  drawBase(film) {
    for (const chart of this.#both) chart.drawBase(film);
  }

  /**
   * @param {Film} film
   * @param {number} frame
   */
  drawTop(film, frame) {
    for (const chart of this.#both) chart.drawTop(film, frame);
  }
}
