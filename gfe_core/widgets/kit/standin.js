// Stands in for the kernel of a player in a page: follows the flow from where a hand let go of the
// start, and shows another sample, whose landscape the page holds.

import { moduleOf } from "./module.js";

/** @typedef {import("./model.js").Host} Host */
/** @typedef {import("../player/preview.js").Preview} Preview */

/**
 * @typedef {Record<string, Record<string, any>>} Answers for each sample the traits in which it
 *   differs; its numbers stand behind the weights, which all samples share
 */

const SLICE = 15; // ms of every frame, which leaves the rest of it to what is drawn

/**
 * @param {Host} host of the player
 * @param {() => Promise<Answers>} answers
 * @returns {Host} the same host, with answers
 */
export function standIn(host, answers) {
  let asked = 0;
  return {
    ...host,
    save_changes() {
      const request = host.get("request");
      if (request.id === undefined || request.id === asked) return;
      asked = request.id;
      answer(host, answers, request);
    },
  };
}

/**
 * @param {Host} host
 * @param {() => Promise<Answers>} answers
 * @param {{ id: number, start: number[], values: Record<string, any> }} request
 */
async function answer(host, answers, { id, start, values }) {
  const other = values.sample !== host.get("values").sample;
  /** @type {Record<string, any>} */
  const own = other ? numbered(host, (await answers())[values.sample]) : {};
  const place = other ? [0, 0] : start;
  const { Preview } = await moduleOf(host.get("preview_script"));
  const preview = new Preview(
    own.preview ?? host.get("preview"),
    own.preview_numbers ?? host.get("preview_numbers"),
  );
  preview.start(place, values);
  while (!preview.advance(SLICE)) await new Promise(requestAnimationFrame);
  const traits = { ...own, ...filmOf(preview), start: place, values, reply: id };
  for (const [key, value] of Object.entries(traits)) host.set(key, value);
}

/**
 * Put the numbers of a sample behind the weights.
 *
 * @param {Host} host
 * @param {Record<string, any>} own
 */
function numbered(host, own) {
  const bytes = (/** @type {DataView} */ { buffer, byteOffset, byteLength }) =>
    new Uint8Array(buffer, byteOffset, byteLength);
  const whole = bytes(host.get("preview_numbers")).slice();
  const sample = bytes(own.preview_numbers);
  whole.set(sample, whole.length - sample.length);
  return { ...own, preview_numbers: new DataView(whole.buffer) };
}

/**
 * @param {Preview} preview
 * @returns {Record<string, any>} the film's traits
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
