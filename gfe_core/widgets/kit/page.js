// What a saved page runs: the view, over the state that the page holds. No kernel, no network.

import "./page.css";
import { storedModel } from "./stored.js";

/** @typedef {import("./base.js").Context} Context */

const el = /** @type {HTMLElement} */ (document.querySelector("main"));
const stored = /** @type {HTMLElement} */ (document.querySelector("#state")).textContent ?? "{}";
const model = storedModel(JSON.parse(stored));
const page =
  /** @type {{ gfeView: { render(context: Context): unknown }, gfeModel: typeof model }} */ (
    /** @type {unknown} */ (globalThis)
  );
page.gfeModel = model;
page.gfeView.render({ model, el, live: el.dataset.live === "true" });
