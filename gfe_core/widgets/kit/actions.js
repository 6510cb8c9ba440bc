// Actions in the menu of a view: save a picture or a page, copy text to the clipboard, present on
// the whole screen. They are a separate script because they are rarely used.

import { make, parse } from "./dom.js";
import { penOf } from "./layers.js";

export { present } from "./presentation.js";

const SCALE = 2; // pixels of a picture for each pixel of the view
const COLOURS = ["fg", "soft", "bg", "rule", "brand"];

/**
 * @param {Blob} blob
 * @param {string} name of the file
 */
function download(blob, name) {
  const href = URL.createObjectURL(blob);
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/**
 * @param {string} title
 * @returns {string} name of a file, without its extension
 */
const fileName = (title) =>
  title
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-|-$/g, "") || "view";

/**
 * Copy text to the clipboard. `navigator.clipboard` exists only on pages of a secure origin.
 *
 * @param {string} text
 */
export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = make("textarea", {}, text);
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/**
 * Save a picture of a view.
 *
 * @param {import("./base.js").View<any>} view
 */
export async function savePicture(view) {
  const blob = await pictureOf(view.root);
  download(blob, fileName(view.model.get("title")) + (blob.type.includes("svg") ? ".svg" : ".png"));
}

/**
 * Save a view as a page, which the kernel writes.
 *
 * @param {import("./base.js").View<any>} view
 */
export async function savePage(view) {
  const html = await view.model.ask("page");
  download(new Blob([html], { type: "text/html" }), `${fileName(view.model.get("title"))}.html`);
}

/**
 * Draw a view in its present state.
 *
 * @param {HTMLElement} root
 * @returns {Promise<Blob>} PNG; in a browser that does not give its pixels, the SVG behind it
 */
async function pictureOf(root) {
  const drawing = new XMLSerializer().serializeToString(drawingOf(root));
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawing)}`;
  await image.decode();
  const [width, height] = [SCALE * root.offsetWidth, SCALE * root.offsetHeight];
  const canvas = make("canvas", { width, height });
  penOf(canvas).drawImage(image, 0, 0, width, height);
  const svg = new Blob([drawing], { type: "image/svg+xml" });
  try {
    return await new Promise((done) => canvas.toBlob((blob) => done(blob ?? svg)));
  } catch {
    return svg;
  }
}

/**
 * @param {HTMLElement} root
 * @returns {Element} an SVG that holds a copy of the view, with its styles
 */
function drawingOf(root) {
  const { offsetWidth: width, offsetHeight: height } = root;
  const svg = parse(`<svg width="${width}" height="${height}"><foreignObject width="100%"
height="100%"></foreignObject></svg>`);
  svg.firstElementChild?.append(make("style", {}, styles()), copyOf(root));
  return svg;
}

/**
 * Copy a view with the state of its canvases, inputs and theme, which is not part of its markup.
 *
 * @param {HTMLElement} root
 */
function copyOf(root) {
  const style = getComputedStyle(root);
  const copied = /** @type {HTMLElement} */ (root.cloneNode(true));
  const width = `${root.offsetWidth}px`;
  const { fontFamily, fontSize, lineHeight, fontVariantNumeric } = style;
  Object.assign(copied.style, { fontFamily, fontSize, lineHeight, fontVariantNumeric });
  Object.assign(copied.style, { boxSizing: "border-box", width, maxWidth: width, zoom: "1" });
  for (const name of COLOURS) {
    copied.style.setProperty(`--${name}`, style.getPropertyValue(`--${name}`));
  }
  const drawn = copied.querySelectorAll("canvas");
  root.querySelectorAll("canvas").forEach((canvas, k) => {
    drawn[k].style.background = `url(${canvas.toDataURL()}) 0 0 / 100% 100%`;
  });
  const scrolled = copied.querySelectorAll("*");
  root.querySelectorAll("*").forEach((one, k) => {
    const first = scrolled[k].firstElementChild;
    if (one.scrollLeft && first instanceof HTMLElement) {
      first.style.marginLeft = `${-one.scrollLeft}px`;
    }
  });
  const fields = copied.querySelectorAll("input");
  root.querySelectorAll("input").forEach((input, k) => {
    fields[k].setAttribute("value", input.value);
  });
  const options = copied.querySelectorAll("option");
  root.querySelectorAll("option").forEach((option, k) => {
    options[k].toggleAttribute("selected", option.selected);
  });
  return copied;
}

/** @returns {string} rules of the page's style sheets that apply to views */
function styles() {
  const rules = [...document.styleSheets].flatMap((sheet) => {
    try {
      return [...sheet.cssRules];
    } catch {
      return []; // a sheet of another origin, which cannot be read
    }
  });
  const texts = rules.map((rule) => rule.cssText);
  const bare = "* { scrollbar-width: none }";
  return [...texts.filter((text) => text.includes(".gfe-")), bare].join("\n");
}
