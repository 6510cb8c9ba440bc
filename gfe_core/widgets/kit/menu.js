// The menu of a view: one button with actions that are rarely used.

import { make } from "./dom.js";
import { moduleOf } from "./module.js";

/**
 * @typedef {object} Item
 * @property {string} name
 * @property {string} label
 * @property {(event: Event) => unknown} run action; a text that it returns or resolves to is shown
 */

export const MENU_MARKUP = `<span class="said soft" role="status"></span><div class="menu">
<button type="button" class="more button" aria-haspopup="menu" aria-expanded="false"
aria-label="more" title="more">⋯</button><div role="menu" aria-label="more" hidden></div></div>`;

/** @type {[name: string, label: string, action: "savePicture" | "savePage" | "present"][]} */
const USUAL = [
  ["picture", "Save picture (PNG)", "savePicture"],
  ["page", "Save page (HTML)", "savePage"],
  ["present", "Present (Escape leaves)", "present"],
];

/** @type {Promise<typeof import("./actions.js")> | undefined} */
let actions;

/**
 * @param {import("./base.js").View<any>} view with the trait `actions_script`
 * @returns {Promise<typeof import("./actions.js")>}
 */
export function actionsOf(view) {
  actions ??= moduleOf(view.model.get("actions_script"));
  return actions;
}

/**
 * @param {import("./base.js").View<any>} view with the trait `actions_script`
 * @returns {Item[]} items of every menu
 */
export const usualItems = (view) =>
  USUAL.map(([name, label, action]) => ({
    name,
    label,
    run: async () => (await actionsOf(view))[action](view),
  }));

const SAID_FOR = 4000; // ms

export class Menu {
  #view;
  #button;
  #list;
  #said;
  #saying = 0;

  /**
   * @param {import("./base.js").View<any>} view with MENU_MARKUP
   * @param {Item[]} items
   */
  constructor(view, items) {
    this.#view = view;
    this.#button = view.find(".more", HTMLButtonElement);
    this.#list = view.find("[role=menu]", HTMLElement);
    this.#said = view.find(".said", HTMLElement);
    this.#list.append(...items.map((item) => this.#item(item)));
    view.listen(this.#button, "click", () => (this.open ? this.close() : this.#show(0)));
    view.listen(this.#button.parentElement ?? this.#button, "keydown", (event) =>
      this.#press(event),
    );
    view.listen(document, "pointerdown", (event) => {
      if (event.target instanceof Node && !this.#list.parentElement?.contains(event.target)) {
        this.close();
      }
    });
    view.onClose(() => clearTimeout(this.#saying));
  }

  get open() {
    return !this.#list.hidden;
  }

  /**
   * @param {string} name
   * @returns {HTMLButtonElement}
   */
  item(name) {
    return this.#view.find(`[role=menu] .${name}`, HTMLButtonElement);
  }

  /** Close the menu and leave the focus where it is. */
  close() {
    this.#list.hidden = true;
    this.#button.ariaExpanded = "false";
  }

  /**
   * Show a message to the reader for a few seconds.
   *
   * @param {string} words
   */
  say(words) {
    this.#said.textContent = words;
    clearTimeout(this.#saying);
    this.#saying = window.setTimeout(() => this.#said.replaceChildren(), SAID_FOR);
  }

  /** @param {Item} item */
  #item({ name, label, run }) {
    const button = make("button", { type: "button", role: "menuitem", class: name, tabindex: -1 });
    button.append(label);
    this.#view.listen(button, "click", async (event) => {
      this.close();
      this.#button.focus();
      const words = await Promise.resolve(run(event)).catch((error) => `not done: ${error}`);
      if (typeof words === "string") this.say(words);
    });
    return button;
  }

  get #able() {
    const items = [...this.#list.children].filter((one) => one instanceof HTMLButtonElement);
    return items.filter((one) => !one.disabled && !one.hidden);
  }

  /** @param {number} k item that gets the focus, counted from the end if negative */
  #show(k) {
    this.#list.hidden = false;
    this.#button.ariaExpanded = "true";
    this.#able.at(k)?.focus();
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const items = this.#able;
    const at = items.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    if (event.key === "Tab") this.close();
    const down = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Escape" && this.open) {
      this.close();
      this.#button.focus();
    } else if (down === undefined) return;
    else if (!this.open) this.#show(event.key === "ArrowUp" ? -1 : 0);
    else items.at(down % items.length)?.focus();
    event.preventDefault();
    event.stopPropagation();
  }
}
