// FlowPlayer: draws a film of codes that flow down their energy landscape.
// The kernel sends one film; everything that a hand scrubs is drawn here, in the handler of the input itself.
// MARKUP, COLOURS, DASHES, PALETTES, TOO_LITTLE and TOO_MUCH come from style.py.

const SHAPES = [
  (r) => range(24, (k) => [r * Math.cos(k * Math.PI / 12), r * Math.sin(k * Math.PI / 12)]),
  (r) => [[-r, -r], [r, -r], [r, r], [-r, r]].map(([x, y]) => [x * 0.88, y * 0.88]),
  (r) => [[0, -1.2 * r], [1.1 * r, 0.8 * r], [-1.1 * r, 0.8 * r]],
  (r) => [[0, -1.25 * r], [1.25 * r, 0], [0, 1.25 * r], [-1.25 * r, 0]],
];
const FRAMES_PER_SECOND = 10, CONTOURS = 16, CELL = 4;

const dark = ([r, g, b]) => r * 0.3 + g * 0.6 + b * 0.1 < 125;
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const bytesOf = (view) => view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
const floatsOf = (view) => new Float32Array(bytesOf(view).slice().buffer);

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (value != null && value !== false) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function tidy(v, digits = 3) {
  if (!Number.isFinite(v)) return "not finite";
  const size = Math.abs(v);
  if (size >= 1e5 || (size && size < 1e-3)) return v.toExponential(1).replace(".0", "").replaceAll("-", "−").replace("e+", "e");
  return String(+v.toPrecision(digits)).replace("-", "−");
}

function paletteTable(name) {
  const stops = PALETTES[name];
  return range(256, (g) => {
    const at = g / 255 * (stops.length - 1), k = Math.min(Math.floor(at), stops.length - 2);
    return stops[k].map((c, i) => Math.round(c + (stops[k + 1][i] - c) * (at - k)));
  });
}

// A scale maps values to 0..1; logarithmic where the range spans more than a decade.
function scaleOf(values, zero) {
  const real = values.filter(Number.isFinite), log = real.every((v) => v > 0) && Math.max(...real) > 10 * Math.min(...real);
  const [low, high] = [Math.min, Math.max].map((pick) => real.length ? pick(...real.map((v) => log ? Math.log10(v) : v)) : +(pick === Math.max));
  const margin = (high - low || Math.abs(high) || 1) * 0.07, from = zero && !log ? 0 : low - margin, to = high + margin;
  return { to: (v) => ((log ? Math.log10(v) : v) - from) / (to - from), ticks: log ? logTicks(from, to) : linearTicks(from, to, 4) };
}

const range = (n, of) => Array.from({ length: Math.max(n, 0) }, (_, k) => of(k));

function linearTicks(low, high, about) {
  const rough = (high - low) / about, ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [1, 2, 5, 10].find((m) => m * ten >= rough * 0.999), first = Math.ceil(low / step - 1e-9);
  return range(Math.floor(high / step + 1e-9) - first + 1, (k) => +((first + k) * step).toPrecision(12));
}

function logTicks(low, high) {
  const leads = high - low < 1.6 ? [1, 2, 5] : high - low < 2.6 ? [1, 3] : [1], every = Math.ceil((high - low) / 5), first = Math.floor(low / every);
  return range(8, (k) => leads.map((m) => m * 10 ** ((first + k) * every))).flat().filter((v) => v >= 10 ** low && v <= 10 ** high);
}

function segment(pen, x0, y0, x1, y1, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.stroke(new Path2D(`M${x0} ${y0}L${x1} ${y1}`));
}

function paint(pen, columns, rows, colour) {
  const image = pen.createImageData(columns, rows), { data } = image;
  for (let j = 0; j < columns * rows; j++) {
    [data[4 * j], data[4 * j + 1], data[4 * j + 2]] = colour(j);
    data[4 * j + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
}

function polygon(pen, x, y, points, fill, rings = []) {
  pen.beginPath();
  points.forEach(([dx, dy]) => pen.lineTo(x + dx, y + dy));
  pen.closePath();
  for (const [wide, colour] of rings) { pen.lineWidth = wide; pen.strokeStyle = colour; pen.stroke(); }
  pen.fillStyle = fill;
  pen.fill();
}

function badge(track) {
  const span = make("span"), colour = COLOURS[track];
  span.innerHTML = `<svg width="30" height="12" viewBox="-15 -6 30 12" aria-hidden="true"><path d="M-15 0H15" stroke="${colour}" stroke-width="2"
    stroke-dasharray="${DASHES[track]}"/><polygon points="${SHAPES[track](4.2)}" fill="${colour}" stroke="var(--bg)"/></svg>`;
  return span.firstChild;
}

// Lines of equal height by marching squares; means over blocks of grey levels give back what 8 bits round away.
function contourPaths(grey, width, height, levels) {
  const columns = Math.floor(width / CELL), rows = Math.floor(height / CELL);
  const node = (r, c) => {
    let sum = 0, n = 0;
    for (let y = Math.max((r - 1) * CELL, 0); y < Math.min((r + 1) * CELL, height); y++) {
      for (let x = Math.max((c - 1) * CELL, 0); x < Math.min((c + 1) * CELL, width); x++, n++) sum += grey[y * width + x];
    }
    return sum / n;
  };
  const nodes = range(rows + 1, (r) => range(columns + 1, (c) => node(r, c)));
  return levels.map((level) => {
    const path = new Path2D();
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
      const corners = [[0, 0], [0, 1], [1, 1], [1, 0]], cut = [];
      corners.forEach(([y, x], k) => {
        const [v, u] = corners[(k + 1) % 4], from = nodes[r + y][c + x], to = nodes[r + v][c + u], share = (level - from) / (to - from);
        if ((from < level) !== (to < level)) cut.push([(c + x + (u - x) * share) / columns, (r + y + (v - y) * share) / rows]);
      });
      for (let j = 0; j + 1 < cut.length; j += 2) { path.moveTo(...cut[j]); path.lineTo(...cut[j + 1]); }
    }
    return path;
  });
}

function layer(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.globalAlpha = 1;
  pen.lineJoin = "round";
  return pen;
}

const FILM = ("shape trajectory off_plane energies steps n_frames image_shape target frames names notes energy_label step_label step_limit "
  + "step_limit_label").split(" ");
const GROUND = "landscape n_maps extent energy_range palette".split(" ");
const WORDS = "title caption map_label alt_text controls values defaults draggable start reply".split(" ");
const LEFT = 48, RIGHT = 12, TOP = 8, BOTTOM = 22, GAP = 32, TILE_GAP = 14, MAX_HEIGHT = 400;
const NO_KERNEL = "needs a running notebook";

function render({ model, el, live = true }) {
  const get = (key) => model.get(key), undo = [], dirty = new Set();
  const listen = (target, types, call) => types.split(" ").forEach((type) => {
    target.addEventListener(type, call);
    undo.push(() => target.removeEventListener(type, call));
  });
  const follow = (key, call) => {
    const heard = () => own || call(get(key));
    model.on("change:" + key, heard);
    undo.push(() => model.off("change:" + key, heard));
  };
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const root = make("div", { class: "gfe-player", tabindex: 0, role: "group", "data-lm-suppress-shortcuts": true });
  root.innerHTML = MARKUP;
  el.append(root);
  const $ = (selector) => root.querySelector(selector);
  const [stage, handle, slider, tiles, details, busy, speed] =
    [".stage", ".start", ".frame", ".tiles", "details", ".busy", ".transport select"].map($);
  const [still, trails, points] = stage.querySelectorAll("canvas");
  const charts = [...root.querySelectorAll(".charts figure")].map((figure) => {
    const [base, top] = figure.querySelectorAll("canvas");
    return { heading: figure.firstChild, box: base.parentNode, base, top };
  });

  let film = { tracks: 0, frames: 0 }, ground = null, table = [], theme = {}, cells = [], draws = 0;
  let frame = get("frame"), playing = false, visible = true, raf = 0, clock = 0, own = false, reported = 0, timer = 0;
  let values = {}, start = [0, 0], held = null, turning = false, pending = null, waiting = null, lastId = 0, busyTimer = 0;
  let width = 0, height = 0, shownMap = -1, plane = [0, 1, 0, 1], limits = [0, 1];

  const last = () => Math.max(film.frames - 1, 0);
  const at = (array, track, f, parts = 1, part = 0) => {
    const k = Math.floor(f), i = (track * film.frames + k) * parts + part;
    return f === k ? array[i] : array[i] + (array[i + parts] - array[i]) * (f - k);
  };
  const shares = ([x, y]) => [(x - plane[0]) / (plane[1] - plane[0]), (plane[3] - y) / (plane[3] - plane[2])];
  const sharesAt = (track, f) => shares([at(film.path, track, f, 2), at(film.path, track, f, 2, 1)]);
  const outside = (share) => !(share >= 0 && share <= 1);
  const tell = (key, value) => { own = true; model.set(key, value); own = false; model.save_changes(); };
  const eachTrack = (call) => { for (let track = film.tracks - 1; track >= 0; track--) call(track); };

  // Reading
  function readFilm() {
    const [tracks, frames] = get("shape"), [rows, columns] = get("image_shape"), limit = get("step_limit");
    film = { tracks: frames && tracks, frames: tracks && frames, rows, columns, names: get("names"), notes: get("notes"), real: get("n_frames"),
      path: floatsOf(get("trajectory")), off: floatsOf(get("off_plane")), energy: floatsOf(get("energies")), step: floatsOf(get("steps")),
      images: bytesOf(get("frames")), target: bytesOf(get("target")) };
    frame = clamp(frame, 0, last());
    slider.max = last();
    const steps = [...film.step].filter((v) => v > 0);
    Object.assign(charts[0], { values: film.energy, scale: scaleOf([...film.energy]) });
    Object.assign(charts[1], { values: film.step, limit, dots: true, scale: scaleOf(limit > 0 ? [...steps, limit, limit * 1.25] : steps, true) });
    charts[0].heading.textContent = get("energy_label");
    charts[1].heading.textContent = get("step_label");
    buildTiles();
    buildReadout();
    if (details.open) buildNumbers();
  }

  async function readGround() {
    const png = bytesOf(get("landscape")), maps = get("n_maps");
    ground = null;
    if (!png.length) return;
    const image = await createImageBitmap(new Blob([png])), { width: columns, height: all } = image;
    const pen = make("canvas", { width: columns, height: all }).getContext("2d");
    pen.drawImage(image, 0, 0);
    const rgba = pen.getImageData(0, 0, columns, all).data;
    ground = { columns, rows: all / maps, maps, drawn: [], grey: rgba.filter((_, k) => k % 4 === 0) };
  }

  function groundMap(k) {
    const { columns, rows, grey, drawn } = ground, here = grey.subarray(k * columns * rows, (k + 1) * columns * rows);
    const canvas = make("canvas", { width: columns, height: rows });
    const levels = range(CONTOURS - 1, (j) => (j + 1) * 255 / CONTOURS);
    paint(canvas.getContext("2d"), columns, rows, (j) => table[here[j]]);
    return drawn[k] ??= { canvas, levels, lines: contourPaths(here, columns, rows, levels) };
  }

  function readTheme() {
    const style = getComputedStyle(root);
    for (const name of ["fg", "soft", "rule", "bg"]) theme[name] = style.getPropertyValue("--" + name).trim();
    theme.font = "12px " + style.fontFamily;
    root.style.colorScheme = dark(style.backgroundColor.match(/[\d.]+/g) ?? [255, 255, 255]) ? "dark" : "light";
  }

  // Words and tiles
  const say = (control, value) => typeof value === "number" && control?.format != null
    ? value.toFixed(String(control.format).match(/\d+/)?.[0] ?? 0) : String(value ?? "");

  function buildControls() {
    const list = get("controls"), box = $(".controls"), plan = JSON.stringify(list.map((c) => ({ ...c, note: 0 })));
    if (box.dataset.plan === plan) return; // a new note must not take the focus away
    box.dataset.plan = plan;
    box.replaceChildren(...list.map((c) => {
      const shared = { "aria-label": c.label, name: c.name, disabled: live ? null : "", title: live ? null : NO_KERNEL };
      const input = c.kind === "choice"
        ? make("select", shared, ...c.options.map((option, k) => make("option", { value: k }, String(option))))
        : make("input", { ...shared, type: c.kind, min: c.min, max: c.max, step: c.step ?? "any" });
      input.oninput = input.onchange = (event) => {
        turning = event.type === "input";
        values[c.name] = c.options ? c.options[input.value] : Number(input.value);
        showValues();
        if (!turning) ask(c.name, event);
      };
      return make("label", {}, c.label, input, make("output"), make("span", { class: "soft" }));
    }));
  }

  function showValues() {
    const list = get("controls");
    [...$(".controls").children].forEach((label, k) => {
      const c = list[k], [input, output, note] = label.children, value = values[c.name];
      const text = String(c.options ? c.options.indexOf(value) : value);
      if (value !== undefined && input.value !== text) input.value = text;
      output.textContent = input.ariaValueText = c.kind === "range" ? say(c, value) : "";
      note.textContent = c.note ?? "";
    });
    const words = Object.entries(values).map(([name, value]) => {
      const c = list.find((one) => one.name === name);
      return `${c?.label ?? name} ${say(c, value)}`;
    });
    $(".values").textContent = [...words, `start (${start.map((v) => v.toFixed(2)).join(", ")})`].join(" · ");
    [handle.style.left, handle.style.top] = shares(start).map((share) => clamp(share, 0, 1) * 100 + "%");
  }

  function showWords() {
    $(".title").textContent = get("title");
    $(".caption").textContent = get("caption");
    root.ariaLabel = points.ariaLabel = get("alt_text");
    if (!waiting && !turning) values = { ...get("values") };
    if (!waiting && !held) start = [...get("start")];
    handle.disabled = !live || !get("draggable");
    $(".reset").disabled = !live;
    $(".reset").title = handle.title = live ? "" : NO_KERNEL;
    $(".slice").textContent = get("map_label") + (handle.disabled ? "" : "; drag the cross");
    buildControls();
    showValues();
  }

  function buildTiles() {
    const tile = (label, ...badges) => {
      const canvas = make("canvas", { width: film.columns, height: film.rows, role: "img", "aria-label": label });
      tiles.append(make("div", { class: "tile" }, make("p", { title: label }, ...badges, label), canvas));
      return canvas.getContext("2d");
    };
    tiles.replaceChildren();
    if (!film.tracks) return;
    film.pens = [tile("target"), ...film.names.map((name, track) => tile(name, badge(track))), tile("missing in " + film.names[0])];
    paintTile(0, (j) => grey(film.target[j]));
  }

  const grey = (g) => [g, g, g];
  const paintTile = (k, colour) => paint(film.pens[k], film.columns, film.rows, colour);

  function buildReadout() {
    cells = film.names.slice(0, film.tracks).map((name, track) => {
      const energy = make("td"), off = make("td"), flat = film.off.every((d) => d === 0);
      return { energy, off, row: make("tr", {}, make("td", {}, badge(track), name), energy, ...(flat ? [] : [off]), make("td", {}, film.notes[track])) };
    });
    $(".readout tbody").replaceChildren(...cells.map((cell) => cell.row));
  }

  function buildNumbers() {
    const row = (tag, first, cell) => make("tr", {}, ...[first, ...film.names.flatMap(cell)].map((text) => make(tag, {}, text)));
    $(".numbers").replaceChildren(make("table", {},
      row("th", "step", (name) => ["energy", "step size", "off the plane"].map((what) => `${name}: ${what}`)),
      ...range(film.frames, (k) => row("td", k, (_, track) =>
        [film.energy, film.step, film.off].map((array) => k < film.real[track] ? tidy(at(array, track, k), 4) : "")))));
  }

  // Layout and drawing
  function layout() {
    const all = root.clientWidth - 4, narrow = all < 700, n = Math.max(film.tracks, 1) + 2;
    if (all <= 0) return;
    const ratio = clamp((plane[3] - plane[2]) / (plane[1] - plane[0]), 0.4, 1.25);
    const columns = n > 4 ? 3 : narrow ? n : 2, rows = Math.ceil(n / columns), gaps = (columns - 1) * TILE_GAP;
    const extra = rows * 34 + 20; // labels, gaps and the key beside the landscape
    const fair = (all - GAP - gaps + columns * extra / rows) / (1 + columns * ratio / rows);
    width = Math.floor(narrow ? Math.min(all, 460 / ratio) : Math.min(fair, MAX_HEIGHT / ratio));
    height = Math.round(width * ratio);
    stage.style.cssText = `width:${width}px;height:${height}px`;
    root.classList.toggle("narrow", narrow);
    root.style.setProperty("--columns", narrow ? "minmax(0,1fr)" : `${width}px minmax(0,1fr)`);
    const size = ((narrow ? all : all - width - GAP) - gaps) / columns;
    tiles.style.gridTemplateColumns = `repeat(${columns}, ${Math.floor(Math.min(size, narrow ? 160 : (height - extra) / rows + 6))}px)`;

    table = paletteTable(get("palette"));
    const [from, bar, to] = $(".scale").children;
    from.textContent = tidy(limits[0]);
    to.textContent = "≥ " + tidy(limits[1]);
    bar.style.background = `linear-gradient(90deg, ${[0, 64, 128, 191, 255].map((g) => `rgb(${table[g]})`)})`;
    shownMap = -1;
    charts.forEach(drawChart);
    draw();
  }

  function drawGround() {
    const k = ground ? Math.min(Math.floor(frame), ground.maps - 1) : 0;
    if (shownMap === k) return;
    shownMap = k;
    const pen = layer(still, width, height);
    pen.fillStyle = theme.rule;
    if (!ground) return pen.fillRect(0, 0, width, height);
    const map = ground.drawn[k] || groundMap(k);
    pen.drawImage(map.canvas, 0, 0, width, height);
    pen.lineWidth = 0.8;
    map.lines.forEach((line, j) => {
      const scaled = new Path2D();
      scaled.addPath(line, new DOMMatrix([width, 0, 0, height, 0, 0]));
      pen.strokeStyle = dark(table[Math.round(map.levels[j])]) ? "#ffffff50" : "#00000036";
      pen.stroke(scaled);
    });
  }

  function drawTrails(f) {
    const pen = layer(trails, width, height), top = layer(points, width, height);
    const spot = (track, k) => { const [x, y] = sharesAt(track, k); return [x * width, y * height]; };
    trails.style.opacity = held?.moved ? 0.3 : 1;
    handle.classList.toggle("held", Boolean(held));
    eachTrack((track) => {
      const line = new Path2D(), here = spot(track, f), energy = at(film.energy, track, f);
      for (let k = 0; k < f; k++) line.lineTo(...spot(track, k));
      line.lineTo(...here);
      for (const [wide, colour, dash] of [[5, "#fff", []], [2.4, COLOURS[track], DASHES[track]]]) {
        pen.lineWidth = wide;
        pen.strokeStyle = colour;
        pen.setLineDash(dash);
        pen.stroke(line);
      }
      const level = Math.round(clamp((energy - limits[0]) / (limits[1] - limits[0]), 0, 1) * 255);
      polygon(top, ...here, SHAPES[track](8.5), `rgb(${table[level] || table[255]})`, [[7, "#fff"], [3.6, COLOURS[track]]]);
    });
  }

  function drawTiles(k) {
    const size = film.columns * film.rows, picture = (track) => film.images.subarray((track * film.frames + k) * size), first = picture(0);
    eachTrack((track) => paintTile(track + 1, (j) => grey(picture(track)[j])));
    paintTile(film.tracks + 1, (j) => {
      const gap = (film.target[j] - first[j]) / 255;
      return (gap > 0 ? TOO_LITTLE : TOO_MUCH).map((c) => c * Math.min(2 * Math.abs(gap), 1));
    });
  }

  const chartX = (chart, k) => LEFT + (chart.wide - LEFT - RIGHT) * k / Math.max(last(), 1);
  const chartY = (chart, v) => TOP + (chart.tall - TOP - BOTTOM) * (1 - chart.scale.to(v));
  const endOf = (chart, track, f) => Math.min(chart.dots ? Math.floor(f) : f, film.real[track] - 1);
  const value = (chart, track, k) => at(chart.values, track, k);
  const spotOf = (chart, track, k) => [chartX(chart, k), chartY(chart, value(chart, track, k))];

  function drawChart(chart) {
    chart.wide = chart.box.clientWidth;
    chart.tall = chart.box.clientHeight;
    const end = chart.wide - RIGHT, pen = layer(chart.base, chart.wide, chart.tall);
    if (!film.tracks) return;
    const write = (text, x, y, align, baseline) => { pen.textAlign = align; pen.textBaseline = baseline; pen.fillText(text, x, y); };
    pen.font = theme.font;
    pen.fillStyle = theme.soft;
    for (const tick of chart.scale.ticks) {
      const y = Math.round(chartY(chart, tick)) + 0.5;
      segment(pen, LEFT, y, end, y, theme.rule);
      write(tidy(tick), LEFT - 8, y, "right", "middle");
    }
    for (const k of linearTicks(0, Math.max(last(), 1), Math.min(6, chart.wide / 70)).filter(Number.isInteger)) {
      write(k || "step 0", chartX(chart, k), chart.tall, k ? "center" : "left", "bottom");
    }
    if (chart.limit > 0) {
      const y = chartY(chart, chart.limit);
      pen.setLineDash([5, 4]);
      segment(pen, LEFT, y, end, y, theme.soft);
      write(get("step_limit_label"), end - 6, y - 3, "right", "bottom");
    }
    pen.globalAlpha = 0.28;
    drawCurves(chart, pen, last());
  }

  function drawCurves(chart, pen, f) {
    eachTrack((track) => {
      const end = endOf(chart, track, f), dot = SHAPES[track](clamp(chart.wide / film.frames / 3, 1.2, 2.6)), line = new Path2D();
      for (const k of range(Math.ceil(end) + 1, (k) => Math.min(k, end))) {
        if (!chart.dots) line.lineTo(...spotOf(chart, track, k));
        else if (value(chart, track, k) > 0) polygon(pen, ...spotOf(chart, track, k), dot, COLOURS[track]);
      }
      pen.strokeStyle = COLOURS[track];
      pen.lineWidth = 2;
      pen.setLineDash(DASHES[track]);
      pen.stroke(line);
    });
    pen.setLineDash([]);
  }

  function drawPlayhead(chart, f) {
    const pen = layer(chart.top, chart.wide, chart.tall), x = chartX(chart, f);
    segment(pen, x, TOP, x, chart.tall - BOTTOM, theme.fg);
    drawCurves(chart, pen, f);
    eachTrack((track) => {
      const end = Math.max(endOf(chart, track, f), 0);
      if (chart.dots && !(value(chart, track, end) > 0)) return;
      polygon(pen, ...spotOf(chart, track, end), SHAPES[track](5), COLOURS[track], [[3, theme.bg]]);
    });
  }

  function draw() {
    const f = calm.matches ? Math.floor(frame) : frame, k = root.dataset.frame = Math.floor(f);
    if (!width) return;
    drawGround();
    drawTrails(f);
    if (film.tracks) {
      drawTiles(k);
      charts.forEach((chart) => drawPlayhead(chart, f));
    }
    cells.forEach(({ energy, off }, track) => {
      const e = at(film.energy, track, k);
      energy.textContent = "energy " + (Math.abs(e) < 100 ? e.toFixed(4) : tidy(e));
      off.textContent = sharesAt(track, k).some(outside) ? "outside the view" : at(film.off, track, k).toFixed(2) + " off the plane";
    });
    slider.value = k;
    $(".count").textContent = slider.ariaValueText = `step ${k} of ${last()}`;
    root.dataset.drawn = k;
    root.dataset.drawCount = ++draws;
  }

  // Time
  function move(to, event) {
    frame = clamp(to, 0, last());
    if (playing) setPlaying(false);
    else { draw(); report(!event); }
    if (event) root.dataset.latency = (performance.now() - event.timeStamp).toFixed(2);
  }

  // At once on release, otherwise at most ten times a second.
  function report(final) {
    const k = Math.floor(frame), now = performance.now();
    if (k === get("frame")) return;
    if (final || now - reported >= 100) { reported = now; tell("frame", k); }
    else timer ||= setTimeout(() => { timer = 0; report(true); }, 100 - now + reported);
  }

  function setPlaying(on) {
    playing = on && film.frames > 1;
    if (playing && frame >= last()) frame = 0;
    if (!playing) move(Math.round(frame));
    root.classList.toggle("playing", playing);
    $(".play").title = $(".play").ariaLabel = playing ? "pause" : "play";
    if (get("playing") !== playing) tell("playing", playing);
    loop();
  }

  const awake = () => visible && !document.hidden;
  function loop() { if (playing && !raf && awake()) { clock = 0; raf = requestAnimationFrame(tick); } }
  function wake() { if (awake()) { draw(); loop(); } }
  function tick(now) {
    raf = 0;
    if (!playing || !awake()) return;
    const rate = Math.max(FRAMES_PER_SECOND, last() / 12) * get("speed");
    if (clock) frame = Math.min(frame + Math.min(now - clock, 200) / 1000 * rate, last());
    clock = now;
    if (frame >= last()) return setPlaying(false);
    draw();
    report(false);
    raf = requestAnimationFrame(tick);
  }

  // Asking the kernel: one request under way, the newest of the others waits
  function ask(changed, event) {
    const asked = { request: { start: [...start], values: { ...values }, changed }, since: event.timeStamp };
    if (pending) waiting = asked;
    else send(asked);
  }

  function send({ request, since }) {
    lastId = Math.max(lastId, get("reply")) + 1;
    pending = { id: lastId, since };
    clearTimeout(busyTimer);
    busyTimer = setTimeout(() => busy.classList.add("on"), 150);
    tell("request", { id: lastId, ...request });
  }

  function acknowledge() {
    root.dataset.reply = get("reply");
    if (!pending || get("reply") < pending.id) return;
    root.dataset.roundtrip = (performance.now() - pending.since).toFixed(1);
    const next = waiting;
    pending = waiting = null;
    if (next) return send(next);
    clearTimeout(busyTimer);
    busy.classList.remove("on");
  }

  async function refresh() {
    const changed = [...dirty], has = (...keys) => keys.some((key) => changed.includes(key));
    dirty.clear();
    if (has("landscape", "n_maps")) await readGround();
    else if (has(...GROUND) && ground) ground.drawn = [];
    plane = get("extent");
    limits = get("energy_range");
    if (has(...FILM)) {
      readFilm();
      if (pending && frame === 0 && !playing) frame = last(); // an answer is shown in full
    }
    showWords();
    layout();
    if (has("reply")) acknowledge();
    if (!playing) report(true);
  }

  for (const key of [...FILM, ...GROUND, ...WORDS]) follow(key, () => { if (!dirty.size) queueMicrotask(refresh); dirty.add(key); });
  follow("frame", (k) => k !== Math.floor(frame) && move(k));
  follow("playing", (on) => on !== playing && setPlaying(on));
  follow("speed", (factor) => { speed.value = factor; });

  // Hands
  const go = (name, event) => name === "play" ? setPlaying(!playing)
    : move({ first: 0, back: Math.ceil(frame) - 1, next: Math.floor(frame) + 1, last: last() }[name], event);
  for (const name of "first back play next last".split(" ")) listen($("." + name), "click", (event) => go(name, event));
  listen(slider, "input", (event) => move(Number(slider.value), event));
  listen(slider, "change", () => report(true));
  listen(speed, "change", () => tell("speed", Number(speed.value)));
  listen(details, "toggle", () => details.open && buildNumbers());
  listen($(".reset"), "click", (event) => {
    const { start: origin, ...others } = get("defaults");
    values = { ...values, ...others };
    start = [...(origin || [0, 0])];
    showValues();
    ask("reset", event);
  });
  for (const { top } of charts) listen(top, "pointerdown pointermove pointerup", (event) => {
    if (event.type === "pointerdown") top.setPointerCapture(event.pointerId);
    if (event.type === "pointerup") return report(true);
    const box = top.getBoundingClientRect(), share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    if (top.hasPointerCapture(event.pointerId)) move(Math.round(clamp(share, 0, 1) * last()), event);
  });
  listen(root, "keydown", (event) => {
    const { target } = event, name = { " ": "play", ArrowLeft: "back", ArrowRight: "next", Home: "first", End: "last" }[event.key];
    const users = name === "play" ? "INPUT SELECT BUTTON SUMMARY" : "INPUT SELECT"; // of the key
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // or the notebook takes the arrows
    if (!name || target === handle || target.closest(".numbers")) return;
    if (users.includes(target.tagName) && !(name === "play" && target === slider)) return;
    event.preventDefault();
    go(name, event);
  });

  function carry(dx, dy) {
    const [x, y] = held.start, [x0, x1, y0, y1] = plane;
    start = [clamp(x + dx * (x1 - x0), x0, x1), clamp(y - dy * (y1 - y0), y0, y1)];
    held.moved = true;
    showValues();
    drawTrails(frame);
  }
  function release(event) {
    const moved = held?.moved;
    held = null;
    drawTrails(frame);
    if (moved) ask("start", event);
  }
  listen(handle, "pointerdown", (event) => { held = { x: event.clientX, y: event.clientY, start }; handle.setPointerCapture(event.pointerId); });
  listen(handle, "pointermove", (event) => {
    if (held && handle.hasPointerCapture(event.pointerId)) carry((event.clientX - held.x) / width, (event.clientY - held.y) / height);
  });
  listen(handle, "pointerup pointercancel blur", release);
  listen(handle, "keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) { held = { start }; carry(step[0] / 50, step[1] / 50); }
    else if (event.key === "Enter") release(event);
    else return;
    event.preventDefault();
  });

  // Around
  const resize = () => { readTheme(); layout(); }, later = () => requestAnimationFrame(resize);
  const sized = new ResizeObserver(resize), themed = new MutationObserver(later);
  const seen = new IntersectionObserver((entries) => { visible = entries.at(-1).isIntersecting; wake(); });
  themed.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name"] });
  listen(matchMedia("(prefers-color-scheme: dark)"), "change", later);
  listen(document, "visibilitychange", wake);
  undo.push(() => { [sized, seen, themed].forEach((one) => one.disconnect()); cancelAnimationFrame(raf); [timer, busyTimer].forEach(clearTimeout); });

  speed.value = get("speed");
  readTheme();
  [...FILM, ...GROUND, ...WORDS].forEach((key) => dirty.add(key));
  refresh().then(() => {
    sized.observe(root);
    seen.observe(root);
    if (get("playing")) setPlaying(!calm.matches);
  });
  return () => undo.forEach((call) => call());
}

export default { render };
