// A hand that holds something.

/**
 * @typedef {object} Hand
 * @property {(event: PointerEvent) => void} move called at once, and while the hand moves
 * @property {(event: PointerEvent) => unknown} [start] false: there is nothing to hold here
 * @property {(event: PointerEvent) => void} [end]
 */

/**
 * @param {PointerEvent} event
 * @param {HTMLElement} element
 * @returns {import("./layers.js").Spot} where the hand is, in pixels from the element's corner
 */
export function spotIn(event, element) {
  const box = element.getBoundingClientRect();
  const scale = element.offsetWidth / box.width; // a page may show its content larger
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

/**
 * Follow a hand from where it presses an element until it lets go, outside of it too.
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
