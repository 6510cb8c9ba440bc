// The strip of thumbnails from which the reader chooses a sample, and a number field for all
// samples.

import { NO_KERNEL } from "./base.js";
import { make } from "./dom.js";
import { paint } from "./layers.js";
import { clamp } from "./numbers.js";

/**
 * @typedef {object} Thumbnails traits of a view that has a strip
 * @property {DataView} thumbnails
 * @property {number[]} thumbnail_shape number of thumbnails, and the shape of each
 * @property {string[]} thumbnail_labels
 * @property {number[]} thumbnail_rows rows of their samples
 */

export const STRIP_MARKUP = '<div class="strip" hidden></div>';

/** @type {Record<string, (k: number, last: number) => number>} */
const KEYS = {
  ArrowLeft: (k) => k - 1,
  ArrowRight: (k) => k + 1,
  Home: () => 0,
  End: (_, last) => last,
};

export class Strip {
  #view;
  #choose;
  #able;
  #box;
  #list = make("div", { role: "listbox", "aria-label": "thumbnails", tabindex: 0 });
  #field = make("input", { type: "number", name: "sample", min: 0, step: 1 });
  #label = make("output");
  #row = 0;
  /** @type {number | undefined} */
  #last;
  /** @type {Element | undefined} thumbnail in the middle of the strip, unless it was scrolled */
  #centred;

  /**
   * @param {import("./base.js").View<any>} view with STRIP_MARKUP and the traits of Thumbnails
   * @param {(row: number, event: Event) => void} choose called when the reader has chosen a sample
   * @param {boolean} [able] whether the kernel or the page answers
   */
  constructor(view, choose, able = view.live) {
    this.#view = view;
    this.#choose = choose;
    this.#able = able;
    this.#box = view.find(".strip", HTMLElement);
    this.#list.setAttribute("aria-orientation", "horizontal");
    view.listen(this.#list, "click", (event) => this.#click(event));
    view.listen(this.#list, "keydown", (event) => this.#press(event));
    view.listen(this.#field, "change", (event) => this.#go(Number(this.#field.value), event));
  }

  /** Samples of the thumbnails. @returns {number[]} */
  get #rows() {
    return this.#view.model.get("thumbnail_rows");
  }

  /** Draw the thumbnails. */
  build() {
    const { model } = this.#view;
    const [n, ...shape] = model.get("thumbnail_shape");
    const labels = model.get("thumbnail_labels");
    const levels = model.bytes("thumbnails");
    const size = levels.length / n;
    const options = this.#rows.map((row, k) => {
      const canvas = make("canvas", { "aria-hidden": "true" });
      paint(canvas, shape, levels.subarray(k * size, (k + 1) * size));
      const name = `sample ${row}, ${labels[k]}`;
      const id = `${this.#view.id}-thumbnail-${k}`;
      return make("div", { id, role: "option", "aria-label": name, title: name }, canvas);
    });
    this.#list.replaceChildren(...options);
  }

  /**
   * @param {number | undefined} row chosen sample; the strip is hidden without one
   * @param {number} [last] largest row of the number field; without it there is no number field
   * @param {string} [note] text in place of the label, for a sample without a thumbnail
   */
  show(row, last, note = "") {
    this.#box.hidden = row === undefined;
    if (row === undefined) return;
    const numbered = last !== undefined;
    if (!this.#box.firstChild) {
      const start = numbered ? [make("label", {}, "sample", this.#field)] : [];
      this.#box.append(...start, this.#label, this.#list);
    }
    this.#row = row;
    this.#last = last;
    this.#field.value = String(row);
    this.#field.max = String(last);
    this.#field.disabled = !this.#able;
    this.#box.title = this.#able ? "" : NO_KERNEL;
    this.#list.ariaDisabled = String(!this.#able);
    const place = this.#rows.indexOf(row);
    const options = [...this.#list.children];
    options.forEach((option, k) => {
      option.ariaSelected = String(k === place);
    });
    const label = this.#view.model.get("thumbnail_labels")[place] ?? note;
    this.#label.textContent = numbered ? label : `sample ${row}`;
    const chosen = /** @type {HTMLElement | undefined} */ (options[place]);
    if (!chosen || chosen === this.#centred) return; // a press on another is not scrolled away
    this.#list.setAttribute("aria-activedescendant", chosen.id);
    const { clientWidth } = this.#list;
    this.#list.scrollLeft = chosen.offsetLeft - (clientWidth - chosen.offsetWidth) / 2;
    if (clientWidth) this.#centred = chosen;
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const option = event.target instanceof Element && event.target.closest("[role=option]");
    if (option) this.#go(this.#rows[[...this.#list.children].indexOf(option)], event);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const to = KEYS[event.key];
    if (!to) return;
    event.preventDefault();
    const last = this.#rows.length - 1;
    this.#go(this.#rows[clamp(to(this.#rows.indexOf(this.#row), last), 0, last)], event);
  }

  /**
   * @param {number} row
   * @param {Event} event
   */
  #go(row, event) {
    if (!this.#able || !Number.isFinite(row)) return;
    const to = clamp(Math.round(row), 0, this.#last ?? row);
    if (to !== this.#row) this.#choose(to, event);
    else this.#field.value = String(to);
  }
}
