// The film: codes of one or more tracks, frame by frame, with their energies, steps and images.

/** @typedef {import("./view.js").Traits} Traits */

export class Film {
  /** @param {import("../kit/model.js").Model<Traits>} model */
  constructor(model) {
    const [tracks, frames] = model.get("shape");
    const shape = model.get("image_shape");
    this.tracks = frames ? tracks : 0;
    this.frames = tracks ? frames : 0;
    this.rows = shape[0];
    this.columns = shape[1];
    this.names = model.get("names").slice(0, this.tracks);
    this.notes = model.get("notes");
    this.lengths = model.get("n_frames"); // a track may end before the film
    this.path = model.floats("trajectory");
    this.off = model.floats("off_plane");
    this.energy = model.floats("energies");
    this.step = model.floats("steps");
    this.images = model.bytes("frames");
    this.target = model.bytes("target");
  }

  get last() {
    return Math.max(this.frames - 1, 0);
  }

  /** Whether all codes lie on the plane that is shown. */
  get flat() {
    return this.off.every((distance) => distance === 0);
  }

  /** Numbers of the tracks, the first one last: it is drawn over the others. */
  get backwards() {
    return [...this.names.keys()].reverse();
  }

  /**
   * @param {Float32Array} array one number for each frame of each track
   * @param {number} track
   * @param {number} frame between two frames, the number is too
   * @param {{ parts: number, part: number }} [of] a number of several
   * @returns {number}
   */
  at(array, track, frame, { parts, part } = { parts: 1, part: 0 }) {
    const k = Math.floor(frame);
    const i = (track * this.frames + k) * parts + part;
    if (frame === k) return array[i];
    return array[i] + (array[i + parts] - array[i]) * (frame - k);
  }

  /**
   * @param {number} track
   * @param {number} frame
   * @returns {[number, number]} where the code is on the plane
   */
  place(track, frame) {
    return [
      this.at(this.path, track, frame, { parts: 2, part: 0 }),
      this.at(this.path, track, frame, { parts: 2, part: 1 }),
    ];
  }

  /**
   * @param {number} track
   * @param {number} frame a whole number
   * @returns {Uint8Array} grey levels of the image
   */
  image(track, frame) {
    const size = this.rows * this.columns;
    const start = (track * this.frames + frame) * size;
    return this.images.subarray(start, start + size);
  }
}
