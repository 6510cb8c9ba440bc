// Arrays as they cross the wire: bytes in a DataView, in the order of the machine.

/**
 * @param {DataView | undefined} view
 * @returns {Uint8Array} the same memory
 */
export const bytesOf = (view) =>
  view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();

/**
 * @param {DataView | undefined} view
 * @returns {Float32Array} a copy, aligned
 */
export const floatsOf = (view) => new Float32Array(bytesOf(view).slice().buffer);

/**
 * @param {DataView | undefined} view
 * @returns {Uint16Array} a copy, aligned
 */
export const wordsOf = (view) => new Uint16Array(bytesOf(view).slice().buffer);
