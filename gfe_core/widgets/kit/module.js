// A separate script, which is sent as a trait and loaded when it is needed.

/**
 * @param {string} script
 * @returns {Promise<any>} what it exports
 */
export async function moduleOf(script) {
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  try {
    return await import(address);
  } finally {
    URL.revokeObjectURL(address);
  }
}
