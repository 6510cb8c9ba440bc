// The start of the flow, which a pointer or the arrow keys move over the plane.

import { NO_KERNEL } from "../kit/base.js";
import { drag, spotIn } from "../kit/drag.js";
import { ARROWS } from "../kit/keyboard.js";
import { clamp } from "../kit/numbers.js";

const STEP = 1 / 50; // share of the plane that a key moves
const CROSS = "M2 2 14 14M14 2 2 14";

export const HANDLE_MARKUP = `<button type="button" class="start"
aria-label="start"><svg width="16" height="16"
viewBox="0 0 16 16" stroke-linecap="round"><path d="${CROSS}" stroke="#fff" stroke-width="5"/>
<path d="${CROSS}" stroke="#1d1e22" stroke-width="2.2"/></svg></button>`;

export class Handle {
  #view;
  #plane;
  #button;
  #told;
  /** @type {number[] | null} where the drag began; #from: where the start was */
  #grip = null;
  #from = [0, 0];
  start = [0, 0];
  /** Whether it is being dragged. */
  held = false;
  /** Whether the drag has moved it. */
  moved = false;

  /**
   * @param {import("../kit/base.js").View<import("./view.js").Traits>} view with HANDLE_MARKUP
   * @param {import("./plane.js").Plane} plane
   * @param {{ able: () => boolean, moved: (event: Event) => void,
   *   released: (event: Event) => void }} told able: whether the kernel or the browser can answer
   *   it; moved: called when it has moved or a drag has ended; released: called when a drag that
   *   moved it has ended
   */
  constructor(view, plane, told) {
    this.#view = view;
    this.#plane = plane;
    this.#told = told;
    this.#button = view.find(".start", HTMLButtonElement);
    drag(view, this.#button, {
      start: (event) => {
        this.#take();
        this.#grip = spotIn(event, this.#plane.stage);
      },
      move: (event) => this.#follow(event),
      end: (event) => this.#release(event),
    });
    view.listen(this.#button, "blur", (event) => this.#release(event));
    view.listen(this.#button, "keydown", (event) => this.#press(event));
  }

  get draggable() {
    return this.#told.able() && this.#view.model.get("draggable");
  }

  /** Show its position. */
  show() {
    const [x, y] = this.#plane.shares(this.start).map((share) => 100 * clamp(share, 0, 1));
    this.#button.disabled = !this.draggable;
    this.#button.title = this.#told.able() ? "" : NO_KERNEL;
    const place = this.start.map((share) => share.toFixed(2)).join(", ");
    this.#button.ariaLabel = `start ${place}: arrow keys move it, Enter lets go`;
    this.#button.style.inset = `${y}% auto auto ${x}%`;
    this.#button.classList.toggle("held", this.held);
  }

  #take() {
    this.held = true;
    this.#from = this.start;
  }

  /** @param {PointerEvent} event */
  #follow(event) {
    if (!this.#grip) return;
    const [x, y] = spotIn(event, this.#plane.stage);
    const [left, top] = this.#grip;
    const by = [(x - left) / this.#plane.width, (y - top) / this.#plane.height];
    if (by.some(Boolean) || this.moved) this.#carry(by, event);
    else this.#told.moved(event);
  }

  /**
   * @param {number[]} by shares of the plane
   * @param {Event} event
   */
  #carry(by, event) {
    this.start = this.#plane.moved(this.#from, by);
    this.moved = true;
    this.#told.moved(event);
  }

  /** @param {Event} event */
  #release(event) {
    const { moved } = this;
    this.held = this.moved = false;
    this.#grip = null;
    this.#told.moved(event);
    if (moved) this.#told.released(event);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const way = ARROWS[event.key];
    if (!way && event.key !== "Enter") return;
    event.preventDefault();
    if (!way) {
      this.#release(event);
      return;
    }
    this.#take();
    this.#carry([way[0] * STEP, way[1] * STEP], event);
  }
}
