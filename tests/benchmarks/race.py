"""Which minimiser finds codes soonest? Processor seconds to a mean gap, on two MNIST decoders.

The gap of a code is its energy above the bottom of its own basin, in nats per pixel: the basin that
the longest run of its method ends in, as all runs of a method follow one path. Every method starts
at z = 0 with the same decoder, images and gradients, with several budgets of work; between two
budgets the logarithm of the gap is interpolated. A budget is either one number of attempts for all
samples, or a rule by which each sample stops. Runs are interleaved and medians reported. Processor
time is counted, because others may use the machine. Nothing is written.

torchdiffeq and botorch come with `pip install ".[bench]"`; without botorch its rows are left out.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import NEVER, ROOT, Found, lbfgs, ours, settled, show, time_to
from torch import Tensor

import gfe_core as gfe
from gfe_core.experiments import speed
from gfe_core.experiments.mnist_decoders import new_decoder

DECODERS = [ROOT / "data" / "checkpoints" / f"mnist_{n}.pt" for n in ("one_pass", "six_passes")]
ATTEMPTS = (12, 15, 19, 24, 31)
GAINS = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
"""Shares of the descent that may be left where a sample stops."""


@dataclass
class Racer:
    """One method with one budget, and the processor seconds of its runs."""

    method: str
    budget: float
    run: Callable[[], Found]
    seconds: list[float] = field(default_factory=list)
    z: Tensor | None = None


def botorch_lbfgs(
    decoder: Any, x: Tensor, iterations: int, fall: float = 0.0, pairs: int = 10
) -> Found:
    """L-BFGS-B of each sample, with the gradients of all unfinished samples in one batch.

    Args:
        decoder: decoder of the energy.
        x: data.
        iterations: largest number of iterations for each sample.
        fall: decrease of the energy below which a sample stops, in nats per pixel.
        pairs: number of steps remembered; 10 is the default of botorch.
    """
    from botorch.optim.batched_lbfgs_b import fmin_l_bfgs_b_batched  # pyright: ignore

    energy = gfe.Energy(decoder, x, gfe.Bernoulli())
    n_evaluations = 0

    def value_and_grad(z: np.ndarray, batch_indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
        nonlocal n_evaluations
        n_evaluations += len(z)
        some = energy if len(z) == len(x) else energy.rows(torch.tensor(batch_indices))
        value, grad = some.value_and_grad(torch.from_numpy(z).float())
        return value.double().numpy(), grad.double().numpy()

    z, _, _ = fmin_l_bfgs_b_batched(
        value_and_grad,
        np.zeros((len(x), 20)),
        maxcor=pairs,
        factr=None,
        ftol=fall,
        pgtol=0.0,
        maxiter=iterations,
        pass_batch_indices=True,
    )
    return Found(torch.from_numpy(z).float(), 2 * n_evaluations / len(x))


def racers(decoder: Any, x: Tensor) -> Iterator[Racer]:
    """Every method with every budget."""

    def racer(method: str, budget: float, run: Callable[..., Found], *arguments: Any) -> Racer:
        return Racer(method, budget, lambda: run(decoder, x, *arguments))

    def attempts(decoder: Any, x: Tensor, solver: Any, n_attempts: int) -> Found:
        return ours(decoder, x, solver, NEVER, max_steps=n_attempts)

    for n in ATTEMPTS:
        yield racer("LBFGS", n, attempts, gfe.LBFGS(), n)
        yield racer("BFGS", n, attempts, gfe.BFGS(), n)
    for gain in GAINS:
        stop = gfe.Stop(gain_rtol=gain)
        yield racer("LBFGS, each sample stops", gain, ours, gfe.LBFGS(), stop)
    for n_evaluations in (24, 32, 45, 65, 95):
        yield racer("torch L-BFGS, summed batch", n_evaluations, lbfgs, n_evaluations)
    if find_spec("botorch") is None:
        print('botorch is not installed (pip install ".[bench]"): its rows are left out')
        return
    for n in ATTEMPTS:
        yield racer("botorch L-BFGS-B", n, botorch_lbfgs, n)
    for fall in (5e-4, 1e-4, 2e-5):
        yield racer("botorch, each sample stops", fall, botorch_lbfgs, 500, fall)


def loaded(path: Path) -> gfe.MLPDecoder:
    """Return the MNIST decoder of a checkpoint, or of a file with the weights of its layers."""
    decoder = new_decoder()
    weights = torch.load(path, weights_only=True)
    if "decoder" in weights:
        gfe.load_checkpoint(path, decoder=decoder)
    else:
        decoder.layers.load_state_dict(weights)
    return decoder


def race(decoder: Any, x: Tensor, repeats: int) -> list[dict[str, Any]]:
    """Run everything, interleaved, and measure how far each code is from its basin's bottom."""
    runs = list(racers(decoder, x))
    for _ in range(repeats):
        for one in runs:
            start = time.process_time()
            one.z = one.run().z
            one.seconds.append(time.process_time() - start)
    return [
        row
        for method in sorted({one.method for one in runs})
        for row in judged(decoder, x, [one for one in runs if one.method == method])
    ]


def judged(decoder: Any, x: Tensor, runs: list[Racer]) -> list[dict[str, Any]]:
    """Return time and gap of the runs of one method."""
    energy = gfe.Energy(decoder, x, gfe.Bernoulli())
    codes = [one.z for one in runs if one.z is not None]
    values = [energy.value(z) for z in codes]
    longest = min(range(len(codes)), key=lambda i: values[i].mean().item())
    bottom = settled(decoder, x, codes[longest])
    return [
        {
            "method": one.method,
            "budget": float(one.budget),
            "seconds": statistics.median(one.seconds),
            "gap": (value - bottom).mean().item(),
        }
        for one, value in zip(runs, values, strict=True)
    ]


def table(raced: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Seconds to each gap with each decoder, a row a method."""
    methods = sorted({row["method"] for rows in raced.values() for row in rows})
    return [
        {"method": method}
        | {
            f"{name.removeprefix('mnist_')} {gap:g}": time_to(rows, method, gap)
            for name, rows in raced.items()
            for gap in speed.GAPS
        }
        for method in methods
    ]


def ratios(rows: list[dict[str, Any]], ours: str) -> list[dict[str, Any]]:
    """One method's seconds over those of every other, in a table of seconds."""
    own = next(row for row in rows if row["method"] == ours)
    shares: list[dict[str, Any]] = []
    for row in (row for row in rows if row is not own):
        shares.append({"over": row["method"]})
        for name in (name for name in row if name != "method"):
            known = own[name] is not None and row[name] is not None
            shares[-1][name] = own[name] / row[name] if known else None
    return shares


def main() -> None:
    """Race on both decoders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--decoders", type=Path, nargs="+", default=DECODERS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    x = gfe.data.load("mnist", split="test").x[: chosen.images]
    raced = {}
    for path in chosen.decoders:
        name = path.stem
        raced[name] = race(loaded(path), x, chosen.repeats)
        show(f"{name}: {len(x)} images, processor seconds", raced[name])
    rows = table(raced)
    show("processor seconds to a mean gap", rows)
    for method in ("LBFGS", "LBFGS, each sample stops"):
        show(f"seconds of {method} over those of another", ratios(rows, method))


if __name__ == "__main__":
    main()
