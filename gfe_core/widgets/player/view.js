// A film of codes that flow down their energy landscape. The kernel sends one film; scrubbing draws
// its frames here, in the handler of the input itself.

import "./view.css";
import {
  BUSY_MARKUP,
  CAPTION_MARKUP,
  NO_KERNEL,
  TITLE_MARKUP,
  View,
  widgetOf,
} from "../kit/base.js";
import { actionsOf, MENU_MARKUP, Menu, usualItems } from "../kit/menu.js";
import { clamp } from "../kit/numbers.js";
import { Requests } from "../kit/requests.js";
import { STRIP_MARKUP, Strip } from "../kit/strip.js";
import { NUMBERS_MARKUP, Transport, transportMarkup } from "../kit/transport.js";
import { CHARTS_MARKUP, Charts } from "./charts.js";
import { codeOf } from "./code.js";
import { Controls } from "./controls.js";
import { Film } from "./film.js";
import { Following } from "./following.js";
import { HANDLE_MARKUP, Handle } from "./handle.js";
import { Plane, planeMarkup } from "./plane.js";
import { READOUT_MARKUP, Readout } from "./readout.js";
import { TILES_MARKUP, Tiles } from "./tiles.js";

/** @typedef {import("./controls.js").Control} Control */
/** @typedef {import("./controls.js").Values} Values */

/**
 * @typedef {import("../kit/strip.js").Thumbnails & OwnTraits} Traits
 *
 * @typedef {object} OwnTraits
 * @property {number[]} shape tracks and frames
 * @property {string[]} names of the tracks
 * @property {import("../kit/look.js").Look[]} looks of the tracks
 * @property {string[]} notes
 * @property {number[]} n_frames of each track
 * @property {DataView} trajectory (tracks, frames, 2)
 * @property {DataView} off_plane (tracks, frames), as the next two
 * @property {DataView} energies
 * @property {DataView} steps
 * @property {number[]} image_shape rows and columns, and 3 in colour
 * @property {DataView} target (rows, columns)
 * @property {DataView} frames (tracks, frames, rows, columns)
 * @property {string} energy_label
 * @property {string} step_label
 * @property {string} frame_label word for a frame
 * @property {number | null} step_limit
 * @property {string} step_limit_label
 * @property {DataView} landscape PNG of all maps, one below the other
 * @property {number} n_maps
 * @property {string} map_label
 * @property {string[]} axes descriptions of the horizontal and the vertical direction
 * @property {number[]} extent left, right, low and high of the plane
 * @property {[number, number]} energy_range
 * @property {string} palette
 * @property {number} frame
 * @property {boolean} playing
 * @property {number} speed
 * @property {string} title
 * @property {string} caption
 * @property {string} alt_text
 * @property {Control[]} controls
 * @property {Values} values
 * @property {Values & { start?: number[] }} defaults
 * @property {string} code Python that makes the view, with {values} for its choices
 * @property {boolean} draggable
 * @property {number[]} start
 * @property {import("./preview.js").Plan | { why_not: string } | {}} preview
 * @property {DataView} preview_numbers
 * @property {string} preview_script
 * @property {Record<string, unknown>} request
 * @property {number} reply
 */

const FILM = /** @type {const} */ ([
  ...["shape", "trajectory", "off_plane", "energies", "steps", "n_frames", "image_shape", "target"],
  ...[
    "frames",
    "names",
    "looks",
    "notes",
    "energy_label",
    "step_label",
    "step_limit",
    "step_limit_label",
    "frame_label",
  ],
]);
const MAPS = /** @type {const} */ (["landscape", "n_maps"]);
const PLANE = /** @type {const} */ (["extent", "energy_range", "palette", "axes"]);
const STRIP = /** @type {const} */ ([
  ...["thumbnails", "thumbnail_shape", "thumbnail_labels", "thumbnail_rows"],
]);
const WORDS = /** @type {const} */ ([
  ...["title", "caption", "map_label", "alt_text", "controls", "values", "defaults", "draggable"],
  ...["start", "reply"],
]);
const PREVIEW = /** @type {const} */ (["preview", "preview_numbers", "preview_script"]);
const ALL = [...FILM, ...MAPS, ...PLANE, ...STRIP, ...WORDS, ...PREVIEW];

const FRAMES_PER_SECOND = 10;
const LONGEST = 12; // seconds
const SPEEDS = [0.25, 0.5, 1, 2, 4];

const NARROW = 720;
const SHARE = 0.56; // largest share of the width for the plane
const MAX_HEIGHT = 372; // largest height of the plane, less a line of numbers for each track
const MAX_NARROW_HEIGHT = 460;
const LINE = 21; // height of such a line
const NAMES = 400; // least width below the plane

const SPEED_MARKUP = `<select class="speed" aria-label="speed" title="speed">${SPEEDS.map(
  (speed) => `<option value="${speed}">${speed}×</option>`,
).join("")}</select>`;

const MARKUP = `
<div class="head">${TITLE_MARKUP}${BUSY_MARKUP}${MENU_MARKUP}</div>
${STRIP_MARKUP}<div class="controls"></div>
<div class="board"><div class="left">${planeMarkup(HANDLE_MARKUP)}
${transportMarkup("frame", SPEED_MARKUP)}</div>
<div class="right">${TILES_MARKUP}${CHARTS_MARKUP}</div></div>${READOUT_MARKUP}
<div class="foot">${CAPTION_MARKUP}${NUMBERS_MARKUP}</div>`;

class Player {
  #draws = 0;
  #previews = 0;
  /** Whether the film stays at its last frame while its length changes. */
  #full = false;

  /** @param {import("../kit/base.js").Context} context */
  constructor(context) {
    this.view = /** @type {View<Traits>} */ (new View(context, "player", MARKUP, NARROW));
    const { view } = this;
    const { model } = view;
    this.film = new Film(model);
    this.plane = new Plane(view);
    this.tiles = new Tiles(view);
    this.readout = new Readout(view, this.plane);
    this.requests = new Requests(view);
    this.transport = new Transport(view, {
      frames: () => this.film.frames,
      noun: () => this.film.noun,
      rate: () => Math.max(FRAMES_PER_SECOND, this.film.last / LONGEST) * model.get("speed"),
      draw: (event) => this.#draw(event),
      onPlay: (playing) => playing !== model.get("playing") && model.send({ playing }),
    });
    this.charts = new Charts(view, {
      last: () => this.film.last,
      move: (frame, event) => this.transport.move(frame, event),
      end: () => this.transport.report(),
    });
    this.following = new Following(view, (...followed) => this.#preview(...followed));
    this.controls = new Controls(view, {
      able: (name) => this.#able(name),
      turned: (name, event) => this.#turned(name, event),
      released: (name, event) => this.#ask(name, event),
    });
    const choose = (/** @type {number} */ row, /** @type {Event} */ event) => {
      this.controls.values.sample = row;
      this.#writeValues();
      this.#ask("sample", event);
    };
    this.strip = new Strip(view, choose, view.answers("sample"));
    this.handle = new Handle(view, this.plane, {
      able: () => view.answers("start") || this.following.ready,
      moved: (event) => this.#startMoved(event),
      released: (event) => this.#ask("start", event),
    });
    this.speed = view.find(".speed", HTMLSelectElement);
    this.menu = new Menu(view, [
      { name: "code", label: "Copy as code", run: () => this.#copyCode() },
      ...usualItems(view),
      { name: "reset", label: "Reset", run: (event) => this.#reset(event) },
    ]);
    this.reset = this.menu.item("reset");
    this.transport.frame = model.get("frame");
    this.#listen();
    this.#refresh(new Set(ALL)).then(() => this.#begin());
  }

  #begin() {
    const { model } = this.view;
    this.view.follow(() => this.#layout());
    if (model.get("playing")) this.transport.setPlaying(!this.view.calm);
  }

  #listen() {
    const { view, transport, speed } = this;
    const { model } = view;
    speed.value = String(model.get("speed"));
    view.listen(speed, "change", () => model.send({ speed: Number(speed.value) }));
    model.onMessage(ALL, (changed) => this.#refresh(changed));
    model.onChange("frame", () => {
      const frame = model.get("frame");
      if (frame !== Math.floor(transport.frame)) transport.move(frame);
    });
    model.onChange("playing", () => {
      const playing = model.get("playing");
      if (playing !== transport.playing) transport.setPlaying(playing && !view.calm);
    });
    model.onChange("speed", () => {
      speed.value = String(model.get("speed"));
    });
  }

  /** @param {Set<keyof Traits>} changed */
  async #refresh(changed) {
    const { transport, requests } = this;
    const has = (/** @type {readonly (keyof Traits)[]} */ keys) =>
      keys.some((key) => changed.has(key));
    if (has(MAPS)) await this.plane.readGround();
    if (has(PLANE)) this.plane.read();
    if (has(STRIP)) this.strip.build();
    if (has(PREVIEW)) await this.following.read();
    if (has(FILM)) {
      const first = transport.frame === 0 && !transport.playing;
      this.following.stop();
      this.#readFilm();
      // a new answer is shown at its last frame
      if (this.#full || (requests.pending && first)) transport.frame = transport.last;
      this.#full = false;
      if (this.handle.moved || this.controls.turning) this.#follow();
    }
    this.#readWords();
    this.#layout();
    if (changed.has("reply")) requests.acknowledge();
    if (!transport.playing) transport.report();
  }

  #readFilm() {
    this.film = new Film(this.view.model);
    this.transport.frame = clamp(this.transport.frame, 0, this.film.last);
    this.charts.read(this.film);
    this.tiles.build(this.film);
    this.readout.build(this.film);
  }

  #readWords() {
    const { view, controls, handle, requests } = this;
    const { model } = view;
    view.writeTitle(this.plane.points);
    this.#writeCaption();
    if (!requests.waiting) {
      if (!controls.turning) controls.values = { ...model.get("values") };
      if (!handle.held) handle.start = [...model.get("start")];
    }
    const drag = handle.draggable ? "; drag the cross" : "";
    view.write(".slice", `${model.get("map_label")}${drag}`);
    this.menu.item("code").hidden = !model.get("code");
    this.menu.item("page").hidden = !model.heard;
    this.reset.disabled = !view.live && !this.following.ready;
    this.reset.title = this.reset.disabled ? NO_KERNEL : "";
    controls.build();
    this.#writeValues();
  }

  /** Whether the tracks belong to the settings, or follow them in the browser. */
  get #current() {
    const { model } = this.view;
    const { controls, following, handle } = this;
    const told = model.get("values");
    const same = Object.keys(controls.values).every(
      (name) => controls.values[name] === told[name] || following.turns(name),
    );
    return same && (following.ready || String(handle.start) === String(model.get("start")));
  }

  #writeValues() {
    this.readout.write(Math.floor(this.transport.frame), this.#current);
    this.controls.show();
    const strip = this.view.model.get("controls").find(({ kind }) => kind === "strip");
    this.strip.show(strip && Number(this.controls.values.sample), strip?.max, strip?.note);
    this.handle.show();
  }

  /** Divide the width between the plane and the parts beside it or below it. */
  #layout() {
    const { view, plane, film } = this;
    const all = view.root.clientWidth - 4;
    if (all <= 0) return;
    const narrow = view.root.clientWidth < NARROW;
    const wide = narrow ? all : SHARE * all;
    const tallest = narrow ? MAX_NARROW_HEIGHT : MAX_HEIGHT - LINE * film.tracks;
    plane.resize(Math.floor(Math.min(wide, tallest / plane.ratio)));
    view.root.style.setProperty("--left", `${Math.max(plane.width, NAMES)}px`);
    this.charts.drawBase(film);
    this.#draw();
  }

  /** @param {Event} [event] event that caused the drawing */
  #draw(event) {
    const { film, plane, transport, handle } = this;
    const frame = this.view.calm ? Math.floor(transport.frame) : transport.frame;
    const whole = Math.floor(frame);
    this.view.root.dataset.frame = String(whole);
    if (!plane.width) return;
    plane.drawGround(frame);
    plane.drawTracks(film, frame, handle.moved && !this.following.ready);
    if (film.tracks) {
      this.tiles.draw(film, whole);
      this.charts.drawTop(film, frame);
    }
    this.readout.write(whole, this.#current);
    transport.write();
    this.#draws += 1;
    this.view.tellDrawn({ drawn: whole, drawCount: this.#draws }, event);
  }

  /** @param {Event} event */
  #startMoved(event) {
    this.#writeValues();
    if (!this.following.ready) this.#draw();
    else if (this.handle.moved) this.#follow(event);
  }

  /**
   * @param {string} name of a control
   * @param {Event} event
   */
  #turned(name, event) {
    this.#writeValues();
    if (this.following.turns(name)) this.#follow(event);
  }

  /**
   * Follow the tracks in the browser, if that is possible, until the kernel has answered.
   *
   * @param {Event} [event]
   */
  #follow(event) {
    const { transport } = this;
    if (!this.following.ready) return;
    if (transport.playing) transport.setPlaying(false);
    this.#full = transport.frame === 0 || transport.frame === transport.last;
    this.following.follow(this.handle.start, this.controls.values, event);
  }

  /**
   * Show the tracks that the browser has followed so far.
   *
   * @param {import("./preview.js").Preview} preview
   * @param {boolean} done
   * @param {Event} [event]
   */
  #preview(preview, done, event) {
    const { transport, view } = this;
    const film = new Film(view.model, preview.paths());
    this.film = film;
    transport.frame = this.#full ? film.last : clamp(transport.frame, 0, film.last);
    this.charts.read(film);
    if (done) this.readout.build(film);
    else this.readout.change(film);
    this.#writeCaption("a preview, computed in the browser");
    this.charts.drawBase(film);
    this.#draw(event);
    this.#previews += Number(done);
    view.root.dataset.previews = String(this.#previews);
  }

  /** @param {string} [preview] words for a preview, shown if no kernel will answer */
  #writeCaption(preview) {
    const { draggable } = this.handle;
    const { whyNot } = this.following;
    const late = draggable && whyNot ? `the paths change when you let go: ${whyNot}` : "";
    const words = [this.view.model.get("caption"), late, this.view.live ? "" : preview];
    this.view.write(".caption", words.filter(Boolean).join(" · "));
  }

  /**
   * @param {string} name of a control
   * @returns {boolean} whether the kernel, the page or the browser can answer it
   */
  #able(name) {
    return this.view.answers(name) || this.following.turns(name);
  }

  async #copyCode() {
    const { model } = this.view;
    const { copy } = await actionsOf(this.view);
    await copy(codeOf(model.get("code"), this.controls.values, this.handle.start));
    return "copied";
  }

  /** @param {Event} event */
  #reset(event) {
    const { start, ...values } = this.view.model.get("defaults");
    for (const [name, value] of Object.entries(values)) {
      if (this.#able(name)) this.controls.values[name] = value;
    }
    this.handle.start = [...(start ?? [0, 0])];
    this.#writeValues();
    this.#follow(event);
    this.#ask("reset", event);
  }

  /**
   * @param {string} changed
   * @param {Event} event
   */
  #ask(changed, event) {
    const more = { start: [...this.handle.start], changed };
    this.requests.ask(this.controls.values, event, { more });
  }
}

export default widgetOf(Player);
