// MaskPainter: an image on which a hand paints what is missing, drawn in the handler of the input itself.
// MARKUP and HATCH come from mask_style.py; `panelsOf`, where there is one, draws what stands beside the painter.

const EVERY = 100; // ms between requests while the hand paints

const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const bytesOf = (view) => view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
const grey = (g) => [g, g, g];

function dark(colour) {
  const [r, g, b] = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  return r * 0.3 + g * 0.6 + b * 0.1 < 125;
}

function pixels(canvas, values, [rows, columns], colour) {
  canvas.width = columns;
  canvas.height = rows;
  const pen = canvas.getContext("2d"), image = pen.createImageData(columns, rows);
  for (let j = 0; j < rows * columns; j++) image.data.set([...colour(values[j]), 255], 4 * j);
  pen.putImageData(image, 0, 0);
}

function layer(canvas) {
  const ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas.parentNode;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { pen, width, height };
}

function stripes(pen, width, height, [paper, lines], gap) {
  pen.fillStyle = paper;
  pen.fillRect(0, 0, width, height);
  pen.strokeStyle = lines;
  pen.lineWidth = gap / 6;
  pen.beginPath();
  for (let x = -height; x < width; x += gap) { pen.moveTo(x, height); pen.lineTo(x + height, 0); }
  pen.stroke();
}

function chance(seed) { // mulberry32: numbers in [0, 1) from a seed
  return () => {
    let t = seed = (seed + 0x6d2b79f5) | 0;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const READY = {
  clear: (mask) => mask.fill(1),
  half: (mask, columns) => mask.forEach((_, j) => { mask[j] = j % columns >= columns / 2 ? 1 : 0; }),
  random: (mask, _, seed) => {
    const next = chance(seed), order = [...mask.keys()];
    for (let k = order.length - 1; k > 0; k--) {
      const j = Math.floor(next() * (k + 1));
      [order[k], order[j]] = [order[j], order[k]];
    }
    order.forEach((j, k) => { mask[j] = k < 0.25 * order.length ? 1 : 0; });
  },
};
const TRAITS = "image image_shape mask n_samples values facts title caption brush reply".split(" ");

function render({ model, el, live = true }) {
  const get = (key) => model.get(key), stop = new AbortController(), theme = {}, small = document.createElement("canvas");
  const listen = (target, types, call) => types.split(" ").forEach((type) => target.addEventListener(type, call, stop));
  const root = document.createElement("div");
  Object.assign(root, { className: "gfe-player gfe-mask", innerHTML: MARKUP, role: "group" });
  root.dataset.lmSuppressShortcuts = "true";
  el.append(root);
  const $ = (what) => root.querySelector(what), all = (what) => root.querySelectorAll(what);
  const [paper, slider, prior, size, busy] = [".paper", ".sample", ".prior", ".brush", ".busy"].map($);
  const panels = typeof panelsOf === "function" ? panelsOf({ root, get, listen, theme }) : { keys: [], draw() {}, reset() {} };
  const dirty = new Set(TRAITS);
  let rows = 1, columns = 1, image, mask = new Uint8Array(), values = {}, brush = 1, tool = "brush", thrown = false;
  let cursor = [0.5, 0.5], over = false, stroke = null;
  let pending = null, waiting = null, asked = -EVERY, lastId = 0, timer = 0, busyTimer = 0, own = false;

  // Reading
  function read() {
    [rows, columns] = get("image_shape");
    image = bytesOf(get("image"));
    if (dirty.has("mask") && !stroke && !waiting) mask = bytesOf(get("mask")).slice();
    if (dirty.has("values") && !waiting) values = { ...get("values") };
    if (dirty.has("brush")) brush = get("brush");
    dirty.clear();
    paper.style.aspectRatio = `${columns} / ${rows}`;
    paper.ariaLabel = get("alt_text") + " Arrow keys move, space paints; with shift the arrows paint on their way.";
    slider.max = get("n_samples") - 1;
    size.max = Math.ceil(rows / 2);
    $(".which").hidden = get("n_samples") < 2;
    $(".priors").hidden = !("prior" in values);
    for (const key of ["title", "caption"]) $("." + key).textContent = get(key);
    root.ariaLabel = get("alt_text");
  }

  function say() {
    const n = mask.length, seen = mask.reduce((sum, one) => sum + one, 0), [r, c] = cursor.map(Math.floor);
    Object.assign(slider, { value: values.sample ?? 0, disabled: !live });
    Object.assign(prior, { checked: values.prior, disabled: !live });
    size.value = brush;
    $(".which output").textContent = values.sample ?? "";
    $(".brush + output").textContent = brush;
    $(".values").textContent = ["sample" in values && `sample ${values.sample}`, `seed ${values.seed}`,
      "prior" in values && `prior ${values.prior ? "on" : "off"}`,
      `observed ${seen} of ${n} pixels (${Math.round(100 * seen / Math.max(n, 1))} %)`, get("facts")].filter(Boolean).join(" · ");
    all("[data-tool]").forEach((button) => { button.ariaPressed = button.dataset.tool === tool; });
    $(".where").textContent = document.activeElement === paper ? `row ${r + 1}, column ${c + 1}: ${mask[r * columns + c] ? "seen" : "hidden"}` : "";
    root.dataset.seen = seen;
  }

  // Drawing
  function readTheme() {
    const style = getComputedStyle(root);
    for (const name of ["fg", "soft", "rule", "bg"]) theme[name] = style.getPropertyValue("--" + name).trim();
    root.style.colorScheme = dark(style.backgroundColor) ? "dark" : "light";
    theme.hatch = HATCH[root.style.colorScheme];
    root.classList.toggle("narrow", root.clientWidth < 700);
  }

  function draw(event) {
    const { pen, width, height } = layer(paper.firstChild), hole = new Path2D(), w = width / columns, h = height / rows;
    pixels(small, image, [rows, columns], grey);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, 0, 0, width, height);
    mask.forEach((seen, j) => seen || hole.rect(j % columns * w, Math.floor(j / columns) * h, w + 0.5, h + 0.5));
    pen.save();
    pen.clip(hole);
    stripes(pen, width, height, theme.hatch, 9);
    pen.restore();
    if (over || document.activeElement === paper) {
      pen.beginPath();
      if (brush > 1) pen.ellipse(cursor[1] * w, cursor[0] * h, brush / 2 * w, brush / 2 * h, 0, 0, 7);
      else pen.rect(Math.floor(cursor[1]) * w, Math.floor(cursor[0]) * h, w, h);
      for (const [wide, ink] of [[4, "#fff"], [1.8, "#1d1e22"]]) { pen.lineWidth = wide; pen.strokeStyle = ink; pen.stroke(); }
    }
    say();
    root.dataset.drawn = 1 + Number(root.dataset.drawn ?? 0);
    if (event) root.dataset.latency = (performance.now() - event.timeStamp).toFixed(2);
  }

  // Asking the kernel: one request under way; what waits is the newest state
  function ask(event, released) {
    waiting = { since: event.timeStamp };
    clearTimeout(timer);
    if (pending) return;
    const rest = EVERY + asked - performance.now();
    if (released || rest <= 0) send();
    else timer = setTimeout(send, rest);
  }

  function send() {
    if (!live || !waiting) return;
    lastId = Math.max(lastId, get("reply")) + 1;
    [pending, waiting, asked] = [{ id: lastId, ...waiting }, null, performance.now()];
    clearTimeout(busyTimer);
    busyTimer = setTimeout(() => busy.classList.add("on"), 400);
    own = true;
    model.set("mask", new DataView(mask.slice().buffer));
    model.set("request", { id: lastId, values: { ...values } });
    own = false;
    model.save_changes();
  }

  function acknowledge() {
    root.dataset.reply = get("reply");
    if (!pending || get("reply") < pending.id) return;
    root.dataset.roundtrip = (performance.now() - pending.since).toFixed(1);
    pending = null;
    if (waiting) return ask({ timeStamp: waiting.since }, !stroke);
    clearTimeout(busyTimer);
    busy.classList.remove("on");
  }

  function refresh() {
    const answered = dirty.has("reply");
    read();
    draw();
    panels.draw();
    if (answered) acknowledge();
  }
  const heard = [...TRAITS, ...panels.keys].map((key) => [key, () => {
    if (!own && !dirty.size) queueMicrotask(refresh);
    if (!own) dirty.add(key);
  }]);
  heard.forEach(([key, call]) => model.on("change:" + key, call));

  // Hands
  function dab([row, column]) { // pixels whose middle it covers, and the one under its own
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
      const middle = r === Math.floor(row) && c === Math.floor(column);
      if (middle || Math.hypot(r + 0.5 - row, c + 0.5 - column) <= brush / 2) mask[r * columns + c] = tool === "eraser" ? 1 : 0;
    }
  }

  function drag(to) {
    const way = [to[0] - stroke[0], to[1] - stroke[1]], n = Math.ceil(2 * Math.hypot(...way)) || 1;
    for (let k = 1; k <= n; k++) dab(stroke.map((at, axis) => at + way[axis] * k / n));
    stroke = to;
  }

  listen(paper, "pointerdown pointermove", (event) => {
    const box = paper.getBoundingClientRect(), down = event.type === "pointerdown" && !event.button;
    cursor = [(event.clientY - box.top) / box.height * rows, (event.clientX - box.left) / box.width * columns];
    over = true;
    if (down) { paper.setPointerCapture(event.pointerId); stroke = cursor; }
    if (stroke) { drag(cursor); ask(event, false); }
    draw(event);
  });
  listen(paper, "pointerup pointercancel", (event) => { if (stroke) { stroke = null; ask(event, true); } });
  listen(paper, "pointerleave", () => { over = false; draw(); });
  listen(paper, "focus blur", () => draw());
  listen(root, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // or the notebook acts
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], " ": [0, 0] }[event.key];
    if (event.target !== paper || !way) return;
    event.preventDefault();
    cursor = cursor.map((at, axis) => clamp(Math.floor(at) + way[axis], 0, [rows, columns][axis] - 1) + 0.5);
    if (event.shiftKey || event.key === " ") { dab(cursor); ask(event, !event.repeat); }
    draw(event);
  });

  all("[data-mask]").forEach((button) => listen(button, "click", (event) => {
    if (button.dataset.mask === "random") { values.seed += thrown; thrown = true; } // another press, another mask
    READY[button.dataset.mask](mask, columns, values.seed);
    ask(event, true);
    draw(event);
  }));
  all("[data-tool]").forEach((button) => listen(button, "click", () => { tool = button.dataset.tool; say(); }));
  listen(size, "input", () => { brush = Number(size.value); draw(); });
  listen(slider, "input change", (event) => { values.sample = Number(slider.value); say(); ask(event, event.type === "change"); });
  listen(prior, "change", (event) => { values.prior = prior.checked; say(); ask(event, true); });
  listen($(".reset"), "click", (event) => {
    const { hidden, ...first } = get("first");
    mask.forEach((_, j) => { mask[j] = hidden.includes(j) ? 0 : 1; });
    [values, brush, tool, thrown] = [{ ...values, ...first }, get("brush"), "brush", false];
    panels.reset();
    ask(event, true);
    draw(event);
    panels.draw();
  });

  // Around
  const resize = () => { readTheme(); draw(); panels.draw(); }, later = () => requestAnimationFrame(resize);
  const sized = new ResizeObserver(resize), themed = new MutationObserver(later);
  themed.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name"] });
  listen(matchMedia("(prefers-color-scheme: dark)"), "change", later);
  read();
  resize();
  sized.observe(root);
  return () => {
    heard.forEach(([key, call]) => model.off("change:" + key, call));
    stop.abort();
    [sized, themed].forEach((one) => one.disconnect());
    [timer, busyTimer].forEach(clearTimeout);
  };
}

export default { render };
