// Numbers of the present frame, one line for each track, and numbers of all frames in a table.

import { make } from "../kit/dom.js";
import { badge } from "../kit/marks.js";
import { range, tidy } from "../kit/numbers.js";
import { numbersTable } from "../kit/transport.js";

/** @typedef {import("./film.js").Film} Film */

export const READOUT_MARKUP = '<table class="readout"><tbody></tbody></table>';

export class Readout {
  #view;
  #plane;
  #fillTable;
  /** @type {Film | null} */
  #film = null;
  /** @type {{ energy: HTMLElement, off: HTMLElement, note: HTMLElement }[]} */
  #cells = [];

  /**
   * @param {import("../kit/base.js").View<any>} view with READOUT_MARKUP and NUMBERS_MARKUP
   * @param {import("./plane.js").Plane} plane
   */
  constructor(view, plane) {
    this.#view = view;
    this.#plane = plane;
    this.#fillTable = numbersTable(view, () => this.#numbers());
  }

  /** @param {Film} film */
  build(film) {
    this.#film = film;
    this.#cells = film.names.map(() => ({
      energy: make("td"),
      off: make("td"),
      note: make("td"),
    }));
    const rows = this.#cells.map(({ energy, off, note }, track) => {
      const name = make("td", {}, badge(film.looks[track]), film.names[track]);
      const numbers = film.flat ? [energy] : [energy, off];
      return make("tr", {}, name, ...numbers, note);
    });
    this.#view.find(".readout tbody", HTMLElement).replaceChildren(...rows);
    this.#fillTable();
  }

  /**
   * Show another film of the same tracks.
   *
   * @param {Film} film
   */
  change(film) {
    this.#film = film;
  }

  #numbers() {
    const film = this.#film;
    if (!film) return { head: [], rows: [] };
    const columns = film.names.flatMap((name, track) =>
      [
        { what: "energy", array: film.energy },
        { what: this.#view.model.get("step_label"), array: film.step },
        { what: "off the plane", array: film.off },
      ].map(({ what, array }) => ({ name: `${name}: ${what}`, track, array })),
    );
    const rows = range(film.frames, (k) => [
      String(k),
      ...columns.map(({ track, array }) =>
        k < film.lengths[track] ? tidy(film.at(array, track, k), 4) : "",
      ),
    ]);
    return { head: [film.noun, ...columns.map(({ name }) => name)], rows };
  }

  /**
   * @param {number} frame a whole number
   * @param {boolean} current whether the film belongs to the settings that are shown
   */
  write(frame, current) {
    const film = this.#film;
    if (!film) return;
    this.#cells.forEach(({ energy, off, note }, track) => {
      note.textContent = current ? film.notes[track] : "";
      if (!current) {
        energy.textContent = "energy …";
        off.textContent = "";
        return;
      }
      const value = film.at(film.energy, track, frame);
      const digits = Math.abs(value) < 100 ? value.toFixed(4) : tidy(value);
      energy.textContent = `energy ${digits}`;
      off.textContent = this.#plane.holds(film.place(track, frame))
        ? `${film.at(film.off, track, frame).toFixed(2)} off the plane`
        : "outside the view";
    });
  }
}
