// StaircaseView: gates closing above the error and its threshold, which the hand moves while the kernel trains.
// The threshold moves here at once; it is told to the kernel one request at a time, the newest after it.
// MARKUP, COLOURS, DASHES and ERROR_HEADING come from staircase_style.py.

const LEFT = 56, RIGHT = 14, TOP = 8, BOTTOM = 20, STAIRS = 92;

const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const range = (n, of) => Array.from({ length: Math.max(n, 0) }, (_, k) => of(k));
const bytesOf = (view) => view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
const floatsOf = (view) => new Float32Array(bytesOf(view).slice().buffer);
const dark = (colour) => { const [r, g, b] = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number); return r * 0.3 + g * 0.6 + b * 0.1 < 125; };
const tidy = (v) => Number.isFinite(v) ? String(+v.toPrecision(3)) : "–";

function layer(canvas) {
  const ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas.parentNode;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { pen, width, height };
}

function niceTicks(low, high, about) {
  const rough = (high - low || 1) / about, ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * ten).find((s) => s >= rough * 0.999);
  return range(Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1, (k) => +((Math.ceil(low / step - 1e-9) + k) * step).toPrecision(12));
}

function logTicks(low, high) {
  const all = range(Math.ceil(Math.log10(high)) - Math.floor(Math.log10(low)) + 1, (k) => 10 ** (Math.floor(Math.log10(low)) + k));
  const leads = high / low < 40 ? [1, 2, 5] : high / low < 300 ? [1, 3] : [1];
  return all.flatMap((p) => leads.map((m) => +(m * p).toPrecision(6))).filter((v) => v >= low && v <= high);
}

function render({ model, el, live = true }) {
  const get = (key) => model.get(key), undo = [], theme = {}, stop = new AbortController();
  const listen = (target, types, call) => types.split(" ").forEach((type) => target.addEventListener(type, call, stop));
  const root = document.createElement("div");
  Object.assign(root, { className: "gfe-player gfe-staircase", innerHTML: MARKUP, role: "group" });
  root.dataset.lmSuppressShortcuts = "true";
  el.append(root);
  const $ = (selector) => root.querySelector(selector);
  const [slider, train, anew, busy] = [".threshold", ".train", ".anew", ".busy"].map($);
  const [gateChart, errorChart, multiplierChart] = [".gates", ".error", ".multiplier"].map((name) => $(`figure${name} canvas`));

  let values = {}, rows = [], gates, n = 0, grip = false, draws = 0, dirty = false;
  let pending = null, waiting = false, lastId = 0, busyTimer = 0, first = NaN;

  // Reading
  const share = (v) => Math.log(v / get("limits")[0]) / Math.log(get("limits")[1] / get("limits")[0]);
  const atShare = (u) => get("limits")[0] * (get("limits")[1] / get("limits")[0]) ** clamp(u, 0, 1);
  function build() {
    first = get("values").threshold;
    $(".title").textContent = get("title");
    root.ariaLabel = get("alt_text");
    $("figure.error .heading").textContent = ERROR_HEADING.replace("{unit}", get("unit")) + (live ? "; drag it" : "");
    [slider, train, anew, $(".reset")].forEach((input) => { input.disabled = !live; });
  }

  function read() {
    const flat = floatsOf(get("lines"));
    n = flat.length / 5;
    rows = range(5, (k) => flat.subarray(k * n, (k + 1) * n));
    gates = bytesOf(get("gates"));
    if (!pending && !grip) values = { ...get("values") };
    else values.start = Math.max(values.start, get("values").start);
    $(".caption").textContent = get("note");
    root.dataset.reply = get("reply");
    root.dataset.updates = n ? rows[0][n - 1] : 0;
    root.dataset.running = get("running");
    root.dataset.open = n ? rows[1][n - 1] : get("n_gates");
    if (pending && get("reply") >= pending.id) settle();
  }

  // Words
  function say() {
    const last = (k) => n ? rows[k][n - 1] : NaN, open = n ? last(1) : get("n_gates");
    slider.value = Math.round(200 * share(values.threshold));
    slider.nextElementSibling.textContent = slider.ariaValueText = tidy(values.threshold);
    train.textContent = values.running ? "Pause" : "Train on";
    root.dataset.threshold = values.threshold;
    const limit = n && !(last(2) <= values.threshold) ? "above" : "within";
    $(".values").textContent = [`threshold ${tidy(values.threshold)}`, `${open} of ${get("n_gates")} gates open`, `update ${n ? last(0).toLocaleString("en") : 0}`,
      `error ${tidy(last(2))}` + (n ? `, ${limit}` : ""), `λ ${tidy(last(4))}`, `seed ${get("seed")}`].join(" · ");
  }

  // Drawing
  function readTheme() {
    const style = getComputedStyle(root);
    for (const name of ["fg", "soft", "rule", "bg"]) theme[name] = style.getPropertyValue("--" + name).trim();
    theme.font = "12px " + style.fontFamily;
    root.style.colorScheme = dark(style.backgroundColor) ? "dark" : "light";
    theme.blue = root.style.colorScheme === "dark" ? "#56b4e9" : COLOURS[0];
  }

  const scale = (low, high, log) => (v) => log ? Math.log(Math.max(v, 1e-12) / low) / Math.log(high / low) : (v - low) / (high - low || 1);
  function axes(canvas, y, ticks, bottom, numbered) {
    const { pen, width, height } = layer(canvas), end = bottom ?? height - BOTTOM, x = scale(0, n ? rows[0][n - 1] : 1);
    const at = (u, v) => [LEFT + (width - LEFT - RIGHT) * x(u), end - (end - TOP) * y(v)];
    Object.assign(pen, { font: theme.font, fillStyle: theme.soft, strokeStyle: theme.rule, lineWidth: 1 });
    for (const v of ticks) {
      const h = Math.round(at(0, v)[1]) + 0.5;
      pen.stroke(new Path2D(`M${LEFT} ${h}H${width - RIGHT}`));
      Object.assign(pen, { textAlign: "right", textBaseline: "middle" }).fillText(tidy(v), LEFT - 8, h);
    }
    if (numbered && n) {
      Object.assign(pen, { textAlign: "center", textBaseline: "bottom" });
      niceTicks(0, rows[0][n - 1], 6).forEach((u) => pen.fillText(u.toLocaleString("en"), clamp(at(u, 0)[0], LEFT, width - RIGHT - 12), height));
    }
    return { pen, width, height, at, end };
  }

  function line(pen, spots, ink, wide, dash = []) {
    const known = spots.filter(([x, y]) => Number.isFinite(x + y));
    if (known.length < 1) return;
    pen.setLineDash(dash);
    Object.assign(pen, { strokeStyle: ink, lineWidth: wide, lineJoin: "round" }).stroke(new Path2D("M" + known.join("L")));
    pen.setLineDash([]);
  }
  const steps = (spots) => spots.flatMap((spot, k) => k ? [[spot[0], spots[k - 1][1]], spot] : [spot]);

  function drawGates() {
    const m = get("n_gates"), { pen, width, height, at } = axes(gateChart, scale(0, m * 1.04), niceTicks(0, m, 4), STAIRS);
    line(pen, steps(range(n, (k) => at(rows[0][k], rows[1][k]))), theme.blue, 2.6);
    const top = STAIRS + 14, tall = (height - top - 6) / m, thick = Math.max(tall - (tall > 4 ? 1.5 : 0.5), 1);
    for (let j = 0; j < m; j++) {
      const y = top + j * tall;
      Object.assign(pen, { globalAlpha: 0.35, fillStyle: theme.rule }).fillRect(LEFT, y, width - LEFT - RIGHT, thick);
      pen.fillStyle = theme.blue;
      for (let k = 0; k < n; k++) {
        const [from, to] = [k ? rows[0][k - 1] : 0, rows[0][k]].map((u) => Math.round(at(u, 0)[0])); // whole pixels: no seams
        pen.globalAlpha = gates[j * n + k] / 255;
        pen.fillRect(from, y, to - from, thick);
      }
    }
    Object.assign(pen, { globalAlpha: 1, fillStyle: theme.soft, textAlign: "right", textBaseline: "middle" });
    for (const j of [0, m - 1]) pen.fillText(`gate ${j}`, LEFT - 8, top + (j + 0.5) * tall);
  }

  let errorScale = null;
  function drawError() {
    const [least, most] = get("limits");
    let low = least, high = most;
    for (let k = 0; k < n; k++) if (rows[2][k] > 0) [low, high] = [Math.min(low, rows[2][k]), Math.max(high, rows[2][k])];
    const { pen, width, height, at, end } = axes(errorChart, scale(low, high, true), logTicks(low, high), null, true);
    errorScale = { low, high, end };
    line(pen, steps(range(n, (k) => at(rows[0][k], rows[3][k]))), COLOURS[1], 2, DASHES[1]);
    line(pen, range(n, (k) => at(rows[0][k], rows[2][k])), theme.blue, 2.4);
    const y = at(0, values.threshold)[1];
    line(pen, [[LEFT, y], [width - RIGHT, y]], theme.fg, grip ? 2.4 : 1.2);
    Object.assign(pen, { fillStyle: theme.fg, textAlign: "right", textBaseline: y < 30 ? "top" : "bottom" }).fillText(`threshold now ${tidy(values.threshold)}`, width - RIGHT - 2, y + (y < 30 ? 4 : -3));
    pen.beginPath();
    pen.arc(LEFT, y, 5, 0, 7);
    pen.fill();
  }

  function drawMultiplier() {
    let low = 1, high = 1;
    for (let k = 0; k < n; k++) [low, high] = [Math.min(low, rows[4][k]), Math.max(high, rows[4][k])];
    [low, high] = [low / 1.3, high * 1.3];
    const { pen, at } = axes(multiplierChart, scale(low, high, true), logTicks(low, high), null, true);
    line(pen, range(n, (k) => at(rows[0][k], rows[4][k])), theme.fg, 1.6);
  }

  function look(event) { // what follows the hand
    if (!root.clientWidth) return;
    say();
    drawError();
    root.dataset.drawn = ++draws;
    if (event) root.dataset.latency = (performance.now() - event.timeStamp).toFixed(2);
  }
  function draw() { if (root.clientWidth) { look(); drawGates(); drawMultiplier(); } }

  // Asking the kernel: one request under way, the newest of the others waits
  function ask(changes, event) {
    if (!live) return;
    values = { ...values, ...changes };
    look(event);
    if (pending) waiting = true;
    else send();
  }
  function send() {
    lastId = Math.max(lastId, get("reply")) + 1;
    pending = { id: lastId, since: performance.now() };
    waiting = false;
    clearTimeout(busyTimer);
    busyTimer = setTimeout(() => busy.classList.add("on"), 600);
    model.set("request", { id: lastId, values: { ...values } });
    model.save_changes();
  }
  function settle() {
    root.dataset.roundtrip = (performance.now() - pending.since).toFixed(1);
    pending = null;
    clearTimeout(busyTimer);
    if (waiting) return send();
    busy.classList.remove("on");
    values = { ...get("values") };
  }
  const changed = () => {
    if (dirty) return;
    dirty = true;
    queueMicrotask(() => { dirty = false; read(); draw(); });
  };
  for (const key of "lines gates running values note reply".split(" ")) {
    model.on("change:" + key, changed);
    undo.push(() => model.off("change:" + key, changed));
  }

  // Hands
  listen(slider, "input", (event) => ask({ threshold: atShare(slider.value / 200) }, event));
  listen(errorChart, "pointerdown pointermove", (event) => {
    if (event.type === "pointerdown" && !event.button && live) { grip = true; errorChart.setPointerCapture(event.pointerId); }
    if (!grip) return;
    const { low, high, end } = errorScale, y = event.clientY - errorChart.getBoundingClientRect().top;
    ask({ threshold: atShare(share(low * (high / low) ** ((end - y) / (end - TOP)))) }, event);
  });
  listen(errorChart, "pointerup pointercancel", () => { grip = false; look(); });
  listen(train, "click", (event) => ask({ running: !values.running }, event));
  listen(anew, "click", (event) => ask({ running: true, fresh: true, start: values.start + 1 }, event));
  listen($(".reset"), "click", (event) => ask({ threshold: first, running: false, fresh: false, start: values.start + 1 }, event));
  listen(root, "keydown", (event) => { if (!(event.ctrlKey || event.metaKey || event.altKey)) event.stopPropagation(); }); // or the notebook acts

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
