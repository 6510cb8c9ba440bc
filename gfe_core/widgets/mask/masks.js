// Masks, row by row: 1 where a pixel is visible, 0 where it is hidden.

const SEEN = 0.25; // share of the pixels that stay visible in the random mask

/**
 * @param {number} seed
 * @returns {() => number} numbers in [0, 1): mulberry32
 */
function chance(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * Masks that a button makes.
 *
 * @type {Record<string, (mask: Uint8Array, columns: number, seed: number) => void>}
 */
export const READY = {
  clear: (mask) => void mask.fill(1),
  half(mask, columns) {
    for (let j = 0; j < mask.length; j++) mask[j] = j % columns >= columns / 2 ? 1 : 0;
  },
  random(mask, _, seed) {
    const next = chance(seed);
    const order = [...mask.keys()];
    for (let k = order.length - 1; k > 0; k--) {
      const j = Math.floor(next() * (k + 1));
      [order[k], order[j]] = [order[j], order[k]];
    }
    order.forEach((j, k) => {
      mask[j] = k < SEEN * order.length ? 1 : 0;
    });
  },
};

/**
 * Set the pixels whose centre a round brush covers, and the pixel under the centre of the brush.
 *
 * @param {Uint8Array} mask
 * @param {number} columns
 * @param {number[]} middle row and column of the brush, between pixels
 * @param {number} width of the brush, in pixels
 * @param {number} value
 */
export function dab(mask, columns, [row, column], width, value) {
  for (let j = 0; j < mask.length; j++) {
    const r = Math.floor(j / columns);
    const c = j % columns;
    const under = r === Math.floor(row) && c === Math.floor(column);
    const near = Math.hypot(r + 0.5 - row, c + 0.5 - column) <= width / 2;
    if (under || near) mask[j] = value;
  }
}
