// The keys of a view.

/** @type {Record<string, [number, number] | undefined>} steps to the right and downwards */
export const ARROWS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/**
 * @param {KeyboardEvent} event
 * @returns {boolean} whether the key belongs to the browser or the notebook
 */
export const isShortcut = (event) => event.ctrlKey || event.metaKey || event.altKey;
