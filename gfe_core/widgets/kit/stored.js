// A model over the traits in a page, which needs no kernel.

/** @typedef {import("./model.js").Host} Host */

/**
 * Make a model over stored traits; bytes are stored as {"base64": text}.
 *
 * @param {Record<string, any>} state
 * @returns {Host}
 */
export function storedModel(state) {
  /** @type {Map<string, (() => void)[]>} */
  const heard = new Map();
  for (const [key, value] of Object.entries(state)) {
    if (value?.base64 !== undefined) state[key] = new DataView(bytesOf(value.base64).buffer);
  }
  return {
    get: (key) => state[key],
    set(key, value) {
      state[key] = value;
      for (const call of heard.get(`change:${key}`) ?? []) call();
    },
    on: (event, call) => void heard.set(event, [...(heard.get(event) ?? []), call]),
  };
}

/**
 * @param {string} base64
 * @returns {Uint8Array<ArrayBuffer>}
 */
const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/**
 * Unpack data that `packed` in gfe_core/site/packing.py has packed.
 *
 * @param {string} text
 * @returns {Promise<any>} JSON, with bytes in it as views of buffers
 */
export async function unpacked(text) {
  const stream = new Blob([bytesOf(text)]).stream();
  const whole = await new Response(
    stream.pipeThrough(new DecompressionStream("deflate")),
  ).arrayBuffer();
  const end = 4 + new DataView(whole).getUint32(0, true);
  return JSON.parse(new TextDecoder().decode(whole.slice(4, end)), (_, value) =>
    value?.bytes ? part(whole, end, value.bytes) : value,
  );
}

/**
 * The bytes of one array; those in planes are put back number by number.
 *
 * @param {ArrayBuffer} whole
 * @param {number} start where the first array begins
 * @param {number[]} place
 */
function part(whole, start, [offset, length, planes]) {
  const stored = new Uint8Array(whole, start + offset, length);
  if (planes === 1) return new DataView(whole, start + offset, length);
  const numbers = new Uint8Array(length);
  const n = length / planes;
  stored.forEach((byte, k) => {
    numbers[(k % n) * planes + Math.floor(k / n)] = byte;
  });
  return new DataView(numbers.buffer);
}
