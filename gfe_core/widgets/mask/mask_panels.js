// What the kernel makes of the observed pixels, beside the painter: pictures, draws and a cloud of codes.
// COLOURS and PALETTES come from mask_style.py; pixels, layer, stripes, bytesOf and grey from mask_painter.js.

const PANELS = "names notes palettes tiles draws ground cloud marks extent".split(" ");

function coloured(name) {
  const stops = PALETTES[name];
  if (!stops) return grey;
  return (g) => {
    const at = g / 255 * (stops.length - 1), k = Math.min(Math.floor(at), stops.length - 2);
    return stops[k].map((c, i) => c + (stops[k + 1][i] - c) * (at - k));
  };
}

// keys: the traits that are drawn here; draw: all of it; reset: cover the truth again.
function panelsOf({ root, get, listen, theme }) {
  const $ = (selector) => root.querySelector(selector), truth = $(".truth");
  const floatsOf = (view) => new Float32Array(bytesOf(view).slice().buffer);
  let built = "";

  function build(names) {
    if (built === String(names)) return;
    built = String(names);
    $(".tiles").replaceChildren(...names.map((name) => {
      const box = document.createElement("div");
      Object.assign(box, { className: "tile", innerHTML: '<p></p><canvas role="img"></canvas><p class="soft"></p>' });
      box.firstChild.textContent = box.firstChild.title = box.children[1].ariaLabel = name;
      return box;
    }));
  }

  function draw() {
    const shape = get("image_shape"), n = shape[0] * shape[1], names = get("names");
    const [tiles, draws] = ["tiles", "draws"].map((key) => bytesOf(get(key)));
    build(names);
    names.forEach((name, k) => {
      const [, canvas, note] = $(".tiles").children[k].children, covered = name === "truth" && !truth.checked;
      pixels(canvas, tiles.subarray(k * n), shape, coloured(get("palettes")[k]));
      note.textContent = covered ? "covered" : get("notes")[k];
      canvas.style.imageRendering = covered ? "auto" : "";
      if (!covered) return;
      canvas.width = canvas.height = 160;
      stripes(canvas.getContext("2d"), 160, 160, theme.hatch, 14);
    });
    root.querySelectorAll(".draws canvas").forEach((canvas, k) => pixels(canvas, draws.subarray(k * n), shape, grey));
    if (names.length && root.clientWidth) drawCloud();
  }

  function drawCloud() {
    const { pen, width, height } = layer($(".cloud canvas")), [x0, x1, y0, y1] = get("extent");
    const spots = (key, radius, mark) => {
      const at = floatsOf(get(key));
      for (let k = 0; k < at.length; k += 2) {
        pen.beginPath();
        pen.arc((at[k] - x0) / (x1 - x0) * width, (y1 - at[k + 1]) / (y1 - y0) * height, radius, 0, 7);
        mark();
      }
    };
    const ring = (wide, colour) => { pen.lineWidth = wide; pen.strokeStyle = colour; pen.stroke(); };
    pen.fillStyle = theme.rule;
    spots("ground", 2, () => pen.fill());
    pen.fillStyle = COLOURS[0] + "b0";
    spots("cloud", 2.8, () => pen.fill());
    if (truth.checked) spots("marks", 7, () => { ring(6, theme.bg); ring(2.4, theme.fg); });
    $(".key").lastElementChild.hidden = !truth.checked;
  }

  listen(truth, "change", draw);
  return { keys: PANELS, draw, reset: () => { truth.checked = false; } };
}
