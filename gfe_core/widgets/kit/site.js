// The script of the static pages: views over the state in the page, questions, the theme and the
// search, without a kernel or a network.

import "./site.css";
import { find, findAll, make } from "./dom.js";
import { StandIn } from "./standin.js";
import { storedModel, unpacked } from "./stored.js";

/** @typedef {import("./model.js").Host} Host */
/** @typedef {{ render(context: import("./base.js").Context): unknown }} Widget */

/**
 * @typedef {object} Link
 * @property {string} trait
 * @property {number} part index of the part that follows
 * @property {string} other trait of that part
 */

/** @typedef {{ heading: string, address: string, words: string }} Entry */

const page =
  /** @type {{ gfeViews: Record<string, Widget>, gfeTexts: Record<string, string>, gfeStyle: string, gfeWeights: Record<string, string> }} */ (
    /** @type {unknown} */ (globalThis)
  );
const MOST_HITS = 12; // of a search
/** @type {Map<string, Promise<void>>} */
const loading = new Map();

/**
 * Load a script beside the pages once. It is not a module, because a page opened from a file must
 * not load modules.
 *
 * @param {string} name
 * @returns {Promise<void>}
 */
function load(name) {
  const script = make("script", { src: `assets/${name}.js` });
  const begun = new Promise((loaded, failed) => {
    script.addEventListener("load", () => loaded(undefined));
    script.addEventListener("error", failed);
  });
  if (!loading.has(name)) {
    loading.set(name, begun);
    document.head.append(script);
  }
  return loading.get(name) ?? begun;
}

/**
 * Remove a script of data from the page.
 *
 * @param {HTMLScriptElement} script
 * @returns {() => Promise<any>} function that unpacks the data at the first call
 */
function contentOf(script) {
  const text = script.textContent ?? "";
  /** @type {Promise<any> | undefined} */
  let content;
  script.remove();
  return () => {
    content ??= unpacked(text);
    return content;
  };
}

/**
 * Draw the live views of a figure in place of its picture.
 *
 * @param {HTMLElement} figure
 */
async function enliven(figure) {
  const parts = findAll(figure, ".parts > *", HTMLElement);
  const drawn = new MutationObserver(() => {
    if (figure.querySelector("[data-bundle]:not(:has([data-drawn]))")) return;
    drawn.disconnect();
    figure.classList.add("alive");
  });
  drawn.observe(figure, { subtree: true, attributes: true, attributeFilter: ["data-drawn"] });
  /** @type {(Host | undefined)[]} */
  const models = [];
  for (const part of parts) models.push(await render(part, parts, models));
  parts.forEach((part, k) => {
    if (part.dataset.link) follow(models, k, JSON.parse(part.dataset.link));
  });
}

/**
 * Draw a part of a figure, if it is a view.
 *
 * @param {HTMLElement} part
 * @param {HTMLElement[]} parts of the figure
 * @param {(Host | undefined)[]} models of the parts that are drawn already
 * @returns {Promise<Host | undefined>} its model
 */
async function render(part, parts, models) {
  const { bundle, weights, choices } = part.dataset;
  if (!bundle) return undefined;
  const [state, states] = findAll(part, "script", HTMLScriptElement).map(contentOf);
  if (bundle === "charts") await load("plotly");
  const stored = storedModel({ ...page.gfeTexts, ...(await state()) });
  if (weights) await addWeights(stored, weights);
  const change = (/** @type {Record<string, any>[] | null} */ changes) =>
    parts.slice(1).forEach((other, k) => {
      other.classList.toggle("stale", !changes);
      if (changes?.[k]) put(other, models[k + 1], changes[k]);
    });
  /** @type {import("./standin.js").Choices | undefined} */
  const answered = choices && JSON.parse(choices);
  const model = answered ? new StandIn(stored, answered, states, change).host : stored;
  const answers = answered?.map(([name]) => name);
  page.gfeViews[bundle].render({ model, el: part, live: Boolean(answered), answers });
  return model;
}

/**
 * Apply the change of an answer to a part.
 *
 * @param {HTMLElement} part
 * @param {Host | undefined} model
 * @param {Record<string, any>} change
 */
function put(part, model, change) {
  if (change.html !== undefined) part.innerHTML = change.html;
  for (const [key, value] of Object.entries(model ? change : {})) model?.set(key, value);
}

/**
 * Put the weights of a decoder, which several views share, before the numbers of a sample.
 *
 * @param {Host} stored
 * @param {string} name of the weights
 */
async function addWeights(stored, name) {
  await load(name);
  const parts = [await unpacked(page.gfeWeights[name]), stored.get("preview_numbers")];
  const joined = await new Blob(parts).arrayBuffer();
  stored.set("preview_numbers", new DataView(joined));
}

/**
 * Make a trait of one view follow a trait of another.
 *
 * @param {(Host | undefined)[]} models
 * @param {number} leader
 * @param {Link} link
 */
function follow(models, leader, { trait, part, other }) {
  const [first, second] = [models[leader], models[part]];
  first?.on(`change:${trait}`, () => second?.set(other, first.get(trait)));
}

/** Draw live views when they come near the window, and all of them before the page is printed. */
function watch() {
  const figures = new Set(findAll(document.body, "figure.views", HTMLElement));
  const begin = (/** @type {Element} */ figure) => {
    if (figures.delete(/** @type {HTMLElement} */ (figure))) {
      seen.unobserve(figure);
      enliven(/** @type {HTMLElement} */ (figure));
    }
  };
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) begin(target);
    },
    { rootMargin: "200px" },
  );
  for (const figure of figures) seen.observe(figure);
  addEventListener("beforeprint", () => figures.forEach(begin));
}

/** Show the answer of a question, with the reply to the guess, when a guess is submitted. */
function ask() {
  for (const form of findAll(document.body, "form.predict", HTMLFormElement)) {
    const button = find(form, "button", HTMLButtonElement);
    form.addEventListener("change", () => {
      button.disabled = false;
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = find(form, "input:checked", HTMLInputElement);
      const right = chosen.value === form.dataset.answer;
      const verdict = right ? "Right:" : `Not this time. ${chosen.dataset.reply} The answer is:`;
      find(form, ".verdict", HTMLElement).textContent = verdict;
      find(form, ".answer", HTMLElement).hidden = false;
      for (const one of findAll(form, "input, button", HTMLElement)) {
        one.toggleAttribute("disabled", true);
      }
    });
  }
}

/** Make the switch of the theme work, and remember its state if the browser allows it. */
function chooseTheme() {
  const button = find(document.body, "#theme", HTMLButtonElement);
  const { dataset } = document.body;
  const show = () => button.setAttribute("aria-pressed", String(dataset.jpThemeLight === "false"));
  button.addEventListener("click", () => {
    dataset.jpThemeLight = String(dataset.jpThemeLight === "false");
    show();
    try {
      localStorage.setItem("gfe-light", dataset.jpThemeLight);
    } catch {
      // a page without storage forgets the theme
    }
  });
  /** @type {string | undefined} */
  let chosen;
  // The views hear of the print later than this, and draw themselves at the width of paper.
  addEventListener("beforeprint", () => {
    chosen ??= dataset.jpThemeLight;
    dataset.jpThemeLight = "true";
    dataset.paper = "";
  });
  addEventListener("afterprint", () => {
    dataset.jpThemeLight = chosen;
    chosen = undefined;
    delete dataset.paper;
  });
  show();
}

/** List the headings whose section has every typed word, with their notebooks. */
function search() {
  const field = document.querySelector("#search");
  if (!(field instanceof HTMLInputElement)) return;
  /** @type {Entry[]} */
  const entries = JSON.parse(document.querySelector("#index")?.textContent ?? "[]");
  const fileOf = (/** @type {string} */ address) => address.split("#")[0];
  // the first heading of a page is its title
  const titles = new Map(
    entries.toReversed().map(({ heading, address }) => [fileOf(address), heading]),
  );
  const list = find(document.body, "#found", HTMLElement);
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const has = (/** @type {Entry} */ { heading, words }) => {
      const text = `${heading} ${words}`.toLowerCase();
      return wanted.every((word) => text.includes(word));
    };
    const hits = wanted.length ? entries.filter(has) : [];
    const items = hits.slice(0, MOST_HITS).map(({ heading, address }) => {
      const title = titles.get(fileOf(address));
      const of = title === heading ? "" : ` · ${title}`;
      return make("li", {}, make("a", { href: address }, heading), of);
    });
    const more = hits.length - items.length;
    const rest = more > 0 ? `and ${more} more: add a word to see fewer` : "nothing found";
    const last = wanted.length && (more || !hits.length) ? [make("li", {}, rest)] : [];
    list.replaceChildren(...items, ...last);
  });
}

document.head.append(make("style", {}, page.gfeStyle));
chooseTheme();
ask();
search();
watch();
