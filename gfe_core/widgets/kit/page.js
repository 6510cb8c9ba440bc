// The script of a saved page: it draws the view from the state in the page, without a kernel or a
// network.

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
