// Make, find and fill elements.

/**
 * Make an element; an attribute that is null or false is left out.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | null | undefined>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value != null && value !== false) node.setAttribute(key, String(value));
  }
  node.append(...children);
  return node;
}

/**
 * Make an element from its markup.
 *
 * @param {string} markup
 * @returns {Element}
 */
export function parse(markup) {
  const template = document.createElement("template");
  template.innerHTML = markup;
  return /** @type {Element} */ (template.content.firstElementChild);
}

/**
 * Find the first element that matches; it must exist and be of the given kind.
 *
 * @template {Element} E
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => E} kind
 * @returns {E}
 */
export function find(root, selector, kind) {
  const found = root.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`the markup has no ${kind.name} at ${selector}`);
  return found;
}

/**
 * Find all elements of a kind that match.
 *
 * @template {Element} E
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => E} kind
 * @returns {E[]}
 */
export const findAll = (root, selector, kind) =>
  /** @type {E[]} */ ([...root.querySelectorAll(selector)].filter((one) => one instanceof kind));

/**
 * Replace the options of a select.
 *
 * @param {HTMLSelectElement} select
 * @param {{ text: string, value: string | number }[]} options
 */
export function setOptions(select, options) {
  select.replaceChildren(...options.map(({ text, value }) => make("option", { value }, text)));
}

/**
 * The sign of a line or a mark in a key.
 *
 * @param {string} drawing content of an SVG of 26 x 10
 * @returns {string} markup
 */
export const sign = (drawing) =>
  `<svg width="26" height="10" viewBox="0 0 26 10" aria-hidden="true">${drawing}</svg>`;

/**
 * The sign of a line.
 *
 * @param {string} colour
 * @param {number[]} [dash]
 * @returns {string} markup
 */
export const strokeSign = (colour, dash = []) =>
  sign(`<path d="M0 5H26" stroke="${colour}" stroke-width="2.4" stroke-dasharray="${dash}"/>`);
