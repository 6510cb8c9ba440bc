// Dragging with a pointer.

/**
 * @typedef {object} Hand
 * @property {(event: PointerEvent) => void} move called when a drag starts, and while it goes on
 * @property {(event: PointerEvent) => unknown} [start] returns false if there is nothing to drag
 * @property {(event: PointerEvent) => void} [end]
 */

/**
 * @param {PointerEvent} event
 * @param {HTMLElement} element
 * @returns {import("./layers.js").Spot} the pointer's position, in pixels from the element's corner
 */
export function spotIn(event, element) {
  const box = element.getBoundingClientRect();
  const scale = element.offsetWidth / box.width; // a page may show its content larger
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

/**
 * Follow a pointer from its press on an element to its release, also outside of the element.
 *
 * @param {import("./base.js").View<any>} view
 * @param {HTMLElement} element
 * @param {Hand} hand
 */
export function drag(view, element, hand) {
  let held = false;
  view.listen(element, "pointerdown", (event) => {
    if (event.button || hand.start?.(event) === false) return;
    held = true;
    element.setPointerCapture(event.pointerId);
    hand.move(event);
  });
  view.listen(element, "pointermove", (event) => {
    if (held) hand.move(event);
  });
  view.listen(element, ["pointerup", "pointercancel"], (event) => {
    if (!held) return;
    held = false;
    hand.end?.(event);
  });
}
