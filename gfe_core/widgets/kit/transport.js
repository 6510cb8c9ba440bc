// The transport of a film: buttons, a slider, keys, and the clock that plays it.

import { make } from "./dom.js";
import { isShortcut } from "./keyboard.js";
import { clamp } from "./numbers.js";

const REPORT_EVERY = 100; // ms
const LONGEST_GAP = 200; // most ms between two frames, so that a tab that slept does not jump

/**
 * @typedef {object} Button
 * @property {string} name
 * @property {string} label
 * @property {string[]} drawings the second one shows while the film plays
 */

/** @type {Button[]} */
const BUTTONS = [
  { name: "first", label: "first step", drawings: ["M4 3v10M13 3 6 8l7 5z"] },
  { name: "back", label: "one step back", drawings: ["M11 3 4 8l7 5z"] },
  { name: "play", label: "play", drawings: ["M4 2.5 13 8l-9 5.5z", "M5 3v10M11 3v10"] },
  { name: "next", label: "one step on", drawings: ["M5 3l7 5-7 5z"] },
  { name: "last", label: "last step", drawings: ["M12 3v10M3 3l7 5-7 5z"] },
];

/** @param {Button} button */
const buttonMarkup = ({ name, label, drawings }) =>
  `<button type="button" class="${name}" aria-label="${label}" title="${label}"><svg width="16"
  height="16" viewBox="0 0 16 16" aria-hidden="true">${drawings
    .map((drawing) => `<path d="${drawing}"/>`)
    .join("")}</svg></button>`;

/**
 * @param {string} label of the slider
 * @param {string} [more] markup to append
 * @returns {string} markup
 */
export const transportMarkup = (label, more = "") => `
<div class="transport"><div class="buttons">${BUTTONS.map(buttonMarkup).join("")}</div>
<input type="range" class="frame" min="0" step="1" aria-label="${label}"><span class="count"></span>
${more}</div>`;

/** @type {Record<string, string | undefined>} */
const KEYS = { " ": "play", ArrowLeft: "back", ArrowRight: "next", Home: "first", End: "last" };
const USERS_OF_ARROWS = ["INPUT", "SELECT"];
const USERS_OF_SPACE = [...USERS_OF_ARROWS, "BUTTON", "SUMMARY"];

/**
 * @typedef {object} Film
 * @property {() => number} frames number of frames
 * @property {() => number} rate frames a second
 * @property {(event?: Event) => void} draw the present frame
 * @property {(playing: boolean) => void} [onPlay]
 * @property {() => string} [noun] word for a frame, "step" by default
 */

export class Transport {
  #view;
  #film;
  #slider;
  #play;
  #request = 0;
  #clock = 0;
  #reported = 0;
  #reporting = 0;
  #visible = true;
  playing = false;
  /** Position in the film; it is between two frames while the film plays. */
  frame = 0;

  /**
   * @param {import("./base.js").View<any>} view with the trait `frame`
   * @param {Film} film
   */
  constructor(view, film) {
    this.#view = view;
    this.#film = film;
    this.#slider = view.find(".frame", HTMLInputElement);
    this.#play = view.find(".play", HTMLButtonElement);
    for (const { name } of BUTTONS) {
      const button = view.find(`.buttons .${name}`, HTMLButtonElement);
      view.listen(button, "click", (event) => this.#go(name, event));
    }
    view.listen(this.#slider, "input", (event) => this.move(Number(this.#slider.value), event));
    view.listen(this.#slider, "change", () => this.report());
    view.root.tabIndex = 0;
    view.listen(view.root, "keydown", (event) => this.#press(event));
    view.listen(document, "visibilitychange", () => this.#wake());
    view.onSeen((visible) => {
      this.#visible = visible;
      this.#wake();
    });
    view.onClose(() => {
      cancelAnimationFrame(this.#request);
      clearTimeout(this.#reporting);
    });
  }

  /** Go to the frame in the trait `frame`, or to the last frame if the film is shorter. */
  stand() {
    this.frame = clamp(this.#view.model.get("frame"), 0, this.last);
  }

  /** Play, if the trait `playing` asks for it and the reader does not prefer reduced motion. */
  open() {
    if (this.#view.model.get("playing") && !this.#view.calm) this.setPlaying(true);
  }

  get last() {
    return Math.max(this.#film.frames() - 1, 0);
  }

  /** Write the position in the film. */
  write() {
    const k = Math.floor(this.frame);
    const words = `${this.#film.noun?.() ?? "step"} ${k} of ${this.last}`;
    this.#slider.max = String(this.last);
    this.#slider.value = String(k);
    this.#slider.ariaValueText = words;
    this.#view.write(".count", words);
  }

  /**
   * Go to a frame and stop there.
   *
   * @param {number} to
   * @param {Event} [event]
   */
  move(to, event) {
    this.frame = clamp(to, 0, this.last);
    if (this.playing) this.setPlaying(false);
    this.#film.draw(event);
    this.#reportSoon(!event);
  }

  /** Tell the kernel which frame is shown. */
  report() {
    this.#reportSoon(true);
  }

  /** @param {boolean} on */
  setPlaying(on) {
    this.playing = on && this.#film.frames() > 1;
    if (this.playing && this.frame >= this.last) this.frame = 0;
    if (!this.playing) this.#settle();
    this.#view.root.classList.toggle("playing", this.playing);
    this.#play.title = this.#play.ariaLabel = this.playing ? "pause" : "play";
    this.#film.onPlay?.(this.playing);
    this.#loop();
  }

  #settle() {
    this.frame = Math.round(this.frame);
    this.#film.draw();
    this.report();
  }

  /**
   * @param {string} name of a button
   * @param {Event} event
   */
  #go(name, event) {
    const { frame, last } = this;
    if (name === "play") this.setPlaying(!this.playing);
    else if (name === "first") this.move(0, event);
    else if (name === "back") this.move(Math.ceil(frame) - 1, event);
    else if (name === "next") this.move(Math.floor(frame) + 1, event);
    else this.move(last, event);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const name = KEYS[event.key];
    const { target } = event;
    if (!name || event.defaultPrevented || isShortcut(event)) return;
    if (!(target instanceof Element) || target.closest(".numbers")) return;
    const users = name === "play" ? USERS_OF_SPACE : USERS_OF_ARROWS;
    const pauses = name === "play" && target === this.#slider;
    if (users.includes(target.tagName) && !pauses) return;
    event.preventDefault();
    this.#go(name, event);
  }

  /** @param {boolean} final whether to report at once, and not at most ten times a second */
  #reportSoon(final) {
    const frame = Math.floor(this.frame);
    const now = performance.now();
    if (frame === this.#view.model.get("frame")) return;
    if (final || now - this.#reported >= REPORT_EVERY) {
      this.#reported = now;
      this.#view.model.send({ frame });
    } else {
      this.#reporting ||= window.setTimeout(
        () => {
          this.#reporting = 0;
          this.report();
        },
        REPORT_EVERY - now + this.#reported,
      );
    }
  }

  get #awake() {
    return this.#visible && !document.hidden;
  }

  #loop() {
    if (!this.playing || this.#request || !this.#awake) return;
    this.#clock = 0;
    this.#request = requestAnimationFrame((now) => this.#tick(now));
  }

  #wake() {
    if (!this.#awake) return;
    this.#film.draw();
    this.#loop();
  }

  /** @param {number} now */
  #tick(now) {
    this.#request = 0;
    if (!this.playing || !this.#awake) return;
    if (this.#clock) {
      const passed = Math.min(now - this.#clock, LONGEST_GAP) / 1000;
      this.frame = Math.min(this.frame + passed * this.#film.rate(), this.last);
    }
    this.#clock = now;
    if (this.frame >= this.last) {
      this.setPlaying(false);
      return;
    }
    this.#film.draw();
    this.#reportSoon(false);
    this.#request = requestAnimationFrame((time) => this.#tick(time));
  }
}

/**
 * Fill a table of numbers when the reader opens it, and keep it up to date.
 *
 * @param {import("./base.js").View<any>} view with a `details` around an element of class numbers
 * @param {() => { head: string[], rows: string[][] }} read
 * @returns {() => void} function to call when the numbers have changed
 */
export function numbersTable(view, read) {
  const details = view.find("details", HTMLDetailsElement);
  /** @type {(tag: "th" | "td", cells: string[]) => HTMLTableRowElement} */
  const line = (tag, cells) => make("tr", {}, ...cells.map((cell) => make(tag, {}, cell)));
  const fill = () => {
    if (!details.open) return;
    const { head, rows } = read();
    const lines = [line("th", head), ...rows.map((cells) => line("td", cells))];
    view.find(".numbers", HTMLElement).replaceChildren(make("table", {}, ...lines));
  };
  view.listen(details, "toggle", fill);
  return fill;
}

export const NUMBERS_MARKUP = `<details><summary>table of the numbers</summary>
<div class="numbers" tabindex="0"></div></details>`;
