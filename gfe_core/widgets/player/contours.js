// Lines of equal height.

import { range } from "../kit/numbers.js";

const CELL = 4; // pixels of the map in one cell of the search

/** Corners of a cell as (row, column), in the order in which its edges are visited. */
const CORNERS = [
  [0, 0],
  [0, 1],
  [1, 1],
  [1, 0],
];

/**
 * Find lines of equal height by marching squares. Means over blocks of grey levels recover the
 * precision that rounding to eight bits loses.
 *
 * @param {Uint8ClampedArray} levels (height, width)
 * @param {number} width
 * @param {number} height
 * @param {number[]} heights
 * @returns {Path2D[]} a path for each height; the map is 1 wide and 1 high
 */
export function contours(levels, width, height, heights) {
  const columns = Math.floor(width / CELL);
  const rows = Math.floor(height / CELL);
  const nodes = range(rows + 1, (r) => range(columns + 1, (c) => node(r, c)));

  /** @type {(r: number, c: number) => number} */
  function node(r, c) {
    let sum = 0;
    let n = 0;
    for (let y = Math.max((r - 1) * CELL, 0); y < Math.min((r + 1) * CELL, height); y++) {
      for (let x = Math.max((c - 1) * CELL, 0); x < Math.min((c + 1) * CELL, width); x++) {
        sum += levels[y * width + x];
        n += 1;
      }
    }
    return sum / n;
  }

  /** @type {(r: number, c: number, level: number) => [number, number][]} points on cut edges */
  function cuts(r, c, level) {
    return CORNERS.flatMap(([y, x], k) => {
      const [v, u] = CORNERS[(k + 1) % 4];
      const from = nodes[r + y][c + x];
      const to = nodes[r + v][c + u];
      const share = (level - from) / (to - from);
      if (from < level === to < level) return [];
      return [[(c + x + (u - x) * share) / columns, (r + y + (v - y) * share) / rows]];
    });
  }

  return heights.map((level) => {
    const path = new Path2D();
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        const cut = cuts(r, c, level);
        for (let j = 0; j + 1 < cut.length; j += 2) {
          path.moveTo(...cut[j]);
          path.lineTo(...cut[j + 1]);
        }
      }
    }
    return path;
  });
}
