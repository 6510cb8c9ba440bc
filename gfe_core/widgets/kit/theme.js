// The notebook's theme for canvases: the style sheet puts JupyterLab's colours into --fg, --soft,
// --rule and --bg.

import { ACCENT } from "./look.js";

/**
 * @typedef {object} Theme
 * @property {boolean} dark
 * @property {string} fg colour of text
 * @property {string} soft colour of less important text
 * @property {string} rule colour of thin lines
 * @property {string} bg colour of the background
 * @property {string} accent colour of a single series
 * @property {string} family of the font
 * @property {string} font of numbers in canvases
 */

/**
 * @param {number[]} rgb
 * @returns {boolean} whether white is readable on this colour
 */
export const isDark = ([r, g, b]) => r * 0.3 + g * 0.6 + b * 0.1 < 125;

/**
 * Read the theme around a view, and apply it to the controls of the view.
 *
 * @param {HTMLElement} root
 * @returns {Theme}
 */
export function readTheme(root) {
  const style = getComputedStyle(root);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
  const dark = isDark((style.backgroundColor.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number));
  const theme = {
    dark,
    fg: colour("fg"),
    soft: colour("soft"),
    rule: colour("rule"),
    bg: colour("bg"),
    accent: dark ? ACCENT.dark : ACCENT.light,
    family: style.fontFamily,
    font: `12px ${style.fontFamily}`,
  };
  root.style.colorScheme = dark ? "dark" : "light";
  return theme;
}

/**
 * Call when the theme of JupyterLab or of the system changes.
 *
 * @param {() => void} call
 * @param {AbortSignal} signal ends it
 */
export function onTheme(call, signal) {
  const later = () => requestAnimationFrame(() => signal.aborted || call());
  const observer = new MutationObserver(later);
  const attributeFilter = ["class", "data-jp-theme-light", "data-jp-theme-name"];
  observer.observe(document.body, { attributes: true, attributeFilter });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later, { signal });
  signal.addEventListener("abort", () => observer.disconnect());
}
