// Follows tracks as the player does during a drag: JSON on stdin, JSON on stdout.
import { argv, stdin } from "node:process";
import { json } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const { Preview } = await import(pathToFileURL(argv[2]).href);
const { plan, numbers, start, values } = await json(stdin);
const bytes = Buffer.from(numbers, "base64");
const preview = new Preview(plan, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
preview.start([0, 0], {});
preview.advance(0); // a newer start replaces the paths under way,
preview.paths(); // which can be drawn although they are not complete
preview.start(start, values);
while (!preview.advance(1));
const { image, ...paths } = preview.paths();
const pictures = paths.lengths.map((n, track) => [...image(track, n - 1)]);
const lists = Object.entries(paths).map(([name, rows]) => [
  name,
  rows instanceof Float32Array ? [...rows] : rows,
]);
console.log(JSON.stringify({ ...Object.fromEntries(lists), pictures }));
