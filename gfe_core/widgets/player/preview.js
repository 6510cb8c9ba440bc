// Tracks followed in the browser while the reader drags the start or a slider: a preview of the
// kernel's answer. `preview.py` makes its plan. This script draws nothing.

import { advance, Energy, follow } from "../kit/flow.js";

/** @typedef {import("../kit/flow.js").Attempt} Attempt */
/** @typedef {import("../kit/flow.js").Recipe} Recipe */
/** @typedef {import("./film.js").Paths} Paths */

/**
 * @typedef {object} Turn effect of the values of a control on the recipes
 * @property {number[]} stops of the control
 * @property {Record<string, unknown[]>[]} tracks for each track: field, such as "solver.dt" -> its
 *   values at the stops
 */

/**
 * @typedef {object} Plan
 * @property {import("../kit/flow.js").Portable["layers"]} layers
 * @property {import("../kit/flow.js").Portable["loss"]} loss
 * @property {number} n_pixels of an image; in colour there are three numbers for each
 * @property {{ origin: number[], axes: number[][] }} plane onto which the paths are projected
 * @property {Recipe[]} recipes one for each track
 * @property {Record<string, Turn>} turns by control
 * @property {number} step_scale factor that multiplies steps
 * @property {number | null} lowest energy; if it is given, the second chart is the height above it
 */

const LARGEST = 3e38; // largest number in a chart; it is a finite float32

/** @param {number} value */
const finite = (value) => (Number.isNaN(value) ? 0 : Math.min(Math.max(value, -LARGEST), LARGEST));

export class Preview {
  /** @type {Generator<[number, Attempt], void, void>} */
  #running = noPaths();
  /** @type {Attempt[][]} states of each track */
  #states = [];
  /** @type {number[]} forward-equivalents that each track has cost */
  #work = [];

  /**
   * @param {Plan} plan
   * @param {DataView} numbers float32: the weights of the layers, then the sample
   */
  constructor(plan, numbers) {
    const { buffer, byteOffset, byteLength } = numbers;
    const n = plan.layers[plan.layers.length - 1].outputs;
    const sample = new Float32Array(
      buffer.slice(byteOffset + byteLength - 4 * n, byteOffset + byteLength),
    );
    this.plan = plan;
    this.energy = new Energy({ ...plan, weights: numbers }, sample);
  }

  /**
   * Begin again; the start of each path is available at once.
   *
   * @param {number[]} start on the plane
   * @param {Record<string, unknown>} values of the controls
   */
  start([x, y], values) {
    const { origin, axes } = this.plan.plane;
    const z0 = Float64Array.from(origin, (o, i) => o + x * axes[0][i] + y * axes[1][i]);
    const recipes = turned(this.plan, values);
    this.#states = recipes.map(() => []);
    this.#running = inTurn(recipes.map((recipe) => follow(this.energy, z0, recipe)));
    for (const _ of recipes) this.advance(0);
  }

  /**
   * Continue all tracks in turn.
   *
   * @param {number} milliseconds
   * @returns {boolean} whether all tracks have ended
   */
  advance(milliseconds) {
    const take = (/** @type {[number, Attempt]} */ [track, attempt]) => {
      this.#work[track] = attempt.work;
      if (attempt.accepted) this.#states[track].push(attempt);
    };
    return Boolean(advance(this.#running, take, milliseconds).done);
  }

  /** @returns {Paths} paths so far */
  paths() {
    const tracks = this.#states;
    const frames = Math.max(...tracks.map((states) => states.length));
    const { plane, step_scale, lowest } = this.plan;
    const energies = tracks.flat().map(({ energy }) => finite(energy));
    const ground = Math.min(lowest ?? 0, ...energies);
    const n = tracks.length * frames;
    const paths = {
      frames,
      lengths: tracks.map((states) => states.length),
      path: new Float32Array(2 * n),
      off: new Float32Array(n),
      energy: new Float32Array(n),
      step: new Float32Array(n),
      notes: tracks.map((states, track) => noteOf(states.length - 1, this.#work[track])),
      image: (/** @type {number} */ track, /** @type {number} */ k) => this.#image(track, k),
    };
    tracks.forEach((states, track) => {
      for (let frame = 0; frame < frames; frame++) {
        const at = track * frames + frame;
        const { z, energy } = states[Math.min(frame, states.length - 1)];
        const [x, y, off] = seenFrom(plane, z);
        const height =
          lowest === null ? (states[frame + 1]?.dt ?? 0) * step_scale : energy - ground;
        paths.path.set([finite(x), finite(y)], 2 * at);
        paths.off[at] = finite(off);
        paths.energy[at] = finite(energy);
        paths.step[at] = finite(height);
      }
    });
    return paths;
  }

  /**
   * @param {number} track
   * @param {number} frame
   * @returns {Uint8Array} grey levels of the code's image; in colour, red, green and blue of each
   *   pixel together, although the decoder's output has one colour after the other
   */
  #image(track, frame) {
    const states = this.#states[track];
    const { z } = states[Math.min(frame, states.length - 1)];
    const mean = this.energy.mean(z);
    const size = this.plan.n_pixels;
    const n = mean.length / size;
    return Uint8Array.from(mean, (_, k) => {
      const value = mean[(k % n) * size + Math.floor(k / n)];
      return Math.round(255 * Math.min(Math.max(value, 0), 1));
    });
  }
}

/** @returns {Generator<[number, Attempt], void, void>} */
function* noPaths() {}

/**
 * Follow several paths, one attempt of each in turn.
 *
 * @param {Generator<Attempt, number, void>[]} paths
 * @returns {Generator<[number, Attempt], void, void>}
 */
function* inTurn(paths) {
  let running = paths.map((path, track) => ({ path, track }));
  while (running.length) {
    const next = [];
    for (const one of running) {
      const result = one.path.next();
      if (result.done) continue;
      yield [one.track, result.value];
      next.push(one);
    }
    running = next;
  }
}

/**
 * @param {Plan} plan
 * @param {Record<string, unknown>} values of the controls
 * @returns {Recipe[]} recipes for these values
 */
function turned({ recipes, turns }, values) {
  const changed = structuredClone(recipes);
  for (const [name, { stops, tracks }] of Object.entries(turns)) {
    const away = stops.map((stop) => Math.abs(stop - Number(values[name])));
    const stop = away.indexOf(Math.min(...away));
    if (stop < 0) continue;
    tracks.forEach((fields, track) => {
      for (const [field, choices] of Object.entries(fields)) {
        put(changed[track], field.split("."), choices[stop]);
      }
    });
  }
  return changed;
}

/**
 * @param {Record<string, any>} record
 * @param {string[]} path to a field
 * @param {unknown} value
 */
function put(record, [key, ...rest], value) {
  if (rest.length) put(record[key], rest, value);
  else record[key] = value;
}

/**
 * @param {Plan["plane"]} plane
 * @param {Float64Array} z
 * @returns {number[]} position of a code on the plane, and its distance from it
 */
function seenFrom({ origin, axes }, z) {
  const [x, y] = axes.map((axis) => axis.reduce((sum, a, i) => sum + a * (z[i] - origin[i]), 0));
  const off = z.map((value, i) => value - origin[i] - x * axes[0][i] - y * axes[1][i]);
  return [x, y, Math.hypot(...off)];
}

/**
 * @param {number} steps
 * @param {number} work
 */
const noteOf = (steps, work) => `${steps} steps, ${work} forward-equivalents, in the browser`;
