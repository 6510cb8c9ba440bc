// TraversalView: one latent under the hand, and rows of pictures along all of them. Everything is here already: the
// kernel is told what was chosen, and asked nothing.
// MARKUP, N_TILES and BLUE come from traversal_style.py.

const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const range = (n, of) => Array.from({ length: Math.max(n, 0) }, (_, k) => of(k));
const bytesOf = (view) => view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
const dark = (colour) => { const [r, g, b] = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number); return r * 0.3 + g * 0.6 + b * 0.1 < 125; };
const signed = (v) => `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(2)}`;

function pixels(canvas, height, width, greyAt) {
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d"), picture = pen.createImageData(width, height);
  for (let r = 0, j = 0; r < height; r++) {
    for (let c = 0; c < width; c++, j += 4) {
      picture.data[j] = picture.data[j + 1] = picture.data[j + 2] = greyAt(r, c);
      picture.data[j + 3] = 255;
    }
  }
  pen.putImageData(picture, 0, 0);
}

function render({ model, el }) {
  const get = (key) => model.get(key), stop = new AbortController();
  const listen = (target, types, call) => types.split(" ").forEach((type) => target.addEventListener(type, call, stop));
  const root = document.createElement("div"), make = (tag, more = {}) => Object.assign(document.createElement(tag), more);
  Object.assign(root, { className: "gfe-player gfe-traversal", innerHTML: MARKUP, role: "group" });
  root.dataset.lmSuppressShortcuts = "true";
  el.append(root);
  const $ = (selector) => root.querySelector(selector);
  const [ofModel, ofBase, ofLatent, frame, large] = [".model", ".base", ".latent", ".frame", ".large canvas"].map($);

  const [height, width] = get("image_shape"), n = get("n_frames"), bases = get("n_bases"), size = height * width;
  const images = bytesOf(get("images")), latents = get("latents"), numbers = get("numbers");
  const offsets = latents.reduce((sums, names) => [...sums, sums.at(-1) + bases * names.length * n * size], [0]);
  let values = { ...get("values") }, draws = 0, shown = "";

  const names = () => latents[values.model];
  const pictureAt = (latent, k) => offsets[values.model] + ((values.base * names().length + latent) * n + k) * size;
  const valueAt = (latent, k) => numbers[values.model].values[latent][k];

  function options(select, words) { select.replaceChildren(...words.map((textContent, value) => make("option", { textContent, value }))); }
  function build() {
    $(".title").textContent = get("title");
    root.ariaLabel = get("alt_text");
    frame.max = n - 1;
    options(ofModel, get("models"));
    options(ofBase, range(bases, (k) => `image ${k}`));
    $(".of-model").hidden = latents.length < 2;
    const heads = [make("th", { className: "of-latent", textContent: "latent" }), make("th", { className: "of-strip" })];
    heads.push(...get("factors").map((textContent) => make("th", { textContent, scope: "col" })));
    const row = make("tr");
    row.append(...heads);
    $("thead").replaceChildren(row);
  }

  function drawRows() {
    options(ofLatent, names());
    $("tbody").replaceChildren(...names().map((name, j) => {
      const row = make("tr"), cell = make("td"), strip = make("span", { className: "strip", tabIndex: 0, role: "slider" }), canvas = make("canvas");
      Object.assign(strip, { ariaLabel: `latent ${name}`, ariaValueMin: valueAt(j, 0), ariaValueMax: valueAt(j, n - 1) });
      pixels(canvas, height, N_TILES * (width + 1) - 1, (r, c) => {
        const k = Math.floor(c / (width + 1)), inside = c % (width + 1) < width;
        return inside ? images[pictureAt(j, Math.round(k * (n - 1) / (N_TILES - 1))) + r * width + c % (width + 1)] : 128;
      });
      strip.append(canvas, make("i"));
      cell.append(strip);
      row.append(make("th", { className: "of-latent", scope: "row", textContent: name }), cell, ...numbers[values.model].shares[j].map(share));
      hold(strip, j);
      return row;
    }));
  }

  function share(v) {
    const cell = make("td", { className: "share", textContent: v.toFixed(2) }), isDark = root.style.colorScheme === "dark";
    cell.style.background = `color-mix(in srgb, ${isDark ? "#56b4e9" : BLUE} ${Math.round(100 * v)}%, transparent)`;
    if (v > 0.5) cell.style.color = isDark ? "#000" : "#fff";
    return cell;
  }

  function look(event) { // what follows the hand
    const { latent, base } = values, k = values.frame;
    pixels(large, height, width, (r, c) => images[pictureAt(latent, k) + r * width + c]);
    Object.assign(frame, { value: k, ariaValueText: signed(valueAt(latent, k)) });
    [ofModel.value, ofBase.value, ofLatent.value] = [values.model, base, latent];
    $("tbody").querySelectorAll("tr").forEach((row, j) => {
      row.classList.toggle("chosen", j === latent);
      const strip = row.querySelector(".strip");
      strip.lastChild.style.left = `${100 * (k + 0.5) / n}%`;
      strip.ariaValueNow = valueAt(j, k);
    });
    const own = numbers[values.model].own[base][latent];
    $(".values").textContent = [get("models")[values.model], `image ${base}`, `latent ${names()[latent]} = ${signed(valueAt(latent, k))}`,
      `in the image's code ${signed(own)}`, `${names().length} latents open`, get("note")].join(" · ");
    Object.assign(root.dataset, { drawn: ++draws, latent: names()[latent], frame: k });
    if (event) root.dataset.latency = (performance.now() - event.timeStamp).toFixed(2);
  }

  function choose(changes, event) {
    values = { ...values, ...changes };
    values.latent = clamp(values.latent, 0, names().length - 1);
    values.frame = clamp(values.frame, 0, n - 1);
    const rows = `${values.model} ${values.base} ${root.style.colorScheme}`;
    if (rows !== shown) drawRows();
    shown = rows;
    look(event);
  }
  const tell = () => { model.set("values", values); model.save_changes(); };

  function hold(strip, latent) {
    let grip = false;
    listen(strip, "pointerdown pointermove", (event) => {
      if (event.type === "pointerdown" && !event.button) { grip = true; strip.setPointerCapture(event.pointerId); }
      const box = strip.getBoundingClientRect();
      if (grip) choose({ latent, frame: Math.floor(n * (event.clientX - box.left) / box.width) }, event);
    });
    listen(strip, "pointerup pointercancel", () => { if (grip) tell(); grip = false; });
    listen(strip, "focus", (event) => { if (!grip && strip.matches(":focus-visible")) choose({ latent }, event); });
    listen(strip, "keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, Home: -n, End: n }[event.key];
      if (!by) return;
      event.preventDefault();
      choose({ latent, frame: values.frame + by }, event);
      tell();
    });
  }
  listen(frame, "input", (event) => choose({ frame: Number(frame.value) }, event));
  listen(ofModel, "change", (event) => choose({ model: Number(ofModel.value), latent: 0 }, event));
  listen(ofBase, "change", (event) => choose({ base: Number(ofBase.value) }, event));
  listen(ofLatent, "change", (event) => choose({ latent: Number(ofLatent.value) }, event));
  listen(root, "change", tell);
  listen($(".reset"), "click", (event) => { choose({ ...get("defaults") }, event); tell(); });
  listen(root, "keydown", (event) => { if (!(event.ctrlKey || event.metaKey || event.altKey)) event.stopPropagation(); }); // or the notebook acts

  const resize = () => {
    root.style.colorScheme = dark(getComputedStyle(root).backgroundColor) ? "dark" : "light";
    root.classList.toggle("narrow", root.clientWidth < 700);
    choose({});
  };
  const later = () => requestAnimationFrame(resize), sized = new ResizeObserver(resize), themed = new MutationObserver(later);
  themed.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name"] });
  listen(matchMedia("(prefers-color-scheme: dark)"), "change", later);
  build();
  resize();
  sized.observe(root);
  return () => { stop.abort(); [sized, themed].forEach((one) => one.disconnect()); };
}

export default { render };
