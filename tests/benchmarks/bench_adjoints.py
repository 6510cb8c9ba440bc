"""What does a gradient through the flow cost? Four adjoints against the number of steps.

A batch of 256 random pictures of 784 pixels, the 20-150-300-600-784 decoder with new weights,
Euler's rule: cost does not depend on what the weights are. Each measurement has a process of its
own, whose peak memory is compared with that of the process before it encodes. Results go to
data/results/adjoints.json.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

import gfe_core as gfe
from gfe_core.data.files import write_text
from gfe_core.experiments.mnist_decoders import new_decoder

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "data" / "results" / "adjoints.json"
ADJOINTS = {
    "Detached": gfe.Detached(),
    "Implicit": gfe.Implicit(),
    "DiscreteAdjoint": gfe.DiscreteAdjoint(),
    "Unrolled": gfe.Unrolled(),
}
STEPS = (10, 30, 100, 300, 1000)
BATCH = 256
ENOUGH_MB = 3000
"""A measurement that would need more memory than this is left out."""
LONG = 5.0
"""Seconds after which a measurement is not repeated."""


def measure(name: str, n_steps: int, repeats: int) -> dict[str, Any]:
    """Processor seconds of encoding and backward pass, their ratio, and megabytes."""
    decoder = new_decoder()
    x = torch.rand(BATCH, 784, generator=torch.Generator().manual_seed(0))
    loss = gfe.Bernoulli()
    solver = gfe.Euler(n_steps=n_steps)
    parameters = list(decoder.parameters())
    torch.autograd.grad(loss.per_sample(decoder(torch.zeros(BATCH, 20)), x).mean(), parameters)
    before = _peak_mb()
    forward = []
    backward = []
    while len(forward) < repeats:
        start = time.process_time()
        enc = gfe.encode(decoder, x, solver=solver, t1=100.0, adjoint=ADJOINTS[name])
        middle = time.process_time()
        torch.autograd.grad(loss.per_sample(decoder(enc.z), x).mean(), parameters)
        forward.append(middle - start)
        backward.append(time.process_time() - middle)
        if forward[-1] + backward[-1] > LONG:
            break
    each = statistics.median(
        b / n_steps / (f / (n_steps + 1)) for f, b in zip(forward, backward, strict=True)
    )
    return {
        "adjoint": name,
        "steps": n_steps,
        "encode seconds": statistics.median(forward),
        "backward seconds": statistics.median(backward),
        "backward in gradients per gradient": each,
        "MB": _peak_mb() - before,
    }


def _peak_mb() -> float:
    """Most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def table(repeats: int) -> list[dict[str, Any]]:
    """Measure every adjoint with every number of steps, each in a process of its own."""
    rows: list[dict[str, Any]] = []
    for n_steps in STEPS:
        for name in ADJOINTS:
            last = [row for row in rows if row["adjoint"] == name][-1:]
            if (
                last
                and last[0]["MB"] * n_steps / last[0]["steps"] > ENOUGH_MB
                and name == "Unrolled"
            ):
                continue
            command = [
                sys.executable,
                __file__,
                "--one",
                name,
                str(n_steps),
                "--repeats",
                str(repeats),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout))
            print(_line(rows[-1].values()), flush=True)
    return rows


def _line(values: Any) -> str:
    return "  ".join((f"{v:.3g}" if isinstance(v, float) else str(v)).ljust(18) for v in values)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("ADJOINT", "STEPS"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.one:
        print(json.dumps(measure(chosen.one[0], int(chosen.one[1]), chosen.repeats)))
        return
    print(_line(["adjoint", "steps", "encode s", "backward s", "gradients each", "MB"]))
    found = {
        "command": "make bench",
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "torch": str(torch.__version__),
        "threads": 1,
        "batch": BATCH,
        "decoder": [20, 150, 300, 600, 784],
        "rows": table(chosen.repeats),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    write_text(RESULTS, json.dumps(found, indent=1) + "\n")
    print(f"written to {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
