// Draws plotly's JSON with the plotly that the page has already: the extension of JupyterLab in plotly's own package.
// Every state of the figure is here, so that a control never waits for the kernel, and works without one.
const MIME = "application/vnd.plotly.v1+json";
const NO_PLOTLY = "This figure needs JupyterLab with plotly's extension, which comes with `pip install plotly`.";

/** The page's plotly. It is made with the first figure, so a first, empty one is drawn out of sight. */
async function pagePlotly() {
  const box = globalThis._JUPYTERLAB?.["jupyterlab-plotly"];
  if (!box) throw new Error(NO_PLOTLY);
  const { RenderedPlotly, rendererFactory } = (await box.get("./mimeExtension"))();
  if (!RenderedPlotly.Plotly) {
    const model = { data: { [MIME]: { data: [], layout: {} } }, metadata: {}, setData() {} };
    await rendererFactory.createRenderer({ mimeType: MIME }).renderModel(model);
  }
  return RenderedPlotly.Plotly;
}

const isTree = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** A figure in which the parts of a change replace those of the same name. */
function merged(part, change) {
  if (!isTree(part) || !isTree(change)) return change;
  const both = Object.entries(change).map(([key, value]) => [key, merged(part[key], value)]);
  return { ...part, ...Object.fromEntries(both) };
}

function changed(figure, { data = [], layout = {} }) {
  return { data: figure.data.map((trace, k) => merged(trace, data[k] ?? {})), layout: merged(figure.layout, layout) };
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A slider with the option beside it, or one round button for each option. */
function controlOf({ label, kind, options }, pick) {
  if (kind === "slider") {
    const said = make("output");
    const slider = make("input", { type: "range", min: 0, max: options.length - 1, step: 1 });
    slider.addEventListener("input", () => pick(Number(slider.value)));
    const show = (k) => {
      slider.value = k;
      slider.setAttribute("aria-valuetext", options[k]);
      said.textContent = options[k];
    };
    return { element: make("label", {}, label, slider, said), show };
  }
  const name = `choice-${Math.random().toString(36).slice(2)}`;
  const buttons = options.map((_, k) => {
    const button = make("input", { type: "radio", name });
    button.addEventListener("change", () => pick(k));
    return button;
  });
  const labels = options.map((option, k) => make("label", {}, buttons[k], option));
  const show = (k) => { buttons[k].checked = true; };
  return { element: make("fieldset", {}, make("legend", { textContent: label }), ...labels), show };
}

function render({ model, el }) {
  const root = make("div", { className: "gfe-figure" });
  const plot = make("div", { className: "plot" });
  const words = make("div", { className: "words" });
  let plotly = null, busy = false, stale = true;

  const controls = model.get("controls").map((control, k) => controlOf(control, (option) => choose(k, option)));
  const sizes = model.get("controls").map(({ options }) => options.length);
  const last = () => Math.max(model.get("changes").length - 1, 0);
  const shown = () => Math.min(Math.max(model.get("shown"), 0), last());
  const first = shown();

  // A state's number counts through the options of the last control first.
  const picked = () => sizes.reduceRight(([rest, found], n) => [Math.floor(rest / n), [rest % n, ...found]], [shown(), []])[1];
  const go = (number) => { model.set("shown", number); model.save_changes?.(); };
  function choose(control, option) {
    go(picked().reduce((sum, now, k) => sum * sizes[k] + (k === control ? option : now), 0));
  }

  if (controls.length) {
    const reset = make("button", { type: "button", textContent: "Reset" });
    reset.addEventListener("click", () => go(first));
    root.append(make("div", { className: "controls" }, ...controls.map(({ element }) => element), reset));
  }
  root.append(plot, words);
  el.append(root);

  /** Draw the state asked for last; those asked for while plotly draws are left out. */
  async function draw() {
    stale = true;
    if (busy || !root.clientWidth) return;
    busy = true;
    try {
      plotly ??= await pagePlotly();
      while (stale) {
        stale = false;
        const change = model.get("changes")[shown()] ?? {};
        const { data, layout } = changed(model.get("figure"), change);
        picked().forEach((option, k) => controls[k].show(option));
        words.innerHTML = change.words ?? "";
        await plotly.react(plot, data, layout, model.get("config"));
        plot.setAttribute("role", "img");
        plot.setAttribute("aria-label", model.get("alt_text"));
        root.dataset.drawn = Number(root.dataset.drawn ?? 0) + 1;
      }
    } catch (error) {
      plot.textContent = error.message;
    } finally {
      busy = false;
    }
  }

  const watcher = new ResizeObserver(() => {
    if (stale) draw();
    else if (root.clientWidth) plotly.Plots.resize(plot);
  });
  watcher.observe(root);
  const NAMES = ["change:shown", "change:changes", "change:figure"];
  for (const name of NAMES) model.on(name, draw);
  return () => {
    watcher.disconnect();
    for (const name of NAMES) model.off?.(name, draw);
    plotly?.purge(plot);
  };
}

export default { render };
