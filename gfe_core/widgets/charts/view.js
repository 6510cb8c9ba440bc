// Draws plotly's JSON with the plotly that the page already has: its own script, or the JupyterLab
// extension in plotly's package. All states of the figure are in the browser, so that a control
// never waits for the kernel, and works without one.

import "./view.css";
import { View, widgetOf } from "../kit/base.js";
import { make } from "../kit/dom.js";
import { clamp } from "../kit/numbers.js";

/** @typedef {Record<string, any>} Tree */

/** @typedef {{ data?: Tree[], layout?: Tree, words?: string }} Change `words` is HTML */

/** @typedef {{ label: string, kind: "slider" | "buttons", options: string[] }} Choice */

/** @typedef {{ element: HTMLElement, show: (option: number) => void }} Control */

/**
 * @typedef {object} Traits
 * @property {{ data: Tree[], layout: Tree }} figure
 * @property {Tree} config
 * @property {Choice[]} controls
 * @property {Change[]} changes one for each combination of options, the last control's fastest
 * @property {number} shown
 * @property {string} alt_text
 */

const MIME = "application/vnd.plotly.v1+json";
const NO_PLOTLY =
  "This figure needs JupyterLab with plotly's extension, which comes with `pip install plotly`.";

/** The page's plotly. It is loaded with the first figure, so an empty one is drawn out of sight. */
async function pagePlotly() {
  const page = /** @type {Tree} */ (globalThis);
  if (page.Plotly) return page.Plotly;
  const box = page._JUPYTERLAB?.["jupyterlab-plotly"];
  if (!box) throw new Error(NO_PLOTLY);
  const { RenderedPlotly, rendererFactory } = (await box.get("./mimeExtension"))();
  if (!RenderedPlotly.Plotly) {
    const model = { data: { [MIME]: { data: [], layout: {} } }, metadata: {}, setData() {} };
    await rendererFactory.createRenderer({ mimeType: MIME }).renderModel(model);
  }
  return RenderedPlotly.Plotly;
}

/** @param {any} part */
const isTree = (part) => part !== null && typeof part === "object" && !Array.isArray(part);

/**
 * Return a part whose entries are replaced by those of the same name in the change.
 *
 * @param {any} part
 * @param {any} change
 * @returns {any}
 */
function merged(part, change) {
  if (!isTree(part) || !isTree(change)) return change;
  const both = Object.entries(change).map(([key, value]) => [key, merged(part[key], value)]);
  return { ...part, ...Object.fromEntries(both) };
}

/**
 * Make a slider with the chosen option beside it.
 *
 * @param {Choice} choice
 * @param {(option: number) => void} pick
 * @returns {Control}
 */
function sliderOf({ label, options }, pick) {
  const said = make("output");
  const slider = make("input", { type: "range", min: 0, max: options.length - 1, step: 1 });
  slider.addEventListener("input", () => pick(Number(slider.value)));
  const show = (/** @type {number} */ k) => {
    slider.value = String(k);
    slider.ariaValueText = options[k];
    said.textContent = options[k];
  };
  return { element: make("label", {}, label, slider, said), show };
}

let groups = 0;

/**
 * Make one radio button for each option.
 *
 * @param {Choice} choice
 * @param {(option: number) => void} pick
 * @returns {Control}
 */
function buttonsOf({ label, options }, pick) {
  groups += 1;
  const buttons = options.map((_, k) => {
    const button = make("input", { type: "radio", name: `gfe-choice-${groups}` });
    button.addEventListener("change", () => pick(k));
    return button;
  });
  const labels = options.map((option, k) => make("label", {}, buttons[k], option));
  const show = (/** @type {number} */ k) => {
    buttons[k].checked = true;
  };
  return { element: make("fieldset", {}, make("legend", {}, label), ...labels), show };
}

class Figure {
  /** @type {any} */
  #plotly;
  #busy = false;
  #stale = true;

  /** @param {import("../kit/base.js").Context} context */
  constructor(context) {
    this.view = /** @type {View<Traits>} */ (new View(context, "figure", ""));
    const { model, root } = this.view;
    const choices = model.get("controls");
    this.sizes = choices.map(({ options }) => options.length);
    this.controls = choices.map((choice, k) => {
      const pick = (/** @type {number} */ option) => this.#choose(k, option);
      return choice.kind === "slider" ? sliderOf(choice, pick) : buttonsOf(choice, pick);
    });
    this.plot = make("div", { class: "plot" });
    this.words = make("div", { class: "words" });
    if (this.controls.length) root.append(this.#bar());
    root.append(this.plot, this.words);
    this.view.follow(() => this.#resize());
    this.view.listen(window, "beforeprint", () => this.#fit());
    this.#layOutWhereSeen();
    for (const key of /** @type {const} */ (["shown", "changes", "figure"])) {
      model.onChange(key, () => this.#draw());
    }
    this.view.onClose(() => this.#plotly?.purge(this.plot));
  }

  /** Index of the state that is shown. */
  get shown() {
    const { model } = this.view;
    return clamp(model.get("shown"), 0, Math.max(model.get("changes").length - 1, 0));
  }

  /** Option of each control: in the index of a state, that of the last control varies fastest. */
  get picked() {
    let rest = this.shown;
    const found = this.sizes.toReversed().map((n) => {
      const option = rest % n;
      rest = Math.floor(rest / n);
      return option;
    });
    return found.reverse();
  }

  #bar() {
    const first = this.shown;
    const reset = make("button", { type: "button", class: "reset" }, "Reset");
    reset.addEventListener("click", () => this.#go(first));
    const elements = this.controls.map(({ element }) => element);
    return make("div", { class: "controls" }, ...elements, reset);
  }

  /** @param {number} shown */
  #go(shown) {
    this.view.model.send({ shown });
    this.#draw();
  }

  /**
   * @param {number} control
   * @param {number} option
   */
  #choose(control, option) {
    const options = this.picked.with(control, option);
    this.#go(options.reduce((sum, own, k) => sum * this.sizes[k] + own, 0));
  }

  /**
   * JupyterLab lets the browser skip the layout of cells out of view (`content-visibility: auto`).
   * In Chromium, a plot that was drawn during a skip has no text and no grid when the cell comes
   * back. Inserting the plot into the page again lays it out completely.
   */
  #layOutWhereSeen() {
    this.view.onSeen((visible) => visible && this.words.before(this.plot));
  }

  #resize() {
    if (this.#stale) this.#draw();
    else if (this.view.shown) this.#plotly.Plots.resize(this.plot);
  }

  /** Fit the plot into its place at once, because `Plots.resize` waits and paper does not. */
  #fit() {
    if (!this.#stale && this.view.shown) this.#plotly.relayout(this.plot, { autosize: true });
  }

  /** Draw the latest state; earlier states that were requested while plotly drew are skipped. */
  async #draw() {
    this.#stale = true;
    if (this.#busy || !this.view.shown) return;
    this.#busy = true;
    try {
      this.#plotly ??= await pagePlotly();
      while (this.#stale) {
        this.#stale = false;
        await this.#show(this.view.model.get("changes")[this.shown] ?? {});
      }
    } catch (error) {
      this.plot.textContent = error instanceof Error ? error.message : String(error);
    } finally {
      this.#busy = false;
    }
  }

  /** @param {Change} change */
  async #show({ data = [], layout = {}, words = "" }) {
    const { model } = this.view;
    const figure = model.get("figure");
    const traces = figure.data.map((trace, k) => merged(trace, data[k] ?? {}));
    const options = this.picked;
    for (const [k, control] of this.controls.entries()) control.show(options[k]);
    this.words.innerHTML = words;
    const full = merged(figure.layout, layout);
    await this.#plotly.react(this.plot, traces, full, model.get("config"));
    this.plot.role = "figure"; // not "img", which must not hold the buttons of plotly's toolbar
    this.plot.ariaLabel = model.get("alt_text");
    this.view.tellDrawn({});
  }
}

export default widgetOf(Figure);
