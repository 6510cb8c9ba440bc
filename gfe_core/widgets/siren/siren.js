// SirenView: an image with a window under the hand, and what a code makes of that window beside plain enlargement.
// The window moves here at once; what is drawn in it is a request to the kernel, one at a time, the newest after it.
// MARKUP, COLOURS, DASHES, HATCH, LIMITS, TOO_LITTLE and TOO_MUCH come from siren_style.py.

const LEFT = 40, RIGHT = 10, TOP = 6, BOTTOM = 20;

const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const range = (n, of) => Array.from({ length: Math.max(n, 0) }, (_, k) => of(k));
const bytesOf = (view) => view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
const floatsOf = (view) => new Float32Array(bytesOf(view).slice().buffer);
const dark = (colour) => { const [r, g, b] = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number); return r * 0.3 + g * 0.6 + b * 0.1 < 125; };
const tidy = (v) => String(+v.toFixed(3)).replace("-", "−");
const percent = (v) => `${Math.round(100 * v)} %`;

function layer(canvas) {
  const ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas.parentNode;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { pen, width, height };
}

function pixels(canvas, rows, columns, colourOf) {
  canvas.width = columns;
  canvas.height = rows;
  const pen = canvas.getContext("2d"), picture = pen.createImageData(columns, rows);
  for (let j = 0; j < rows * columns; j++) picture.data.set([...colourOf(j), 255], 4 * j);
  pen.putImageData(picture, 0, 0);
}

function render({ model, el, live = true }) {
  const get = (key) => model.get(key), undo = [], theme = {}, stop = new AbortController();
  const listen = (target, types, call) => types.split(" ").forEach((type) => target.addEventListener(type, call, stop));
  const root = document.createElement("div"), small = document.createElement("canvas");
  Object.assign(root, { className: "gfe-player gfe-siren", innerHTML: MARKUP, role: "group" });
  root.dataset.lmSuppressShortcuts = "true";
  el.append(root);
  const $ = (selector) => root.querySelector(selector);
  const [paper, chart, sample, busy] = [".paper", ".chart canvas", ".sample", ".busy"].map($);
  const choices = ["decoder", "resolution", "half", "by", "share"].map((name) => [name, $("." + name)]);
  const tell = (key, value) => { model.set(key, value); model.save_changes(); };

  let values = {}, drawn = {}, rows = 1, columns = 1, image, seen, grip = null, draws = 0, dirty = false;
  let pending = null, waiting = false, lastId = 0, busyTimer = 0;

  // Reading
  function build() {
    const options = get("options"), words = { share: percent, resolution: (v) => `${v} × ${v}` };
    for (const [name, select] of choices) {
      const rows = options[name].map((one) => name === "half" ? one : [words[name]?.(one) ?? one, one]);
      select.replaceChildren(...rows.map(([text, value]) => Object.assign(document.createElement("option"), { textContent: text, value })));
      select.disabled = !live;
    }
    $(".of-decoder").hidden = options.decoder.length < 2;
    sample.max = get("n_samples") - 1;
    [sample, $(".reset")].forEach((input) => { input.disabled = !live; });
    $(".title").textContent = get("title");
    root.ariaLabel = get("alt_text");
    paper.ariaLabel = "The image and a window on it. Arrow keys move the window.";
  }

  function read() {
    [rows, columns] = get("image_shape");
    [image, seen] = ["image", "seen"].map((key) => bytesOf(get(key)));
    drawn = { ...get("values") };
    if (!waiting && !grip) values = { ...drawn };
    pixels(small, rows, columns, (j) => [image[j], image[j], image[j]]);
    $(".caption").textContent = get("note");
    root.dataset.reply = get("reply");
    if (pending && get("reply") >= pending.id) settle();
  }

  // Words
  const edges = (middle) => `${tidy(middle - values.half)} to ${tidy(middle + values.half)}`;
  function say() {
    sample.value = values.sample;
    sample.nextSibling.textContent = sample.ariaValueText = values.sample;
    for (const [name, select] of choices) select.value = values[name];
    $(".other").disabled = !live || values.share === 1;
    $(".values").textContent = [values.decoder, `sample ${values.sample}`, `by ${values.by}`,
      `${percent(values.share)} of the pixels, seed ${values.seed}`, `window rows ${edges(values.down)}, columns ${edges(values.across)}`,
      `drawn ${drawn.resolution} × ${drawn.resolution}`, get("facts")].join(" · ");
    $(".trained").textContent = `the pixels: ${rows} × ${columns}` + (values.share < 1 ? ", hatched where not seen" : "");
    $(".where").textContent = values.half < 1 ? "drag the frame over the image" : "choose a smaller window, then drag it";
    $(".cut .heading").textContent = `a cut through the window along row ${get("row")} of the pixels`;
  }

  // Drawing
  function readTheme() {
    const style = getComputedStyle(root);
    for (const name of ["fg", "soft", "rule", "bg"]) theme[name] = style.getPropertyValue("--" + name).trim();
    theme.font = "12px " + style.fontFamily;
    root.style.colorScheme = dark(style.backgroundColor) ? "dark" : "light";
    theme.hatch = HATCH[root.style.colorScheme];
    root.classList.toggle("narrow", root.clientWidth < 700);
  }

  const reach = () => Math.max(1 + 1 / Math.max(rows - 1, columns - 1, 1), 1.06 * values.half); // half of what is shown
  const place = (c, size) => (c / reach() + 1) / 2 * size; // from a coordinate to the paper

  function drawPaper() {
    const { pen, width } = layer(paper.firstChild), to = (c) => place(c, width);
    const edge = (k, n) => to((2 * k - 1) / Math.max(n - 1, 1) - 1); // left border of pixel k
    pen.fillStyle = theme.rule;
    pen.fillRect(0, 0, width, width);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, edge(0, columns), edge(0, rows), edge(columns, columns) - edge(0, columns), edge(rows, rows) - edge(0, rows));
    hatch(pen, width, edge);
    const middle = to(2 * get("row") / Math.max(rows - 1, 1) - 1), half = values.half;
    const box = [to(values.across - half), to(values.down - half), to(half) - to(-half), to(half) - to(-half)];
    for (const [wide, ink] of [[4, "#fff"], [1.8, COLOURS[0]]]) {
      Object.assign(pen, { lineWidth: wide, strokeStyle: ink }).strokeRect(...box);
      pen.stroke(new Path2D(`M${box[0]} ${middle}h${box[2]}`));
    }
  }

  function hatch(pen, width, edge) {
    const hole = new Path2D();
    seen.forEach((one, j) => {
      const r = Math.floor(j / columns), c = j % columns;
      if (!one) hole.rect(edge(c, columns), edge(r, rows), edge(c + 1, columns) - edge(c, columns) + 0.5, edge(r + 1, rows) - edge(r, rows) + 0.5);
    });
    pen.save();
    pen.clip(hole);
    pen.fillStyle = theme.hatch[0];
    pen.fillRect(0, 0, width, width);
    Object.assign(pen, { strokeStyle: theme.hatch[1], lineWidth: 1.5 });
    pen.stroke(new Path2D(range(Math.ceil(2 * width / 8), (k) => `M${8 * k - width} ${width}l${width} ${-width}`).join("")));
    pen.restore();
  }

  function drawTiles() {
    const n = drawn.resolution, tiles = bytesOf(get("tiles")), of = (k, j) => tiles[k * n * n + j];
    const gap = (j) => 2 * (of(0, j) - of(1, j)) / 255;
    const inks = [0, 1, 2].map((k) => (j) => [of(k, j), of(k, j), of(k, j)]);
    inks.push((j) => (gap(j) < 0 ? TOO_LITTLE : TOO_MUCH).map((c) => c * Math.min(Math.abs(gap(j)), 1)));
    root.querySelectorAll(".tile canvas").forEach((canvas, k) => pixels(canvas, n, n, inks[k]));
  }

  function drawCut() {
    const { pen, width, height } = layer(chart), both = floatsOf(get("curves")), m = both.length / 2, row = get("row");
    const [low, high] = LIMITS, from = drawn.across - drawn.half, wide = 2 * drawn.half;
    const spot = (c, v) => [LEFT + (width - LEFT - RIGHT) * (c - from) / wide, height - BOTTOM - (height - TOP - BOTTOM) * (v - low) / (high - low)];
    pen.font = theme.font;
    pen.fillStyle = theme.soft;
    Object.assign(pen, { strokeStyle: theme.rule, lineWidth: 1 });
    for (const v of [0, 0.5, 1]) {
      const y = Math.round(spot(from, v)[1]) + 0.5;
      pen.stroke(new Path2D(`M${LEFT} ${y}H${width - RIGHT}`));
      Object.assign(pen, { textAlign: "right", textBaseline: "middle" }).fillText(v, LEFT - 8, y);
    }
    Object.assign(pen, { textAlign: "center", textBaseline: "bottom" });
    range(5, (k) => from + wide * k / 4).forEach((c) => pen.fillText(tidy(c), clamp(spot(c, 0)[0], LEFT + 10, width - 24), height));
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, width, height - BOTTOM);
    pen.clip();
    for (const k of [1, 0]) {
      pen.setLineDash(DASHES[k]);
      Object.assign(pen, { strokeStyle: COLOURS[k], lineWidth: 2.4, lineJoin: "round" });
      pen.stroke(new Path2D("M" + range(m, (j) => spot(from + wide * j / (m - 1), both[k * m + j])).join("L")));
    }
    pen.setLineDash([]);
    Object.assign(pen, { fillStyle: theme.fg, strokeStyle: theme.fg, lineWidth: 1.4 });
    for (let c = 0; c < columns; c++) {
      const j = row * columns + c;
      pen.beginPath();
      pen.arc(...spot(2 * c / Math.max(columns - 1, 1) - 1, image[j] / 255), 3.4, 0, 7);
      seen[j] ? pen.fill() : pen.stroke();
    }
    pen.restore();
  }

  function look(event) { // what follows the hand
    if (!root.clientWidth || !image.length) return;
    drawPaper();
    say();
    Object.assign(root.dataset, { drawn: ++draws, resolution: drawn.resolution });
    if (event) root.dataset.latency = (performance.now() - event.timeStamp).toFixed(2);
  }
  function draw() { if (root.clientWidth && image.length) { look(); drawTiles(); drawCut(); } }

  // Asking the kernel: one request under way, the newest of the others waits
  function ask(changes, event) {
    if (!live) return;
    values = { ...values, ...changes };
    const most = Math.max(1 - values.half, 0);
    for (const name of ["down", "across"]) values[name] = clamp(values[name], -most, most);
    look(event);
    if (pending) waiting = true;
    else send();
  }
  function send() {
    lastId = Math.max(lastId, get("reply")) + 1;
    pending = { id: lastId, since: performance.now() };
    waiting = false;
    clearTimeout(busyTimer);
    busyTimer = setTimeout(() => busy.classList.add("on"), 400);
    tell("request", { id: lastId, values: { ...values } });
  }
  function settle() {
    root.dataset.roundtrip = (performance.now() - pending.since).toFixed(1);
    pending = null;
    clearTimeout(busyTimer);
    if (waiting) return send();
    busy.classList.remove("on");
  }
  const changed = () => {
    if (dirty) return;
    dirty = true;
    queueMicrotask(() => { dirty = false; read(); draw(); });
  };
  for (const key of "image seen tiles curves row values facts note reply".split(" ")) {
    model.on("change:" + key, changed);
    undo.push(() => model.off("change:" + key, changed));
  }

  // Hands
  listen(paper, "pointerdown pointermove", (event) => {
    const box = paper.getBoundingClientRect(), down = event.type === "pointerdown" && !event.button;
    const [across, below] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((u) => (2 * u - 1) * reach());
    if (down) {
      paper.setPointerCapture(event.pointerId);
      const inside = Math.max(Math.abs(across - values.across), Math.abs(below - values.down)) <= values.half;
      grip = inside ? [across - values.across, below - values.down] : [0, 0]; // outside: the window jumps to the hand
    }
    if (grip) ask({ across: across - grip[0], down: below - grip[1] }, event);
  });
  listen(paper, "pointerup pointercancel", () => { grip = null; });
  listen(root, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // or the notebook acts
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.target !== paper || !way) return;
    event.preventDefault();
    ask({ across: values.across + way[0] * values.half / 4, down: values.down + way[1] * values.half / 4 }, event);
  });
  listen(sample, "input", (event) => ask({ sample: Number(sample.value) }, event));
  for (const [name, select] of choices) {
    listen(select, "change", (event) => ask({ [name]: ["by", "decoder"].includes(name) ? select.value : Number(select.value) }, event));
  }
  listen($(".other"), "click", (event) => ask({ seed: values.seed + 1 }, event));
  listen($(".reset"), "click", (event) => ask(get("defaults"), event));

  // Around
  const resize = () => { readTheme(); draw(); }, later = () => requestAnimationFrame(resize);
  const sized = new ResizeObserver(resize), themed = new MutationObserver(later);
  themed.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name"] });
  listen(matchMedia("(prefers-color-scheme: dark)"), "change", later);
  build();
  read();
  resize();
  sized.observe(root);
  return () => {
    stop.abort();
    undo.forEach((call) => call());
    [sized, themed].forEach((one) => one.disconnect());
    clearTimeout(busyTimer);
  };
}

export default { render };
