// Requests to the kernel: one is under way, and only the newest of the others waits.

const PATIENCE = 150;

/**
 * @typedef {object} Request
 * @property {Record<string, unknown>} content
 * @property {number} since time at which the reader asked
 */

/**
 * @typedef {object} Options
 * @property {number} [patience] ms until the view says that it waits
 * @property {number} [rest] ms between requests during a drag
 * @property {() => Record<string, unknown>} [traits] traits to send with a request
 */

export class Requests {
  #view;
  #options;
  #busy;
  #last = 0;
  #sent = Number.NEGATIVE_INFINITY;
  #held = false;
  #sending = 0;
  #hurrying = 0;
  /** @type {{ id: number, since: number } | null} */
  pending = null;
  /** @type {Request | null} */
  waiting = null;

  /**
   * @param {import("./base.js").View<any>} view with the traits `request` and `reply`, and an
   *   element of class busy
   * @param {Options} options
   */
  constructor(view, options = {}) {
    this.#view = view;
    this.#options = options;
    this.#busy = view.find(".busy", HTMLElement);
    view.onClose(() => {
      clearTimeout(this.#sending);
      clearTimeout(this.#hurrying);
    });
  }

  /**
   * Ask the kernel, now or when it has answered the request under way.
   *
   * @param {Record<string, unknown>} values present values of the controls
   * @param {Event} event
   * @param {{ held?: boolean, more?: Record<string, unknown> }} [options] held: whether a drag goes
   *   on, so that more requests will follow; more: further content of the request
   */
  ask(values, event, { held = false, more = {} } = {}) {
    if (!this.#view.live) return;
    this.waiting = { content: { ...more, values: { ...values } }, since: event.timeStamp };
    this.#held = held;
    if (!this.pending) this.#sendSoon();
  }

  /** Take the kernel's answer, and send the request that waited for it. */
  acknowledge() {
    const reply = this.#view.model.get("reply");
    this.#view.root.dataset.reply = reply;
    if (!this.pending || reply < this.pending.id) return;
    this.#view.root.dataset.roundtrip = (performance.now() - this.pending.since).toFixed(1);
    this.pending = null;
    clearTimeout(this.#hurrying);
    if (this.waiting) this.#sendSoon();
    else this.#busy.classList.remove("on");
  }

  #sendSoon() {
    clearTimeout(this.#sending);
    const wait = this.#held ? (this.#options.rest ?? 0) + this.#sent - performance.now() : 0;
    if (wait > 0) this.#sending = window.setTimeout(() => this.#send(), wait);
    else this.#send();
  }

  #send() {
    if (!this.waiting) return;
    const { content, since } = this.waiting;
    const { model } = this.#view;
    this.#last = Math.max(this.#last, model.get("reply")) + 1;
    this.#sent = performance.now();
    this.pending = { id: this.#last, since };
    this.waiting = null;
    clearTimeout(this.#hurrying);
    const hurry = () => this.#busy.classList.add("on");
    this.#hurrying = window.setTimeout(hurry, this.#options.patience ?? PATIENCE);
    model.send({ ...this.#options.traits?.(), request: { id: this.#last, ...content } });
  }
}
