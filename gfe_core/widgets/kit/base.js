// The base of every view: its element, its access to the model, the theme, and its end.

import { find, findAll, make } from "./dom.js";
import { isShortcut } from "./keyboard.js";
import { Model } from "./model.js";
import { onTheme, readTheme } from "./theme.js";

/**
 * The argument that a host passes to `render`.
 *
 * @typedef {object} Context
 * @property {import("./model.js").Host} model
 * @property {HTMLElement} el
 * @property {boolean} [live] false in a saved page, which has no kernel
 * @property {string[]} [answers] choices whose answers the page holds
 */

/** @typedef {DocumentEventMap & WindowEventMap} Heard */

const RESET = '<button type="button" class="reset">Reset</button>';
export const NO_KERNEL = "needs a running notebook";
export const BUSY_MARKUP = '<span class="busy" role="status">computing …</span>';

/** The line that says what is shown, in a view that never asks the kernel and in one that does. */
export const STATE_MARKUP = `<div class="state"><span class="values"></span>${RESET}</div>`;
export const ASKING_MARKUP = `<div class="state"><span class="values"></span>${RESET}${BUSY_MARKUP}</div>`;
export const TITLE_MARKUP = '<p class="title"></p>';
export const CAPTION_MARKUP = '<p class="caption" aria-live="polite"></p>';

/** @template {Record<string, any>} T names and types of the traits */
export class View {
  #end = new AbortController();
  #draws = 0;
  #answers;

  /**
   * @param {Context} context
   * @param {string} name of the view: its element has the class gfe-NAME
   * @param {string} markup
   * @param {number} [narrow] width below which the element has the class narrow
   */
  constructor({ model, el, live = true, answers }, name, markup, narrow = 700) {
    this.live = live;
    this.#answers = answers;
    this.narrow = narrow;
    /** Prefix of the ids of elements, which must be unique in a page. */
    this.id = `gfe-${Math.random().toString(36).slice(2)}`;
    /** @type {Model<T>} */
    this.model = new Model(model, this.signal);
    this.root = make("div", {
      class: `gfe-view gfe-${name}`,
      role: "group",
      "data-lm-suppress-shortcuts": "true",
    });
    this.root.innerHTML = markup;
    el.append(this.root);
    this.theme = readTheme(this.root);
    // otherwise the notebook would act on the keys
    this.listen(this.root, "keydown", (event) => isShortcut(event) || event.stopPropagation());
  }

  get signal() {
    return this.#end.signal;
  }

  /** Whether the reader prefers reduced motion. */
  get calm() {
    return matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  /** Whether there is room to draw. */
  get shown() {
    return this.root.clientWidth > 0;
  }

  /**
   * @template {Element} E
   * @param {string} selector
   * @param {new () => E} kind
   */
  find(selector, kind) {
    return find(this.root, selector, kind);
  }

  /**
   * @template {Element} E
   * @param {string} selector
   * @param {new () => E} kind
   */
  findAll(selector, kind) {
    return findAll(this.root, selector, kind);
  }

  /**
   * Write text into an element.
   *
   * @param {string} selector
   * @param {string} text
   */
  write(selector, text) {
    this.find(selector, HTMLElement).textContent = text;
  }

  /**
   * Write the title and the alternative text, from the traits `title` and `alt_text`.
   *
   * @param {...Element} canvases canvases that the alternative text describes
   */
  writeTitle(...canvases) {
    this.write(".title", this.model.get("title"));
    for (const one of [this.root, ...canvases]) one.ariaLabel = this.model.get("alt_text");
  }

  /** Write the trait `note` below the view. */
  writeNote() {
    this.write(".caption", this.model.get("note"));
  }

  /**
   * Write the line that says what is shown.
   *
   * @param {(string | number | false | null | undefined)[]} words parts; empty ones are left out
   */
  writeState(words) {
    this.write(".values", words.filter(Boolean).join(" · "));
  }

  /**
   * Return numbers for the settings to which they belong, and a placeholder for other settings.
   *
   * @param {string} name of the numbers
   * @param {string} words the numbers, as the kernel has sent them
   * @param {boolean} current whether they belong to the settings that are shown
   */
  answered(name, words, current) {
    if (current || !words) return words;
    return this.live ? `${name} …` : `${name}: ${NO_KERNEL}`;
  }

  /**
   * @param {string} name of a choice
   * @returns {boolean} whether the kernel or the page can answer it
   */
  answers(name) {
    return this.#answers?.includes(name) ?? this.live;
  }

  /** @param {() => void} call */
  onClose(call) {
    this.signal.addEventListener("abort", call);
  }

  /**
   * Listen until the view is closed.
   *
   * @template {keyof Heard} K
   * @param {EventTarget} target
   * @param {K | readonly K[]} types
   * @param {(event: Heard[K]) => void} call
   */
  listen(target, types, call) {
    const heard = /** @type {EventListener} */ (call);
    for (const type of [types].flat()) {
      target.addEventListener(String(type), heard, { signal: this.signal });
    }
  }

  /**
   * Draw now, and whenever the size or the theme has changed.
   *
   * @param {() => void} draw
   */
  follow(draw) {
    if (this.signal.aborted) return;
    const redraw = () => {
      this.theme = readTheme(this.root);
      this.root.classList.toggle("narrow", this.root.clientWidth < this.narrow);
      draw();
    };
    redraw();
    const sized = new ResizeObserver(redraw);
    sized.observe(this.root);
    this.onClose(() => sized.disconnect());
    onTheme(redraw, this.signal);
    // paper waits neither for an observer nor for a frame
    this.listen(window, "beforeprint", redraw);
  }

  /**
   * Call when the view comes into the window or leaves it.
   *
   * @param {(visible: boolean) => void} call
   */
  onSeen(call) {
    const seen = new IntersectionObserver((entries) => {
      call(Boolean(entries.at(-1)?.isIntersecting));
    });
    seen.observe(this.root);
    this.onClose(() => seen.disconnect());
  }

  /**
   * Write for tests what is drawn, and its delay after the event, as data attributes.
   *
   * @param {Record<string, unknown>} facts
   * @param {Event} [event] event that caused the drawing
   */
  tellDrawn(facts, event) {
    this.#draws += 1;
    const told = { drawn: this.#draws, ...facts };
    for (const [name, fact] of Object.entries(told)) this.root.dataset[name] = String(fact);
    if (event) this.root.dataset.latency = (performance.now() - event.timeStamp).toFixed(2);
  }

  /** End listeners, observers and timers. */
  close() {
    this.#end.abort();
  }
}

// The next two are not methods, because a method is in every bundle, used or not.

/**
 * @param {View<any>} view
 * @param {(event: Event) => void} call
 * @returns {HTMLButtonElement} the button Reset
 */
export function onReset(view, call) {
  const button = view.find(".reset", HTMLButtonElement);
  view.listen(button, "click", call);
  return button;
}

/**
 * Disable controls that ask the kernel if there is no kernel; base.css adds a line about them.
 *
 * @param {View<any>} view
 * @param {...(HTMLInputElement | HTMLSelectElement | HTMLButtonElement)} controls
 */
export function needKernel({ live }, ...controls) {
  for (const one of live ? [] : controls) {
    one.disabled = true;
    one.title = NO_KERNEL;
  }
}

/**
 * Make the export of a bundle: the widget that hosts render.
 *
 * @param {new (context: Context) => { view: View<any> }} Kind class of the view
 */
export const widgetOf = (Kind) => ({
  /** @param {Context} context */
  render(context) {
    const { view } = new Kind(context);
    return () => view.close();
  },
});
