// SpectrumView: a spectrum with gaps, and what the flow makes of it at every step.
// The kernel sends all steps of one sample at once; scrubbing is drawn here, in the handler of the input itself.
// MARKUP, COLOURS and DASHES come from spectrum_style.py.

const LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 22, FRAMES_PER_SECOND = 10;

const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const range = (n, of) => Array.from({ length: Math.max(n, 0) }, (_, k) => of(k));
const bytesOf = (view) => view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
const floatsOf = (view) => new Float32Array(bytesOf(view).slice().buffer);
const dark = (colour) => { const [r, g, b] = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number); return r * 0.3 + g * 0.6 + b * 0.1 < 125; };
const tidy = (v) => String(+v.toPrecision(3)).replace("-", "−");

function layer(canvas) {
  const ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas.parentNode;
  const w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.setLineDash([]);
  pen.globalAlpha = 1;
  pen.lineJoin = "round";
  return { pen, width, height };
}

// A scale maps values to 0..1; `log` where the range spans more than a decade.
function scaleOf(low, high, log = false, about = 4) {
  const of = log ? Math.log10 : (v) => v, from = of(low), to = of(high), rough = (to - from) / about;
  const ten = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].map((m) => m * ten).find((m) => m >= rough * 0.999);
  const leads = to - from < 1.6 ? [1, 2, 5] : [1], powers = range(Math.ceil(to) - Math.floor(from) + 1, (k) => 10 ** (Math.floor(from) + k));
  const ticks = log ? powers.flatMap((power) => leads.map((lead) => lead * power))
    : range(Math.floor(to / step) - Math.ceil(from / step) + 1, (k) => +((Math.ceil(from / step) + k) * step).toPrecision(9));
  return { of: (v) => (of(v) - from) / (to - from), ticks: ticks.filter((v) => v >= low && v <= high) };
}

const SHOWN = "curves energies flux truth limits note readings values reply".split(" ");

function render({ model, el, live = true }) {
  const get = (key) => model.get(key), undo = [], theme = {}, stop = new AbortController();
  const listen = (target, types, call) => types.split(" ").forEach((type) => target.addEventListener(type, call, stop));
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const root = document.createElement("div");
  Object.assign(root, { className: "gfe-player gfe-spectrum", innerHTML: MARKUP, role: "group", tabIndex: 0 });
  root.dataset.lmSuppressShortcuts = "true";
  el.append(root);
  const $ = (selector) => root.querySelector(selector);
  const [plot, chart] = [".plot", ".chart"].map((name) => [...root.querySelectorAll(name + " canvas")]);
  const [slider, sample, solver, shown, busy, details] = [".frame", ".sample", ".solver", ".truth input", ".busy", "details"].map($);
  const tell = (key, value) => { model.set(key, value); model.save_changes(); };

  let at, flux, truth, curves, energies, n = 0, frames = 0, values = {}, frame = 0, playing = false, raf = 0, since = 0;
  let pending = null, waiting = null, lastId = 0, timer = 0, busyTimer = 0, reported = 0, draws = 0, dirty = false, visible = true;

  // Reading
  function read(fresh) {
    [at, flux, truth, curves, energies] = ["at", "flux", "truth", "curves", "energies"].map((key) => floatsOf(get(key)));
    [n, frames] = [flux.length, energies.length];
    if (!waiting) values = { ...get("values") };
    frame = fresh ? clamp(get("frame"), 0, frames - 1) : frames - 1; // an answer is shown in full
    slider.max = frames - 1;
    sample.max = get("n_samples") - 1;
    solver.replaceChildren(...get("solvers").map((name) => Object.assign(document.createElement("option"), { textContent: name })));
    $(".truth").hidden = !truth.length;
    $(".key .clean").hidden = !truth.length;
    [sample, solver, $(".reset")].forEach((input) => { input.disabled = !live; });
    $(".title").textContent = get("title");
    root.ariaLabel = plot[1].ariaLabel = get("alt_text");
    $(".caption").textContent = get("note");
    $(".plot").previousSibling.textContent = get("y_title");
    $(".below .heading").textContent = "energy against step" + (get("level") == null ? "" : "; the dashed line is that of noise alone");
    buildReadings();
    if (details.open) buildNumbers();
    root.dataset.reply = get("reply");
    if (pending && get("reply") >= pending.id) settle();
  }

  function buildReadings() {
    const cell = (text, tag = "td") => Object.assign(document.createElement(tag), { textContent: text });
    const line = (cells) => { const row = document.createElement("tr"); row.append(...cells); return row; };
    const rows = get("readings").map(([name, made, told]) => line([cell(name, "th"), cell(tidy(made)), cell(tidy(told))]));
    const head = line(["", "true", "read from the code"].map((text) => cell(text, "th")));
    $(".readings").replaceChildren(...(rows.length ? [head, ...rows] : []));
    $(".below").classList.toggle("one", !rows.length);
  }

  function buildNumbers() {
    const rows = [...energies].map((e, k) => `<tr><td>${k}</td><td>${e.toFixed(4)}</td></tr>`).join("");
    $(".numbers").innerHTML = `<table><tr><th>step</th><th>energy</th></tr>${rows}</table>`;
  }

  // Words
  const off = (wanted) => { // root mean square distance to the truth
    let sum = 0, count = 0;
    for (let j = 0; j < n; j++) if (Number.isFinite(flux[j]) !== wanted) { sum += (curves[frame * n + j] - truth[j]) ** 2; count++; }
    return count ? tidy(Math.sqrt(sum / count)) : "0";
  };

  function say() {
    sample.value = values.sample;
    sample.nextSibling.textContent = sample.ariaValueText = values.sample;
    solver.value = values.solver;
    slider.value = frame;
    const step = `step ${frame} of ${frames - 1}`, level = get("level");
    $(".count").textContent = slider.ariaValueText = step;
    $(".values").textContent = `sample ${values.sample} · solver ${values.solver} · ${step} · truth ${shown.checked ? "shown" : "hidden"}`;
    const words = [`energy ${energies[frame].toFixed(4)}` + (level == null ? "" : ` (noise alone: ${level})`)];
    if (shown.checked && truth.length) words.push(`off the truth by ${off(false)} where it was seen, by ${off(true)} in the gaps`);
    $(".words").textContent = words.join(" · ");
  }

  // Drawing
  function readTheme() {
    const style = getComputedStyle(root);
    for (const name of ["fg", "soft", "rule", "bg"]) theme[name] = style.getPropertyValue("--" + name).trim();
    theme.font = "12px " + style.fontFamily;
    root.style.colorScheme = dark(style.backgroundColor) ? "dark" : "light";
    root.classList.toggle("narrow", root.clientWidth < 640);
  }

  function axes({ pen, width, height }, x, y, xTitle) {
    const at = (u, v) => [LEFT + (width - LEFT - RIGHT) * x.of(u), height - BOTTOM - (height - BOTTOM - TOP) * y.of(v)];
    pen.font = theme.font;
    pen.fillStyle = theme.soft;
    pen.strokeStyle = theme.rule;
    pen.lineWidth = 1;
    for (const tick of y.ticks) {
      const height = Math.round(at(0, tick)[1]) + 0.5;
      pen.stroke(new Path2D(`M${LEFT} ${height}H${width - RIGHT}`));
      Object.assign(pen, { textAlign: "right", textBaseline: "middle" }).fillText(tidy(tick), LEFT - 8, height);
    }
    Object.assign(pen, { textAlign: "center", textBaseline: "bottom" });
    for (const tick of x.ticks) {
      const spot = at(tick, 1)[0];
      if (spot < width - RIGHT - 8 - pen.measureText(xTitle).width) pen.fillText(tidyPlace(tick), spot, height);
    }
    pen.textAlign = "right";
    pen.fillText(xTitle, width - RIGHT, height);
    return at;
  }

  const tidyPlace = (v) => String(+v.toPrecision(6)).replace("-", "−");
  const line = (pen, path, colour, wide, dash = []) => {
    pen.setLineDash(dash);
    Object.assign(pen, { strokeStyle: colour, lineWidth: wide }).stroke(path);
    pen.setLineDash([]);
  };
  const path = (spots) => new Path2D("M" + spots.join("L"));
  const places = () => scaleOf(at[0], at[n - 1], false, plot[0].parentNode.clientWidth / 80);
  const lost = () => range(n, (j) => j).filter((j) => !Number.isFinite(flux[j]));

  function drawGround() { // axes and gaps, which a step does not change
    const sheet = layer(plot[0]), { pen, height } = sheet, spot = axes(sheet, places(), scaleOf(...get("limits")), get("x_title"));
    const half = (at[1] - at[0]) / 2;
    for (const j of lost()) {
      const [left] = spot(at[j] - half, 1), [right] = spot(at[j] + half, 1);
      pen.save();
      pen.globalAlpha = 0.5;
      pen.fillStyle = theme.rule;
      pen.fillRect(left, TOP, right - left + 0.5, height - TOP - BOTTOM);
      pen.beginPath();
      pen.rect(left, TOP, right - left + 0.5, height - TOP - BOTTOM);
      pen.clip();
      for (let y = -8 * Math.ceil(right / 8); y < height + right; y += 8) line(pen, new Path2D(`M0 ${y}L${right} ${y + right}`), theme.soft, 0.7);
      pen.restore();
    }
  }

  function drawCurves() {
    const { pen, width, height } = layer(plot[1]), x = places(), y = scaleOf(...get("limits"));
    const spot = (j, v) => [LEFT + (width - LEFT - RIGHT) * x.of(at[j]), height - BOTTOM - (height - BOTTOM - TOP) * y.of(v)];
    const of = (k) => path(range(n, (j) => spot(j, curves[k * n + j])));
    pen.beginPath();
    pen.rect(LEFT, 0, width - LEFT, height - BOTTOM + 2);
    pen.clip();
    if (shown.checked && truth.length) line(pen, path(range(n, (j) => spot(j, truth[j]))), COLOURS[1], 3, DASHES[1]);
    line(pen, of(frame), COLOURS[0], 2.4);
    if (shown.checked && truth.length) line(pen, path(range(n, (j) => spot(j, truth[j]))), COLOURS[1], 1.6, DASHES[1]);
    pen.fillStyle = theme.fg;
    for (let j = 0; j < n; j++) if (Number.isFinite(flux[j])) {
      pen.beginPath();
      pen.arc(...spot(j, flux[j]), 1.9, 0, 7);
      pen.fill();
    }
  }

  function drawChart() {
    const low = Math.min(...energies, get("level") ?? Infinity), high = Math.max(...energies), log = low > 0 && high > 10 * low;
    const y = log ? scaleOf(low / 1.4, high * 1.2, true) : scaleOf(low - 0.07 * (high - low || 1), high + 0.07 * (high - low || 1));
    const x = scaleOf(0, Math.max(frames - 1, 1)), sheet = layer(chart[0]), { pen, width, height } = sheet;
    x.ticks = x.ticks.filter(Number.isInteger);
    const spot = axes(sheet, x, y, "step"), of = (last) => path(range(last + 1, (k) => spot(k, energies[k])));
    if (get("level") != null) line(pen, path([spot(0, get("level")), spot(Math.max(frames - 1, 1), get("level"))]), theme.soft, 1.2, [5, 4]);
    pen.globalAlpha = 0.3;
    line(pen, of(frames - 1), COLOURS[0], 2);
    pen.globalAlpha = 1;
    line(pen, of(frame), COLOURS[0], 2);
    const [u, v] = spot(frame, energies[frame]);
    line(pen, new Path2D(`M${u} ${TOP}V${height - BOTTOM}`), theme.fg, 1);
    pen.beginPath();
    pen.arc(u, v, 4.5, 0, 7);
    pen.fillStyle = COLOURS[0];
    pen.fill();
  }

  function look(event) { // what follows the hand
    if (!root.clientWidth || !frames) return;
    drawCurves();
    drawChart();
    say();
    Object.assign(root.dataset, { frame, sample: values.sample, solver: values.solver, drawn: ++draws });
    if (event) root.dataset.latency = (performance.now() - event.timeStamp).toFixed(2);
  }
  function draw() { if (root.clientWidth && frames) { drawGround(); look(); } }

  // Time
  function report(final) { // at once on release, otherwise at most ten times a second
    const now = performance.now();
    if (frame === get("frame")) return;
    if (final || now - reported >= 100) { reported = now; tell("frame", frame); }
    else timer ||= setTimeout(() => { timer = 0; report(true); }, 100 - now + reported);
  }
  function move(to, event) {
    setPlaying(false);
    frame = clamp(to, 0, frames - 1);
    look(event);
    report(!event);
  }
  function setPlaying(on) {
    if (on === playing) return;
    playing = on && frames > 1;
    if (playing && frame >= frames - 1) frame = 0;
    root.classList.toggle("playing", playing);
    $(".play").title = $(".play").ariaLabel = playing ? "pause" : "play";
    since = 0;
    if (playing) raf ||= requestAnimationFrame(tick);
    else report(true);
  }
  function tick(now) {
    raf = 0;
    if (!playing || !visible) return;
    const wait = 1000 / Math.max(FRAMES_PER_SECOND, frames / 6);
    if (!since || now - since >= wait) {
      frame = Math.min(frame + (since ? Math.max(1, Math.round((Math.min(now - since, 200)) / wait)) : 0), frames - 1);
      since = now;
      look();
      report(false);
      if (frame >= frames - 1) return setPlaying(false);
    }
    raf = requestAnimationFrame(tick);
  }

  // Asking the kernel: one request under way, the newest of the others waits
  function ask(changes) {
    values = { ...values, ...changes };
    say();
    if (pending) waiting = true;
    else send();
  }
  function send() {
    lastId = Math.max(lastId, get("reply")) + 1;
    pending = { id: lastId, since: performance.now() };
    waiting = null;
    clearTimeout(busyTimer);
    busyTimer = setTimeout(() => busy.classList.add("on"), 150);
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
    queueMicrotask(() => { dirty = false; read(false); draw(); report(true); });
  };
  for (const key of SHOWN) { model.on("change:" + key, changed); undo.push(() => model.off("change:" + key, changed)); }

  // Hands
  const go = (name, event) => name === "play" ? setPlaying(!playing)
    : move({ first: 0, back: frame - 1, next: frame + 1, last: frames - 1 }[name], event);
  for (const name of "first back play next last".split(" ")) listen($("." + name), "click", (event) => go(name, event));
  listen(slider, "input", (event) => move(Number(slider.value), event));
  listen(slider, "change", () => report(true));
  listen(sample, "input", () => { sample.nextSibling.textContent = sample.value; });
  listen(sample, "change", () => ask({ sample: Number(sample.value) }));
  listen(solver, "change", () => ask({ solver: solver.value }));
  listen(shown, "change", (event) => look(event));
  listen(details, "toggle", () => details.open && buildNumbers());
  listen($(".reset"), "click", () => { shown.checked = false; ask(get("defaults")); });
  listen(root, "keydown", (event) => {
    const { target } = event, name = { " ": "play", ArrowLeft: "back", ArrowRight: "next", Home: "first", End: "last" }[event.key];
    const users = name === "play" ? "INPUT SELECT BUTTON SUMMARY" : "INPUT SELECT"; // of the key
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // or the notebook takes the arrows
    if (!name || target.closest(".numbers") || (users.includes(target.tagName) && !(name === "play" && target === slider))) return;
    event.preventDefault();
    go(name, event);
  });

  // Around
  const resize = () => { readTheme(); draw(); }, later = () => requestAnimationFrame(resize);
  const sized = new ResizeObserver(resize), themed = new MutationObserver(later);
  const seen = new IntersectionObserver((entries) => {
    visible = entries.at(-1).isIntersecting;
    if (visible && playing) raf ||= requestAnimationFrame(tick);
  });
  themed.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name"] });
  listen(matchMedia("(prefers-color-scheme: dark)"), "change", later);
  read(true);
  resize();
  sized.observe(root);
  seen.observe(root);
  if (get("playing") && !calm.matches) setPlaying(true);
  return () => {
    stop.abort();
    undo.forEach((call) => call());
    [sized, themed, seen].forEach((one) => one.disconnect());
    cancelAnimationFrame(raf);
    [timer, busyTimer].forEach(clearTimeout);
  };
}

export default { render };
