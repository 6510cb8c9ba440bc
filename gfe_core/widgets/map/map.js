// PointMap: maps of images that turn into each other, and what lies between two of them.
// The kernel sends all layouts at once; only a new pair A, B is asked for. MARKUP, INKS, ON, COLOURS, DASHES: map_style.py.

const SECONDS = 0.6, NEAR = 26, PAD = 0.05, LEFT = 44, BOTTOM = 20, TOP = 8;

const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const bytesOf = (view) => view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
const floatsOf = (view) => new Float32Array(bytesOf(view).slice().buffer);
const dark = (colour) => { const [r, g, b] = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number); return r * 0.3 + g * 0.6 + b * 0.1 < 125; };

function layer(canvas) {
  const ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas.parentNode;
  const w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.setLineDash([]);
  return { pen, width, height };
}

function paintGrey(canvas, pixels, [rows, columns]) {
  canvas.width = columns;
  canvas.height = rows;
  const pen = canvas.getContext("2d"), image = pen.createImageData(columns, rows);
  for (let j = 0; j < rows * columns; j++) image.data.set([pixels[j], pixels[j], pixels[j], 255], 4 * j);
  pen.putImageData(image, 0, 0);
}

function ticks(high) {
  const ten = 10 ** Math.floor(Math.log10(high / 2)), step = [1, 2, 5, 10].map((m) => m * ten).find((m) => m * 4 >= high);
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, k) => +(k * step).toPrecision(6));
}

function render({ model, el }) {
  const get = (key) => model.get(key), theme = {}, [n_mix, perplexities] = ["n_mix", "perplexities"].map(get);
  const stop = new AbortController();
  const listen = (target, types, call) => types.split(" ").forEach((type) => target.addEventListener(type, call, stop));
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const root = document.createElement("div");
  Object.assign(root, { className: "gfe-player gfe-map", innerHTML: MARKUP, role: "group" });
  root.dataset.lmSuppressShortcuts = "true";
  el.append(root);
  const $ = (selector) => root.querySelector(selector);
  const main = $(".main"), side = $(".side"), slider = $(".frame"), mixer = $(".mix"), words = $(".words");
  const all = (selector) => [...root.querySelectorAll(selector)];
  const pictures = all(".tiles canvas"), near = all(".near canvas"), row = all(".between .row canvas");

  let n = 0, labels = [], excess, images, drawn, nearest, layouts, flat, mixes, curves, way = [], mixed = [], size = 0;
  let map, frame, point, pair, step, hands = null, raf = 0;
  let now, from, to, since = 0; // positions on the screen, where they came from, where they go, when they left

  // Reading
  function read() {
    labels = get("labels");
    n = labels.length;
    [layouts, flat, excess] = ["layouts", "flat", "excess"].map((key) => floatsOf(get(key)));
    [images, drawn] = ["images", "drawn"].map((key) => bytesOf(get(key)));
    nearest = new Uint16Array(bytesOf(get("nearest")).slice().buffer);
    size = images.length / n;
    slider.max = perplexities.length - 1;
    $(".level").hidden = $(".about").hidden = $(".near").hidden = !perplexities.length;
    $(".between").hidden = !n_mix;
    mixer.max = n_mix - 1;
    $(".choices").replaceChildren(...(get("names").length > 1 ? ["points", ...get("names")] : []).map((name, k) => {
      const node = document.createElement(k ? "button" : "span");
      if (k) node.onclick = () => { map = k - 1; tell("choice", map); go(); };
      node.textContent = name;
      return node;
    }));
    $(".between .heading").textContent = "energy above the floor, " + get("unit");
    pictures[0].ariaLabel = pictures[0].previousElementSibling.textContent = get("noun");
    main.ariaLabel = get("alt_text") + " Arrow keys go to the next point" + (n_mix ? ", a and b set the ends." : ".");
    $(".title").textContent = get("title");
    readMixes();
    ({ point, pair, step } = get("first"));
    [map, frame, pair] = [get("choice"), get("frame"), get("pair")];
    now = layout().slice();
    root.dataset.settled = true;
  }

  function readMixes() {
    mixed = get("mixed");
    mixes = bytesOf(get("mixes"));
    curves = floatsOf(get("curves"));
    way = floatsOf(get("way"));
  }

  function reset() {
    ({ map, frame, point, pair, step } = get("first"));
    tell("choice", map);
    tell("frame", frame);
    askPair();
    go();
  }

  const called = (k) => get("rows")[k] ?? k; // samples without a code are left out, and keep their numbers
  const tell = (key, value) => { model.set(key, value); model.save_changes(); };
  const askPair = () => n_mix && String(get("pair")) !== String(pair) && tell("pair", pair);
  const part = (array, k) => array.subarray(k * 2 * n, (k + 1) * 2 * n);
  const layout = () => perplexities.length ? part(layouts, map * perplexities.length + frame) : part(flat, map);

  // Words
  function say() {
    const level = perplexities[frame], name = get("names")[map], t = step / Math.max(n_mix - 1, 1);
    slider.value = frame;
    slider.ariaValueText = $(".level output").textContent = level ?? "";
    mixer.value = step;
    mixer.ariaValueText = $(".mixer output").textContent = "t = " + t.toFixed(2);
    all(".choices button").forEach((button, k) => { button.ariaPressed = k === map; });
    main.previousSibling.textContent = level ? `${name}, t-SNE with perplexity ${level}` : `${name} by PCA` + (way.length ? "" : ": straight lines stay straight");
    $(".values").textContent = [`points ${name}`, level && `perplexity ${level}`, level && `seed ${get("seed")}`,
      `${get("noun")} ${called(point)}`, n_mix && `A ${called(pair[0])}, B ${called(pair[1])}, t ${t.toFixed(2)}`].filter(Boolean).join(" · ");
    words.textContent = `${get("noun")} ${called(point)}, class ${get("class_names")[labels[point]]}: energy ${excess[point].toFixed(4)} above its floor`;
    $(".caption").textContent = n_mix ? "Drag from one point to another, or choose a point and press a or b; then move t."
      : get("notes")[map];
  }

  // Drawing
  function readTheme() {
    const style = getComputedStyle(root);
    for (const name of ["fg", "soft", "rule", "bg"]) theme[name] = style.getPropertyValue("--" + name).trim();
    theme.family = style.fontFamily;
    theme.dark = dark(style.backgroundColor);
    root.style.colorScheme = theme.dark ? "dark" : "light";
    root.classList.toggle("narrow", root.clientWidth < 700);
    [theme.inks, theme.on] = [INKS, ON].map((inks) => inks.map((ink) => theme[ink] || ink));
  }

  const at = (array, k, width) => [0, 1].map((axis) => width * (0.5 + (axis ? -1 : 1) * (0.5 - PAD) * array[2 * k + axis]));

  function drawPoints(stage, array, radius) {
    const { pen, width } = layer(stage.firstElementChild);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.font = `600 ${radius * 1.45}px ${theme.family}`;
    for (let k = 0; k < n; k++) {
      const [x, y] = at(array, k, width), ink = labels[k] % INKS.length;
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      pen.fillStyle = theme.inks[ink];
      pen.fill();
      pen.lineWidth = 1;
      pen.strokeStyle = INKS[ink] === "bg" ? theme.fg : theme.bg;
      pen.stroke();
      pen.fillStyle = theme.on[ink];
      pen.fillText(get("class_names")[labels[k]].slice(0, 1), x, y + 0.5);
    }
  }

  function trace(pen, path, wide = 2.4) { // in ink, with paper around it
    for (const [width, colour] of [[wide + 2.6, theme.bg], [wide, theme.fg]]) {
      pen.lineWidth = width;
      pen.strokeStyle = colour;
      pen.stroke(path);
    }
  }

  function ring(pen, x, y, radius, letter = "") {
    const circle = new Path2D();
    circle.arc(x, y, radius, 0, 7);
    trace(pen, circle);
    pen.lineWidth = 5;
    pen.strokeStyle = theme.bg;
    pen.strokeText(letter, x + radius + 3, y - radius);
    pen.fillText(letter, x + radius + 3, y - radius);
  }

  function drawMarks(stage, array, radius) {
    const { pen, width } = layer(stage.lastElementChild);
    pen.font = `700 14px ${theme.family}`;
    pen.lineJoin = "round";
    pen.fillStyle = theme.fg;
    if (n_mix) {
      const a = at(array, pair[0], width), b = hands?.moved && hands.over < 0 ? hands.xy : at(array, pair[1], width);
      const t = step / (n_mix - 1);
      const bent = way.length && String(mixed) === String(pair), here = bent ? at(way, step, width) : [0, 1].map((axis) => a[axis] + t * (b[axis] - a[axis]));
      trace(pen, new Path2D("M" + (bent ? Array.from({ length: n_mix }, (_, k) => at(way, k, width)) : [a, b]).join("L")), 2);
      ring(pen, ...a, radius + 3, "A");
      ring(pen, ...b, radius + 3, "B");
      pen.fill(new Path2D(`M${[here[0], here[1] - 7]}l7 7l-7 7l-7 -7z`));
    }
    if (!n_mix) for (const k of neighbours()) trace(pen, new Path2D(`M${at(array, point, width)}L${at(array, k, width)}`), 1.4);
    if (!n_mix || document.activeElement === main) ring(pen, ...at(array, point, width), radius + 3);
  }

  const neighbours = () => nearest.subarray((map * n + point) * near.length, (map * n + point + 1) * near.length);

  function onStages(call) {
    call(main, now, clamp(main.clientWidth / 62, 5, 8.5));
    if (!$(".about").hidden) call(side, part(flat, map), clamp(side.clientWidth / 52, 3.5, 6));
  }

  function draw() {
    if (!root.clientWidth) return;
    onStages(drawPoints);
    look();
  }

  // What follows the hand: marks, pictures and words; the points stay.
  function look(event) {
    if (!root.clientWidth) return;
    onStages(drawMarks);
    const paint = (canvas, array, k) => paintGrey(canvas, array.subarray(k * size, (k + 1) * size), get("image_shape"));
    pictures.forEach((canvas, k) => paint(canvas, k ? drawn : images, point));
    if (!n_mix) neighbours().forEach((k, place) => paint(near[place], images, k));
    if (n_mix && String(mixed) === String(pair)) {
      [pair[0], step, n_mix + step, pair[1]].forEach((at, k) => paint(row[k], k % 3 ? mixes : images, at));
      drawChart();
    }
    say();
    Object.assign(root.dataset, { map: get("names")[map], frame, point, pair, mixed, step, drawn: Number(root.dataset.drawn ?? 0) + 1 });
    if (event) root.dataset.latency = (performance.now() - event.timeStamp).toFixed(2);
  }

  function drawChart() {
    const { pen, width, height } = layer($(".chart canvas")), high = 1.08 * Math.max(...curves) || 1;
    const x = (k) => LEFT + (width - LEFT - 10) * k / (n_mix - 1), y = (v) => height - BOTTOM - (height - BOTTOM - TOP) * v / high;
    const line = (path, colour, wide) => { pen.strokeStyle = colour; pen.lineWidth = wide; pen.stroke(new Path2D(path)); };
    pen.font = `12px ${theme.family}`;
    pen.fillStyle = theme.soft;
    pen.textBaseline = "middle";
    for (const tick of ticks(high)) {
      line(`M${LEFT} ${y(tick)}H${width - 10}`, theme.rule, 1);
      pen.textAlign = "right";
      pen.fillText(tick, LEFT - 6, y(tick));
    }
    pen.textAlign = "center";
    ["A", "t = 0.5", "B"].forEach((text, k) => pen.fillText(text, x(k * (n_mix - 1) / 2), height - 8));
    line(`M${x(step)} ${TOP}V${height - BOTTOM}`, theme.fg, 1);
    for (let c = 0; c < 3; c++) {
      pen.setLineDash(DASHES[c]);
      line("M" + Array.from({ length: n_mix }, (_, k) => `${x(k)} ${y(curves[c * n_mix + k])}`).join("L"), COLOURS[c], 2);
      pen.setLineDash([]);
      pen.beginPath();
      pen.arc(x(step), y(curves[c * n_mix + step]), 4, 0, 7);
      pen.fillStyle = COLOURS[c];
      pen.fill();
    }
  }

  // Moving from one layout to the next, from wherever the points are
  function go() {
    from = now.slice();
    to = layout();
    since = performance.now();
    if (calm.matches) since = -1e9;
    cancelAnimationFrame(raf);
    glide(performance.now());
  }

  function glide(time) {
    const share = clamp((time - since) / 1000 / SECONDS, 0, 1), ease = share * share * (3 - 2 * share);
    for (let j = 0; j < now.length; j++) now[j] = from[j] + (to[j] - from[j]) * ease;
    root.dataset.settled = share === 1;
    draw();
    if (share < 1) raf = requestAnimationFrame(glide);
  }

  // Hands
  function under(stage, event) {
    const box = stage.getBoundingClientRect(), xy = [event.clientX - box.left - 1, event.clientY - box.top - 1];
    const array = stage === main ? now : part(flat, map);
    let best = -1, least = NEAR;
    for (let k = 0; k < n; k++) {
      const [x, y] = at(array, k, stage.clientWidth), gap = Math.hypot(x - xy[0], y - xy[1]);
      if (gap < least) [best, least] = [k, gap];
    }
    return { over: best, xy };
  }

  function next([dx, dy]) { // the nearest point in a direction
    let best = point, least = Infinity;
    const [x0, y0] = at(now, point, 100);
    for (let k = 0; k < n; k++) {
      const [x, y] = at(now, k, 100), along = (x - x0) * dx + (y - y0) * dy, aside = Math.abs((x - x0) * dy - (y - y0) * dx);
      if (along > 1e-6 && along + 2 * aside < least) [best, least] = [k, along + 2 * aside];
    }
    return best;
  }

  for (const stage of [main, side]) listen(stage, "pointermove pointerdown", (event) => {
    const { over, xy } = under(stage, event);
    if (event.type === "pointerdown" && over >= 0 && n_mix && stage === main) {
      hands = { start: over, before: pair };
      main.setPointerCapture(event.pointerId);
    }
    if (over >= 0) point = over;
    if (hands && over !== hands.start) {
      Object.assign(hands, { moved: true, over, xy });
      pair = [hands.start, over >= 0 ? over : pair[1]];
    }
    if (over >= 0 || hands) look(event);
  });
  listen(main, "pointerup pointercancel", () => {
    if (hands && (!hands.moved || hands.over < 0 || pair[0] === pair[1])) pair = hands.before;
    hands = null;
    askPair();
    look();
  });
  listen(main, "focus blur", () => look());
  listen(root, "keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key], end = "ab".indexOf(event.key);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // or the notebook takes the keys
    if (event.target !== main || !(way || (end >= 0 && n_mix))) return;
    event.preventDefault();
    if (way) point = next(way);
    else if (pair[1 - end] !== point) { pair = end ? [pair[0], point] : [point, pair[1]]; askPair(); }
    look(event);
  });
  listen(slider, "input", (event) => { frame = Number(slider.value); go(); });
  listen(slider, "change", () => tell("frame", frame));
  listen(mixer, "input", (event) => { step = Number(mixer.value); look(event); });
  listen($(".reset"), "click", () => reset());

  // Around
  const answered = () => { readMixes(); look(); };
  model.on("change:mixed", answered);
  const resize = () => { readTheme(); draw(); }, later = () => requestAnimationFrame(resize);
  const sized = new ResizeObserver(resize), themed = new MutationObserver(later);
  themed.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name"] });
  listen(matchMedia("(prefers-color-scheme: dark)"), "change", later);
  read();
  resize();
  sized.observe(root);
  return () => {
    model.off("change:mixed", answered);
    stop.abort();
    [sized, themed].forEach((one) => one.disconnect());
    cancelAnimationFrame(raf);
  };
}

export default { render };
