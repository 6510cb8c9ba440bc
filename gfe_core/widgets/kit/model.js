// The state that a view shares with the kernel, or with the page in which it was saved.

/**
 * The methods of a host; only anywidget's own hosts have the last three.
 *
 * @typedef {object} Host
 * @property {(key: string) => any} get
 * @property {(key: string, value: unknown) => void} set
 * @property {(event: string, call: (content?: any) => void) => void} on
 * @property {(event: string, call: (content?: any) => void) => void} [off]
 * @property {() => void} [save_changes]
 * @property {(content: unknown) => void} [send]
 */

/** @type {Uint8Array} value before a view has read its model */
export const NO_BYTES = new Uint8Array();
/** @type {Float32Array} */
export const NO_FLOATS = new Float32Array();

/**
 * @param {DataView | undefined} view
 * @returns {Uint8Array} the same memory
 */
const bytesOf = (view) =>
  view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : NO_BYTES;

/** @template {Record<string, any>} T names and types of the traits */
export class Model {
  #host;
  #own = false;
  #signal;

  /**
   * @param {Host} host
   * @param {AbortSignal} signal ends its listeners
   */
  constructor(host, signal) {
    this.#host = host;
    this.#signal = signal;
  }

  /**
   * @template {keyof T & string} K
   * @param {K} key
   * @returns {T[K]}
   */
  get(key) {
    return this.#host.get(key);
  }

  /**
   * @param {keyof T & string} key
   * @returns {Uint8Array} bytes of a trait; empty if the host has none
   */
  bytes(key) {
    return bytesOf(this.get(key));
  }

  /**
   * @param {keyof T & string} key
   * @returns {Float32Array}
   */
  floats(key) {
    return new Float32Array(this.bytes(key).slice().buffer);
  }

  /**
   * @param {keyof T & string} key
   * @returns {Uint16Array}
   */
  words(key) {
    return new Uint16Array(this.bytes(key).slice().buffer);
  }

  /**
   * Set traits and tell the kernel, in one message.
   *
   * @param {Partial<T>} traits
   */
  send(traits) {
    this.#own = true;
    for (const [key, value] of Object.entries(traits)) this.#host.set(key, value);
    this.#own = false;
    this.#host.save_changes?.();
  }

  /** Whether a kernel can receive requests. */
  get heard() {
    return Boolean(this.#host.send);
  }

  /**
   * Ask the kernel for something that is not a trait, such as the view as a page.
   *
   * @param {string} what
   * @returns {Promise<string>}
   */
  ask(what) {
    return new Promise((answered) => {
      const heard = (/** @type {any} */ content) => {
        if (typeof content?.[what] !== "string") return;
        this.#host.off?.("msg:custom", heard);
        answered(content[what]);
      };
      this.#host.on("msg:custom", heard);
      this.#host.send?.({ ask: what });
    });
  }

  /**
   * Call whenever a trait was set by anything but this view.
   *
   * @param {keyof T & string} key
   * @param {() => void} call
   */
  onChange(key, call) {
    const heard = () => {
      if (!this.#own && !this.#signal.aborted) call();
    };
    this.#host.on(`change:${key}`, heard);
    this.#signal.addEventListener("abort", () => this.#host.off?.(`change:${key}`, heard));
  }

  /**
   * Call once for all changes that arrived together.
   *
   * @param {readonly (keyof T & string)[]} keys
   * @param {(changed: Set<keyof T & string>) => void} call
   */
  onMessage(keys, call) {
    /** @type {Set<keyof T & string>} */
    let changed = new Set();
    const deliver = () => {
      const arrived = changed;
      changed = new Set();
      if (!this.#signal.aborted) call(arrived);
    };
    for (const key of keys) {
      this.onChange(key, () => {
        if (!changed.size) queueMicrotask(deliver);
        changed.add(key);
      });
    }
  }
}
