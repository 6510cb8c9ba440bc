// The preview during a drag: only the newest start is followed, and a long path is continued in the
// next frames of the screen. A separate script follows the paths; it is loaded only if there is
// something to follow.

import { moduleOf } from "../kit/module.js";

/** @typedef {import("./preview.js").Preview} Preview */
/** @typedef {import("./preview.js").Plan} Plan */
/** @typedef {import("./controls.js").Values} Values */

const SLICE = 15; // ms of a frame for following; the rest of the frame is left for drawing

export class Following {
  #view;
  #draw;
  /** @type {typeof import("./preview.js").Preview | undefined} */
  #Kind;
  /** @type {Plan | undefined} */
  #plan;
  /** @type {Preview | undefined} made when it is first needed */
  #preview;
  /** @type {{ start: number[], values: Values, event?: Event } | null} */
  #waiting = null;
  #request = 0;

  /**
   * @param {import("../kit/base.js").View<import("./view.js").Traits>} view
   * @param {(preview: Preview, done: boolean, event?: Event) => void} draw draws the paths so far;
   *   done: whether all paths have ended
   */
  constructor(view, draw) {
    this.#view = view;
    this.#draw = draw;
    view.onClose(() => this.stop());
  }

  /** Whether the browser can follow the tracks by itself. */
  get ready() {
    return Boolean(this.#plan && this.#Kind);
  }

  /** Reason why it cannot, in words; empty if there is none. */
  get whyNot() {
    const told = this.#view.model.get("preview");
    return "why_not" in told ? told.why_not : "";
  }

  /**
   * @param {string} name of a control
   * @returns {boolean} whether the browser can follow it by itself
   */
  turns(name) {
    return this.ready && name in (this.#plan?.turns ?? {});
  }

  /** Read the tracks to follow. */
  async read() {
    const { model } = this.#view;
    const told = model.get("preview");
    this.stop();
    this.#preview = undefined;
    this.#plan = "recipes" in told ? told : undefined;
    if (this.#plan) this.#Kind ??= (await moduleOf(model.get("preview_script"))).Preview;
  }

  /** Leave the tracks as they are. */
  stop() {
    cancelAnimationFrame(this.#request);
    this.#request = 0;
    this.#waiting = null;
  }

  /**
   * Follow the tracks from a start.
   *
   * @param {number[]} start
   * @param {Values} values of the controls
   * @param {Event} [event] event that asks for it
   */
  follow(start, values, event) {
    this.#waiting = { start: [...start], values: { ...values }, event };
    this.#request ||= requestAnimationFrame(() => this.#begin());
  }

  #begin() {
    if (!this.#waiting || !this.#plan || !this.#Kind) return;
    const { start, values, event } = this.#waiting;
    const numbers = this.#view.model.get("preview_numbers");
    this.#waiting = null;
    this.#preview ??= new this.#Kind(this.#plan, numbers);
    this.#preview.start(start, values);
    this.#advance(this.#preview, event);
  }

  /**
   * @param {Preview} preview
   * @param {Event} [event]
   */
  #advance(preview, event) {
    const done = preview.advance(SLICE);
    this.#draw(preview, done, event);
    this.#request = 0;
    if (done) return;
    this.#request = requestAnimationFrame(() =>
      this.#waiting ? this.#begin() : this.#advance(preview, event),
    );
  }
}
