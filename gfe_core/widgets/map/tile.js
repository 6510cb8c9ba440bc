// A picture with its name above.

/**
 * @param {string} name
 * @param {string} label for screen readers
 * @returns {string} markup
 */
export const tileMarkup = (name, label) =>
  `<div class="tile"><p>${name}</p><canvas role="img" aria-label="${label}"></canvas></div>`;
