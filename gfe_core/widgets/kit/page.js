// What a saved page runs: the view, over the state that the page holds. No kernel, no network.

import "./page.css";

/** @typedef {import("./base.js").Context} Context */

/**
 * The interface of a model over stored traits; bytes come as {"base64": text}.
 *
 * @param {Record<string, any>} state
 * @returns {import("./model.js").Host}
 */
function storedModel(state) {
  /** @type {Map<string, (() => void)[]>} */
  const heard = new Map();
  for (const [key, value] of Object.entries(state)) {
    if (value?.base64 !== undefined) state[key] = viewOf(value.base64);
  }
  return {
    get: (key) => state[key],
    set(key, value) {
      state[key] = value;
      for (const call of heard.get(`change:${key}`) ?? []) call();
    },
    on: (event, call) => void heard.set(event, [...(heard.get(event) ?? []), call]),
  };
}

/**
 * @param {string} base64
 * @returns {DataView}
 */
const viewOf = (base64) =>
  new DataView(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer);

const el = /** @type {HTMLElement} */ (document.querySelector("main"));
const stored = /** @type {HTMLElement} */ (document.querySelector("#state")).textContent ?? "{}";
const model = storedModel(JSON.parse(stored));
const page =
  /** @type {{ gfeView: { render(context: Context): unknown }, gfeModel: typeof model }} */ (
    /** @type {unknown} */ (globalThis)
  );
page.gfeModel = model;
page.gfeView.render({ model, el, live: el.dataset.live === "true" });
