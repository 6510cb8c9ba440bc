"""What a change to the derivatives of an energy costs, and what it does to the codes.

Two checkouts of the kit encode the same MNIST test images with the same decoders. Each measurement
is a process of its own, the checkouts take turns, and processor time of one thread is counted, so
that a busy machine disturbs both alike:

    git worktree add --detach ../before HEAD~1
    python tests/benchmarks/derivatives.py --against ../before
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import gfe_core as gfe
from gfe_core.types import Encoding

ROOT = Path(__file__).parents[2]
DECODERS = ("mnist_one_pass", "mnist_six_passes")
SOLVERS = {"AMD": (gfe.AMD(), 100), "BFGS": (gfe.BFGS(), 60), "GaussNewton": (gfe.GaussNewton(), 8)}
"""Solver and attempts of each image; no stop rule, so that both checkouts do the same work."""
EARLY = 5
"""Attempts after which codes are compared, before a search can amplify a difference in rounding."""


def encode(name: str, solver: str, n: int, dtype: torch.dtype, max_steps: int) -> Encoding:
    """Encode the first n test images with one of the committed decoders."""
    decoder = gfe.MLPDecoder(latent_dim=20, hidden=(150, 300, 600), data_dim=784)
    gfe.load_checkpoint(ROOT / "data" / "checkpoints" / f"{name}.pt", decoder=decoder)
    x = gfe.data.load("mnist", split="test").x[:n].to(dtype)
    never = gfe.Stop(grad_norm=0, energy_slope=0)
    rule = SOLVERS[solver][0]
    return gfe.encode(decoder.to(dtype), x, solver=rule, stop=never, max_steps=max_steps)


def measure(solvers: list[str], n: int, codes: Path | None) -> dict[str, float]:
    """Return the processor seconds of each case; save early codes where a file is given."""
    torch.set_num_threads(1)
    seconds = {}
    kept = {}
    for name in DECODERS:
        for solver in solvers:
            max_steps = SOLVERS[solver][1]
            encode(name, solver, 64, torch.float32, 3)
            start = time.process_time()
            encode(name, solver, n, torch.float32, max_steps)
            seconds[f"{name} {solver}"] = time.process_time() - start
            for dtype in (torch.float32, torch.float64) if codes else ():
                kept[f"{name} {solver} {dtype}"] = encode(name, solver, n, dtype, EARLY).z
    if codes:
        torch.save(kept, codes)
    return seconds


def run(checkout: Path, solvers: list[str], n: int, codes: Path | None) -> dict[str, float]:
    """Measure in a process that imports the kit from a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--images", str(n), "--measure", "--solvers", *solvers]
    command += ["--codes", str(codes)] if codes else []
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(against: Path, solvers: list[str], n: int, repeats: int) -> dict[str, Any]:
    """Return medians of both checkouts, their ratios, and how far apart early codes are."""
    sides = {"before": against.resolve(), "after": ROOT}
    taken: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        files = {side: Path(folder) / f"{side}.pt" for side in sides}
        for repeat in range(repeats):
            for side, checkout in sides.items():
                taken[side].append(run(checkout, solvers, n, None if repeat else files[side]))
        codes = {side: torch.load(file) for side, file in files.items()}
    medians = {
        side: {case: statistics.median(one[case] for one in runs) for case in runs[0]}
        for side, runs in taken.items()
    }
    apart = {
        case: ((codes["after"][case] - z).norm(dim=1) / z.norm(dim=1).mean()).max().item()
        for case, z in codes["before"].items()
    }
    ratios = {case: seconds / medians["before"][case] for case, seconds in medians["after"].items()}
    return medians | {"ratio": ratios, "largest relative distance of a code": apart}


def main() -> None:
    """Measure one checkout, or compare this one with another."""
    parser = argparse.ArgumentParser(description="Compare the derivatives of two checkouts.")
    parser.add_argument("--against", type=Path, help="another checkout of the kit")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=list(SOLVERS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", action="store_true", help="print the seconds of this checkout")
    parser.add_argument("--codes", type=Path, help="with --measure, file for early codes")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.solvers, arguments.images, arguments.codes)))
        return
    if arguments.against is None:
        parser.error("give `--against`, the path of another checkout, or `--measure`")
    found = compare(arguments.against, arguments.solvers, arguments.images, arguments.repeats)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
