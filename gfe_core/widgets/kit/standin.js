// Takes the place of the kernel for a player in a page: it follows the flow from the start that the
// reader chose, and shows recorded answers to other choices, such as a sample with its landscape.

import { moduleOf } from "./module.js";

/** @typedef {import("./model.js").Host} Host */
/** @typedef {import("../player/preview.js").Preview} Preview */
/** @typedef {Record<string, any>} Traits */

/** @typedef {[string, (string | number)[]][]} Choices controls that are answered, and their options */

/**
 * @typedef {Record<string, Traits[]>} States by the indices of the options: for each part of the
 *   figure, the traits that differ from the initial ones; the numbers of a sample follow the
 *   weights, which stay the same
 */

/** @typedef {{ id: number, start: number[], values: Record<string, any> }} Request */

const SLICE = 15; // ms of every frame; the rest of a frame is left for drawing

const READ = ["landscape", "preview", "preview_numbers", "caption", "controls", "values"];

export class StandIn {
  #host;
  #choices;
  #states;
  #others;
  #asked = 0;
  /** @type {Traits} initial values of the traits that have changed since */
  #first = {};

  /**
   * @param {Host} host of the player
   * @param {Choices} choices
   * @param {() => Promise<States>} states
   * @param {(changes: Traits[] | null) => void} others called with the changes of the other parts
   *   of the figure, or null if these are unknown
   */
  constructor(host, choices, states, others) {
    this.#host = host;
    this.#choices = choices;
    this.#states = states;
    this.#others = others;
  }

  /** @returns {Host} the player's host, with answers */
  get host() {
    return { ...this.#host, save_changes: () => this.#hear(this.#host.get("request")) };
  }

  /** @param {Request} request */
  #hear(request) {
    if (request.id === undefined || request.id === this.#asked) return;
    this.#asked = request.id;
    this.#answer(request);
  }

  /** @param {Request} request */
  async #answer({ id, start, values }) {
    const host = this.#host;
    const [own, ...others] = await this.#recorded(values);
    const traits = this.#changed(own);
    const place = equal(traits.landscape, host.get("landscape")) ? start : [0, 0];
    const asked = Object.keys(values).every((name) => values[name] === traits.values[name]);
    const shown = asked && !place.some(Boolean);
    const film = "recipes" in traits.preview ? await this.#follow(traits, place, values) : {};
    if (!shown) Object.assign(film, unlike(traits, values));
    const all = { ...traits, ...film, start: place, values, reply: id };
    for (const [key, value] of Object.entries(all)) host.set(key, value);
    this.#others(shown ? others : null);
  }

  /**
   * @param {Record<string, any>} values of the controls
   * @returns {Promise<Traits[]>} recorded traits for these values, for each part of the figure
   */
  async #recorded(values) {
    const places = this.#choices.map(([name, options]) => options.indexOf(values[name]));
    return (await this.#states())[places.join(" ")];
  }

  /**
   * @param {Traits} own
   * @returns {Traits} every trait that this answer or an earlier one has changed
   */
  #changed(own) {
    const host = this.#host;
    for (const name of [...READ, ...Object.keys(own)]) this.#first[name] ??= host.get(name);
    const traits = { ...this.#first, ...own };
    if (own.preview_numbers) {
      traits.preview_numbers = behind(this.#first.preview_numbers, own.preview_numbers);
    }
    return traits;
  }

  /**
   * Follow the flow.
   *
   * @param {Traits} traits
   * @param {number[]} place
   * @param {Record<string, any>} values
   * @returns {Promise<Traits>} the film
   */
  async #follow({ preview: plan, preview_numbers: numbers }, place, values) {
    const { Preview } = await moduleOf(this.#host.get("preview_script"));
    /** @type {Preview} */
    const preview = new Preview(plan, numbers);
    preview.start(place, values);
    while (!preview.advance(SLICE)) await new Promise(requestAnimationFrame);
    return filmOf(preview);
  }
}

/** @param {DataView} view */
const bytesOf = ({ buffer, byteOffset, byteLength }) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/**
 * @param {DataView} one
 * @param {DataView} other
 */
function equal(one, other) {
  const own = bytesOf(other);
  return one.byteLength === own.length && bytesOf(one).every((byte, k) => byte === own[k]);
}

/**
 * Put the numbers of a sample after the weights.
 *
 * @param {DataView} numbers of another sample, after the same weights
 * @param {DataView} own
 */
function behind(numbers, own) {
  const whole = bytesOf(numbers).slice();
  const sample = bytesOf(own);
  whole.set(sample, whole.length - sample.length);
  return new DataView(whole.buffer);
}

/**
 * Return the caption and the controls for values or starts that were not recorded; the caption
 * names only the sample.
 *
 * @param {Traits} traits
 * @param {Record<string, any>} values
 * @returns {Traits}
 */
function unlike({ caption, controls, values: recorded }, values) {
  const same = (/** @type {string} */ name) => recorded[name] === values[name];
  return {
    caption: `${caption.split(" · ")[0]} · followed in the browser`,
    controls: controls.map((/** @type {Traits} */ control) =>
      same(control.name) ? control : { ...control, note: "" },
    ),
  };
}

/**
 * @param {Preview} preview
 * @returns {Traits} traits of the film
 */
function filmOf(preview) {
  const { frames, lengths, path, off, energy, step, notes, image } = preview.paths();
  const images = lengths.flatMap((_, track) =>
    Array.from({ length: frames }, (_, frame) => image(track, frame)),
  );
  const pixels = new Uint8Array(images.length * images[0].length);
  images.forEach((one, k) => {
    pixels.set(one, k * one.length);
  });
  return {
    shape: [lengths.length, frames],
    n_frames: lengths,
    trajectory: new DataView(path.buffer),
    off_plane: new DataView(off.buffer),
    energies: new DataView(energy.buffer),
    steps: new DataView(step.buffer),
    frames: new DataView(pixels.buffer),
    notes,
  };
}
