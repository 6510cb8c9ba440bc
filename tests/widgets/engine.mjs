// Follows the cases that Python sends with the engine of the browser: JSON on stdin and stdout.
import { argv, stdin } from "node:process";
import { json } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const { Energy, STATUS, advance, follow } = await import(pathToFileURL(argv[2]).href);

function answer({ portable, x, z0, recipes, rounding }) {
  const bytes = Buffer.from(portable.weights, "base64");
  const weights = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const energy = new Energy({ ...portable, weights }, x);
  const z = Float64Array.from(z0);
  const point = { energy: energy.at(z), gradient: [...energy.gradient()] };
  // all paths share the energy and take turns, one attempt at a time
  const runs = recipes.map((recipe) => ({
    path: follow(energy, z, recipe, rounding),
    attempts: [],
    status: null,
  }));
  while (runs.some((run) => run.status === null)) {
    for (const run of runs) {
      if (run.status !== null) continue;
      const take = (attempt) => run.attempts.push({ ...attempt, z: [...attempt.z] });
      const { done, value } = advance(run.path, take, 0);
      if (done) run.status = value;
    }
  }
  const paths = runs.map(({ attempts, status }) => ({ attempts, status }));
  return { ...point, mean: [...energy.mean(z)], floor: energy.floor, paths };
}

const cases = await json(stdin);
console.log(JSON.stringify({ statuses: STATUS, answers: cases.map(answer) }));
