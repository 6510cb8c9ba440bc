// Canvases: sharp on every screen, filled with pixels, lines and hatching.

/** @typedef {[number, number]} Spot pixels to the right and downwards */

/**
 * @typedef {object} Layer
 * @property {CanvasRenderingContext2D} pen
 * @property {number} width in pixels of the style sheet
 * @property {number} height
 */

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {CanvasRenderingContext2D}
 */
export const penOf = (canvas) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

/**
 * Clear a canvas that covers its parent, at the resolution of the screen.
 *
 * @param {HTMLCanvasElement} canvas
 * @returns {Layer}
 */
export function layer(canvas) {
  const ratio = (window.devicePixelRatio || 1) * (canvas.currentCSSZoom ?? 1);
  const { clientWidth: width, clientHeight: height } = canvas.parentElement ?? canvas;
  const kept = resize(canvas, Math.round(width * ratio), Math.round(height * ratio));
  const pen = penOf(canvas);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  // only if needed: on paper, Chromium also clears the canvas below
  if (kept) pen.clearRect(0, 0, width, height);
  pen.setLineDash([]);
  pen.globalAlpha = 1;
  pen.lineJoin = "round";
  return { pen, width, height };
}

/**
 * Set the size of a canvas if it changes, because setting the size is slow and clears the canvas.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 * @returns {boolean} whether it has this size already, and keeps its content
 */
function resize(canvas, width, height) {
  const kept = canvas.width === width && canvas.height === height;
  if (!kept) Object.assign(canvas, { width, height });
  return kept;
}

/**
 * Fill a canvas with an image, one pixel of the canvas for each pixel of the image.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number[]} shape rows and columns of the image
 * @param {(j: number) => import("./look.js").Rgb} colourOf pixel j, row by row
 */
export function pixels(canvas, [rows, columns], colourOf) {
  resize(canvas, columns, rows);
  const pen = penOf(canvas);
  const image = pen.createImageData(columns, rows);
  for (let j = 0; j < rows * columns; j++) {
    const [r, g, b] = colourOf(j);
    image.data[4 * j] = r;
    image.data[4 * j + 1] = g;
    image.data[4 * j + 2] = b;
    image.data[4 * j + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
}

/**
 * Fill a canvas with a picture, grey or in colour.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number[]} shape rows and columns, and 3 if each pixel has red, green and blue
 * @param {ArrayLike<number>} levels 0 to 255
 */
export function paint(canvas, shape, levels) {
  const [, , n = 1] = shape;
  const next = n === 3 ? 1 : 0; // a grey level is used for all three
  pixels(canvas, shape, (j) => [levels[n * j], levels[n * j + next], levels[n * j + 2 * next]]);
}

/**
 * @param {number[]} shape
 * @returns {number} number of elements of an array of this shape
 */
export const numbersOf = (shape) => shape.reduce((n, side) => n * side, 1);

/**
 * Draw a path.
 *
 * @param {CanvasRenderingContext2D} pen
 * @param {Path2D | string} path or its SVG text
 * @param {string} ink
 * @param {number} [width]
 * @param {number[]} [dash]
 */
export function stroke(pen, path, ink, width = 1, dash = []) {
  pen.strokeStyle = ink;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.stroke(typeof path === "string" ? new Path2D(path) : path);
  pen.setLineDash([]);
}

/**
 * @param {Iterable<Spot>} spots those that are not finite are left out
 * @returns {Path2D} the line through them
 */
export function pathThrough(spots) {
  const path = new Path2D();
  for (const [x, y] of spots) path.lineTo(x, y);
  return path;
}

/**
 * @param {Spot} spot
 * @param {number} radius
 * @returns {Path2D}
 */
export function circle([x, y], radius) {
  const path = new Path2D();
  path.arc(x, y, radius, 0, 2 * Math.PI);
  return path;
}

/**
 * Fill a path with parallel lines, the sign of hidden pixels.
 *
 * @param {Layer} layer
 * @param {Path2D} path
 * @param {string[]} inks colours of the ground and of the lines
 * @param {number} [gap] between lines
 * @param {number} [thick] width of the lines
 */
export function hatch({ pen, width, height }, path, [ground, lines], gap = 9, thick = gap / 6) {
  pen.save();
  pen.clip(path);
  pen.fillStyle = ground;
  pen.fillRect(0, 0, width, height);
  const stripes = new Path2D();
  for (let x = -height; x < width; x += gap) {
    stripes.moveTo(x, height);
    stripes.lineTo(x + height, 0);
  }
  stroke(pen, stripes, lines, thick);
  pen.restore();
}
