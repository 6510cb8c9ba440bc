// The inputs that a notebook asks for, with their values and notes.

import { NO_KERNEL } from "../kit/base.js";
import { make } from "../kit/dom.js";

/** @typedef {Record<string, string | number>} Values */

/**
 * @typedef {object} Control
 * @property {string} name
 * @property {string} label
 * @property {"range" | "choice" | "number" | "strip"} kind
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [step]
 * @property {(string | number)[]} [options]
 * @property {string | number} [format] decimals
 * @property {string} [note] text beside the value
 */

/**
 * @param {Control | undefined} control
 * @param {string | number | undefined} value
 * @returns {string}
 */
function inWords(control, value) {
  if (typeof value !== "number" || control?.format == null) return String(value ?? "");
  return value.toFixed(Number(String(control.format).match(/\d+/)?.[0] ?? 0));
}

export class Controls {
  #view;
  #box;
  #told;
  #plan = "";
  /** @type {Values} */
  values = {};
  /** Whether the reader is moving one of the controls. */
  turning = false;

  /**
   * @param {import("../kit/base.js").View<import("./view.js").Traits>} view
   * @param {{ able: (name: string) => boolean, turned: (name: string, event: Event) => void,
   *   released: (name: string, event: Event) => void }} told able: whether the kernel or the
   *   browser can answer a control; turned: called while it is moved; released: called afterwards
   */
  constructor(view, told) {
    this.#view = view;
    this.#box = view.find(".controls", HTMLElement);
    this.#told = told;
  }

  get #list() {
    return this.#view.model.get("controls").filter(({ kind }) => kind !== "strip");
  }

  /** Make the inputs, but keep them if only their notes differ, because one may have the focus. */
  build() {
    const plan = JSON.stringify(this.#list.map((control) => ({ ...control, note: "" })));
    if (plan === this.#plan) return;
    this.#plan = plan;
    this.#box.replaceChildren(...this.#list.map((control) => this.#label(control)));
  }

  /** @param {Control} control */
  #label(control) {
    const input = this.#input(control);
    this.#view.listen(input, ["input", "change"], (event) => {
      this.turning = event.type === "input";
      const { options, name } = control;
      this.values[name] = options ? options[Number(input.value)] : Number(input.value);
      this.#told.turned(name, event);
      if (!this.turning) this.#told.released(name, event);
    });
    return make("label", {}, control.label, input, make("output"), make("span", { class: "soft" }));
  }

  /**
   * @param {Control} control
   * @returns {HTMLInputElement | HTMLSelectElement}
   */
  #input({ name, label, kind, min, max, step, options }) {
    const shared = { "aria-label": label, name };
    if (kind !== "choice") {
      return make("input", { ...shared, type: kind, min, max, step: step ?? "any" });
    }
    const choices = (options ?? []).map((option, value) =>
      make("option", { value }, String(option)),
    );
    return make("select", shared, ...choices);
  }

  /** Show the values. */
  show() {
    [...this.#box.children].forEach((label, k) => {
      const control = this.#list[k];
      const [input, output, note] = /** @type {[HTMLInputElement, HTMLElement, HTMLElement]} */ ([
        ...label.children,
      ]);
      const { name } = control;
      const value = this.values[name];
      const answered = value === this.#view.model.get("values")[name];
      input.disabled = !this.#told.able(name);
      input.title = input.disabled ? NO_KERNEL : "";
      const text = String(control.options ? control.options.indexOf(value) : value);
      const words = control.kind === "range" ? inWords(control, value) : "";
      if (value !== undefined && input.value !== text) input.value = text;
      output.textContent = words;
      if (control.kind === "range") input.ariaValueText = words;
      note.textContent = (answered && control.note) || "";
    });
  }
}
