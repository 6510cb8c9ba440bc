// The strip of thumbnails from which a sample is chosen, and the number that reaches the others.

import { make } from "../kit/dom.js";
import { paint } from "../kit/layers.js";
import { clamp } from "../kit/numbers.js";
import { NO_KERNEL } from "./controls.js";

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
  #box;
  #list = make("div", { role: "listbox", "aria-label": "thumbnails", tabindex: 0 });
  #field = make("input", { type: "number", name: "sample", min: 0, step: 1 });
  #label = make("output");
  #row = 0;

  /**
   * @param {import("../kit/base.js").View<import("./view.js").Traits>} view with STRIP_MARKUP
   * @param {(row: number, event: Event) => void} choose called when a hand or a key has chosen
   */
  constructor(view, choose) {
    this.#view = view;
    this.#choose = choose;
    this.#box = view.find(".strip", HTMLElement);
    this.#list.setAttribute("aria-orientation", "horizontal");
    view.listen(this.#list, "click", (event) => this.#click(event));
    view.listen(this.#list, "keydown", (event) => this.#press(event));
    view.listen(this.#field, "change", (event) => this.#go(Number(this.#field.value), event));
  }

  /** The control that it is, if there is one. */
  get #control() {
    return this.#view.model.get("controls").find(({ kind }) => kind === "strip");
  }

  /** Row of the first thumbnail. */
  get #first() {
    return this.#view.model.get("first_thumbnail");
  }

  /** Draw the thumbnails. */
  build() {
    const { model } = this.#view;
    const [n, ...shape] = model.get("thumbnail_shape");
    const labels = model.get("thumbnail_labels");
    const levels = model.bytes("thumbnails");
    const size = levels.length / n;
    const options = labels.slice(0, n).map((label, k) => {
      const canvas = make("canvas", { "aria-hidden": "true" });
      paint(canvas, shape, levels.subarray(k * size, (k + 1) * size));
      const name = `sample ${this.#first + k}, ${label}`;
      const id = `${this.#view.id}-thumbnail-${k}`;
      return make("div", { id, role: "option", "aria-label": name, title: name }, canvas);
    });
    this.#list.replaceChildren(...options);
  }

  /** @param {string | number | undefined} row */
  show(row) {
    const control = this.#control;
    const { live } = this.#view;
    this.#box.hidden = !control || row === undefined;
    if (!control) return;
    if (!this.#box.firstChild) {
      this.#box.append(make("label", {}, "sample", this.#field), this.#label, this.#list);
    }
    this.#row = Number(row);
    this.#field.value = String(row);
    this.#field.max = String(control.max ?? 0);
    this.#field.disabled = !live;
    this.#box.title = live ? "" : NO_KERNEL;
    this.#list.ariaDisabled = String(!live);
    const options = [...this.#list.children];
    options.forEach((option, k) => {
      option.ariaSelected = String(k === this.#row - this.#first);
    });
    const chosen = options[this.#row - this.#first];
    this.#label.textContent =
      this.#view.model.get("thumbnail_labels")[this.#row - this.#first] ?? control.note ?? "";
    if (!(chosen instanceof HTMLElement)) return;
    this.#list.setAttribute("aria-activedescendant", chosen.id);
    this.#list.scrollLeft = chosen.offsetLeft - (this.#list.clientWidth - chosen.offsetWidth) / 2;
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const option = event.target instanceof Element && event.target.closest("[role=option]");
    if (option) this.#go(this.#first + [...this.#list.children].indexOf(option), event);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const to = KEYS[event.key];
    if (!to) return;
    event.preventDefault();
    const last = this.#list.children.length - 1;
    const k = clamp(this.#row - this.#first, 0, last);
    this.#go(this.#first + clamp(to(k, last), 0, last), event);
  }

  /**
   * @param {number} row
   * @param {Event} event
   */
  #go(row, event) {
    if (!this.#view.live || !Number.isFinite(row)) return;
    const to = clamp(Math.round(row), 0, this.#control?.max ?? 0);
    if (to !== this.#row) this.#choose(to, event);
    else this.show(to);
  }
}
