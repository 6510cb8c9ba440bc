// The Python code that makes the present view again.

/**
 * @param {string} template with {values} in place of the arguments
 * @param {import("./controls.js").Values} values of the controls
 * @param {number[]} start on the plane
 * @returns {string}
 */
export function codeOf(template, values, start) {
  const words = Object.entries(values).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const place = start.map((share) => Number(share.toPrecision(5)));
  if (place.some(Boolean)) words.push(`start=(${place.join(", ")})`);
  return template.replace("{values}", words.join(", "));
}
