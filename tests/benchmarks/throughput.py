"""How many images each solver encodes in a second, and how much memory a long call takes.

Test images of MNIST are encoded in one call with one of the committed decoders, so many at a time
and on one thread. Memory is the most that a process of its own held, less than what it held before:
it may not grow with the number of images.

    python tests/benchmarks/throughput.py --n 10000 --size 1000
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

import gfe_core as gfe

ROOT = Path(__file__).parents[2]
SOLVERS: dict[str, dict[str, Any]] = {
    "AMD": {},
    "LBFGS": {"solver": gfe.LBFGS()},
    "BFGS": {"solver": gfe.BFGS()},
    "GaussNewton": {"solver": gfe.GaussNewton()},
    "AMD, momentum": {"flow": gfe.NesterovFlow()},
    "Dopri5 to t = 100": {"solver": gfe.Dopri5(), "t1": 100.0},
    "Euler, 100 steps": {"solver": gfe.Euler(dt=1.0), "t1": 100.0},
}


def memory() -> float:
    """Return the most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(solver: str, n: int, size: int) -> dict[str, float]:
    """Encode and return images a second, MB, mean energy and mean work."""
    torch.set_num_threads(1)
    decoder = gfe.MLPDecoder(latent_dim=20, hidden=(150, 300, 600), data_dim=784)
    gfe.load_checkpoint(ROOT / "data" / "checkpoints" / "mnist_one_pass.pt", decoder=decoder)
    images = gfe.data.load("mnist", split="test").x
    x = images.repeat(-(-n // len(images)), 1)[:n].clone()
    arguments = SOLVERS[solver]
    gfe.encode(decoder, x[:64], **arguments, max_steps=3)
    before = memory()
    start = time.process_time()
    found = gfe.encode(decoder, x, size=size, **arguments)
    seconds = time.process_time() - start
    return {
        "rate": n / seconds,
        "memory": memory() - before,
        "energy": found.energy.mean().item(),
        "work": found.statistics.work.double().mean().item(),
    }


def apart(solver: str, n: int, size: int) -> dict[str, float]:
    """Return what a process of its own measures."""
    command = [sys.executable, __file__, "--n", str(n), "--size", str(size), "--solver", solver]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the table, or what one process measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000, help="images")
    parser.add_argument("--size", type=int, default=1000, help="images at a time")
    parser.add_argument("--solver", choices=list(SOLVERS), help="this one alone, as JSON")
    arguments = parser.parse_args()
    if arguments.solver:
        print(json.dumps(measure(arguments.solver, arguments.n, arguments.size)))
        return
    print(f"{arguments.n} images, {arguments.size} at a time, processor time of one thread\n")
    print(f"{'':20s} images/s   work   energy   MB   MB of {arguments.size} images")
    for solver in SOLVERS:
        found = apart(solver, arguments.n, arguments.size)
        few = apart(solver, arguments.size, arguments.size)
        print(
            f"{solver:20s} {found['rate']:8.0f} {found['work']:6.0f} {found['energy']:8.4f} "
            f"{found['memory']:4.0f} {few['memory']:4.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
