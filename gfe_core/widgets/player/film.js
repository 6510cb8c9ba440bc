// The film: codes of one or more tracks, frame by frame, with their energies, steps and images.

/** @typedef {import("./view.js").Traits} Traits */

/**
 * The states along the tracks; a short track holds its last state.
 *
 * @typedef {object} Paths
 * @property {number} frames
 * @property {number[]} lengths frames of each track
 * @property {string[]} notes of each track
 * @property {Float32Array} path (tracks, frames, 2)
 * @property {Float32Array} off (tracks, frames) distance from the plane
 * @property {Float32Array} energy (tracks, frames)
 * @property {Float32Array} step (tracks, frames)
 * @property {(track: number, frame: number) => Uint8Array} image grey levels at a whole frame
 */

export class Film {
  /**
   * @param {import("../kit/model.js").Model<Traits>} model
   * @param {Paths} [paths] by default those that the kernel has sent
   */
  constructor(model, paths = sentPaths(model)) {
    this.imageShape = model.get("image_shape");
    this.target = model.bytes("target");
    this.names = model.get("names").slice(0, paths.frames ? paths.lengths.length : 0);
    this.looks = model.get("looks");
    /** Word for a frame. */
    this.noun = model.get("frame_label");
    this.tracks = this.names.length;
    this.frames = this.tracks ? paths.frames : 0;
    this.lengths = paths.lengths;
    this.notes = paths.notes;
    this.path = paths.path;
    this.off = paths.off;
    this.energy = paths.energy;
    this.step = paths.step;
    this.image = paths.image;
  }

  get last() {
    return Math.max(this.frames - 1, 0);
  }

  /** Whether all codes lie on the plane that is shown. */
  get flat() {
    return this.off.every((distance) => distance === 0);
  }

  /** Indices of the tracks in the order of drawing: the first comes last, over the others. */
  get backwards() {
    return [...this.names.keys()].reverse();
  }

  /**
   * @param {Float32Array} array one number for each frame of each track
   * @param {number} track
   * @param {number} frame frame, or a place between two frames, at which numbers are interpolated
   * @param {{ parts: number, part: number }} [of] index of the number, if each frame has several
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
   * @returns {[number, number]} position of the code on the plane
   */
  place(track, frame) {
    return [
      this.at(this.path, track, frame, { parts: 2, part: 0 }),
      this.at(this.path, track, frame, { parts: 2, part: 1 }),
    ];
  }
}

/**
 * @param {import("../kit/model.js").Model<Traits>} model
 * @returns {Paths}
 */
function sentPaths(model) {
  const [, frames] = model.get("shape");
  const images = model.bytes("frames");
  const size = model.bytes("target").length;
  return {
    frames,
    lengths: model.get("n_frames"),
    notes: model.get("notes"),
    path: model.floats("trajectory"),
    off: model.floats("off_plane"),
    energy: model.floats("energies"),
    step: model.floats("steps"),
    image(track, frame) {
      const start = (track * frames + frame) * size;
      return images.subarray(start, start + size);
    },
  };
}
