"""Which minimiser finds codes soonest? Processor seconds to a mean gap, beside today's solvers.

The gap of a code is its energy above the bottom of its own basin, in nats per pixel: the basin that
the longest run of its method ends in, as all runs of a method follow one path. Between two budgets
of work the logarithm of the gap is interpolated. Codes of every method are judged by the same
energy; `peers` says what each method minimises. Runs are interleaved over the repeats and medians
are reported. Processor time is counted, because others may use the machine, with one thread and
without compilation.

A method with a rate, a scale or a damping of its own gets the value with the lowest energy at its
middle budget on 100 images of the training set. A method whose run takes longer than `--patience`
times the longest run of LBFGS is not run with larger budgets, and a run of more than 1.5 times this
run is not repeated. A peer that is not installed, or fails, is listed with the reason.

Decoders one_pass and six_passes are those of data/checkpoints, with 20 latents. The decoders mlp
and conv are trained here in a minute, on 5,000 images, with a seed, and kept in `--cache`.

Results go to data/results/race.json: a setting replaces the one with the same name. The peers come
with `pip install ".[bench]"`.
"""

import argparse
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import torch
from bench import ROOT, settled, show, time_to
from peers import RACERS, Racer, Run
from torch import Tensor

import gfe_core as gfe
from gfe_core.data.files import write_text
from gfe_core.experiments import speed
from gfe_core.experiments.mnist_decoders import new_decoder

CHECKPOINTS = ROOT / "data" / "checkpoints"
RESULTS = ROOT / "data" / "results" / "race.json"
PACKAGES = (
    "torch numpy scipy torchdiffeq botorch caustics jax jaxlib jaxopt optimistix lineax equinox"
)

REPEATED = 1.5
"""Longest run that is repeated, in units of the longest run of LBFGS: others cannot win."""


@dataclass
class Lane:
    """A racer that runs: its choice, and for each budget the run, its seconds and its codes."""

    racer: Racer
    choice: Any
    seconds: dict[float, list[float]] = field(default_factory=dict)
    codes: dict[float, Tensor] = field(default_factory=dict)
    runs: dict[float, Run] = field(default_factory=dict)

    @property
    def longest(self) -> float:
        """Median seconds of the slowest budget; 0 before the first run."""
        return max(map(statistics.median, self.seconds.values()), default=0.0)


def chosen(racer: Racer, decoder: Any, tune: Tensor) -> Any:
    """Return the best choice at the middle budget; this run also warms the method up."""
    for name in racer.packages:
        if find_spec(name) is None:
            raise ModuleNotFoundError(f'{name} is missing, pip install ".[bench]"')
    run = racer.prepare(decoder, tune, racer.budgets[len(racer.budgets) // 2])
    energy = gfe.Energy(decoder, tune, gfe.Bernoulli())
    values = {choice: energy.value(run(choice)).mean().item() for choice in racer.choices}
    return min(racer.choices, key=lambda choice: (math.isnan(values[choice]), values[choice]))


def go(lane: Lane, decoder: Any, x: Tensor, ahead: float, patience: float) -> None:
    """Run every budget once, except those that need no more runs to know that they are slow.

    Args:
        lane: racer with its earlier runs.
        decoder: decoder of the energy.
        x: images.
        ahead: longest run of the first racer, in seconds.
        patience: longest run after which a larger budget is tried, in units of `ahead`.
    """
    for budget in lane.racer.budgets:
        if budget not in lane.runs:
            if lane.longest > patience * ahead:
                return
            lane.runs[budget] = lane.racer.prepare(decoder, x, budget)
        elif lane.seconds[budget][0] > REPEATED * ahead:
            return
        start = time.process_time()
        codes = lane.runs[budget](lane.choice)
        lane.seconds.setdefault(budget, []).append(time.process_time() - start)
        lane.codes[budget] = codes


def race(
    decoder: Any,
    x: Tensor,
    tune: Tensor,
    *,
    repeats: int,
    patience: float,
    racers: Sequence[Racer] = RACERS,
) -> dict[str, Any]:
    """Race all that can race, interleaved, and judge the codes.

    Args:
        decoder: decoder of the energy.
        x: images whose codes are timed.
        tune: images on which methods choose their own parameter.
        repeats: number of times that everything runs.
        patience: longest run of a peer, in units of the longest run of the first racer.
        racers: methods; the first one sets the time limit.

    Returns:
        The runs with seconds and gap, the seconds to each gap, the choices, and those left out.
    """
    lanes: dict[str, Lane] = {}
    out: dict[str, str] = {}
    for repeat, racer in product(range(repeats), racers):
        if racer.name in out:
            continue
        try:
            if repeat == 0:
                lanes[racer.name] = Lane(racer, chosen(racer, decoder, tune))
            ahead = lanes[racers[0].name].longest if racer is not racers[0] else math.inf
            go(lanes[racer.name], decoder, x, ahead, patience)
        except Exception as error:
            out[racer.name] = reason(error)
        print(f"  repeat {repeat + 1}: {racer.name} {out.get(racer.name, '')}", flush=True)
    raced = [lane for name, lane in lanes.items() if name not in out]
    rows = [row for lane in raced for row in judged(decoder, x, lane)]
    return {
        "choices": {lane.racer.name: lane.choice for lane in raced if len(lane.racer.choices) > 1},
        "runs": rows,
        "times": [
            {"method": lane.racer.name, "peer": lane.racer.peer, "longest": lane.longest}
            | {f"seconds to {gap:g}": time_to(rows, lane.racer.name, gap) for gap in speed.GAPS}
            for lane in raced
        ],
        "left_out": [{"method": name, "reason": words} for name, words in out.items()],
    }


def reason(error: Exception) -> str:
    """Say in one line why a peer does not race."""
    verb = "did not install" if isinstance(error, ImportError) else "did not run"
    return f"{verb}: {str(error).partition(chr(10))[0]}"


def judged(decoder: Any, x: Tensor, lane: Lane) -> list[dict[str, Any]]:
    """Return time and gap of the runs of one method."""
    energy = gfe.Energy(decoder, x, gfe.Bernoulli())
    values = {budget: energy.value(z) for budget, z in lane.codes.items()}
    bottom = settled(decoder, x, lane.codes[max(lane.codes)])
    return [
        {
            "method": lane.racer.name,
            "budget": budget,
            "seconds": statistics.median(lane.seconds[budget]),
            "repeats": len(lane.seconds[budget]),
            "gap": (value - bottom).mean().item(),
        }
        for budget, value in values.items()
    ]


def loaded(path: Path) -> gfe.MLPDecoder:
    """Return the MNIST decoder of a checkpoint, or of a file with the weights of its layers."""
    decoder = new_decoder()
    weights = torch.load(path, weights_only=True)
    if "decoder" in weights:
        gfe.load_checkpoint(path, decoder=decoder)
    else:
        decoder.layers.load_state_dict(weights)
    return decoder


def trained(kind: str, n_latents: int, cache: Path) -> Any:
    """Return a decoder that was trained briefly: 100 updates on 5,000 images, two passes."""
    path = cache / f"{kind}_{n_latents}.pt"
    seed = torch.Generator().manual_seed(0)
    if kind == "conv":
        shape = (28, 28)
        decoder = gfe.ConvDecoder(
            latent_dim=n_latents, image_shape=shape, channels=(16, 8), generator=seed
        )
    else:
        hidden = (150, 300, 600)
        decoder = gfe.MLPDecoder(latent_dim=n_latents, hidden=hidden, data_dim=784, generator=seed)
    if not path.exists():
        batches = gfe.data.Batches(gfe.data.load("mnist").x[:5000], size=100, seed=0)
        encoder = partial(gfe.encode, solver=gfe.LBFGS(), max_steps=30)
        gfe.fit(decoder, batches, encoder=encoder, epochs=2)
        gfe.save_checkpoint(path, decoder=decoder)
    gfe.load_checkpoint(path, decoder=decoder)
    return decoder


def versions() -> dict[str, str]:
    """Return the version of every package of the race that is installed."""
    installed = {found.metadata["Name"]: found.version for found in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES.split() if name in installed}


def main() -> None:
    """Race in every setting, print the tables and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    decoders = ("one_pass", "six_passes", "mlp", "conv")
    parser.add_argument("--decoders", nargs="+", choices=decoders, default=decoders[:2])
    parser.add_argument("--latents", type=int, nargs="+", default=[20])
    parser.add_argument("--images", type=int, nargs="+", default=[1000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--patience", type=float, default=1.5)
    parser.add_argument("--methods", nargs="+", default=[one.name for one in RACERS])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "gfe_race")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    tune = gfe.data.load("mnist").x[-100:]
    test = gfe.data.load("mnist", split="test").x
    for name, n_latents, n_images in product(given.decoders, given.latents, given.images):
        saved = CHECKPOINTS / f"mnist_{name}.pt"
        if saved.exists() and n_latents != 20:
            print(f"{name} has 20 latents and is left out with {n_latents}")
            continue
        decoder = loaded(saved) if saved.exists() else trained(name, n_latents, given.cache)
        setting = f"{name}, {n_latents} latents, {n_images:,} images"
        print(setting, flush=True)
        start = time.process_time()
        raced = race(
            decoder,
            test[:n_images],
            tune,
            repeats=given.repeats,
            patience=given.patience,
            racers=[one for one in RACERS if one.name in given.methods],
        )
        show("processor seconds and gap of each budget", raced["runs"])
        show("processor seconds to a mean gap", raced["times"])
        show("left out", raced["left_out"])
        results: dict[str, Any] = (
            json.loads(given.results.read_text()) if given.results.exists() else {}
        )
        results[setting] = {
            "command": "make bench",
            "machine": f"{platform.machine()}, {os.cpu_count()} processors",
            "versions": versions(),
            "threads": 1,
            "decoder": name,
            "latents": n_latents,
            "images": n_images,
            "repeats": given.repeats,
            "patience": given.patience,
            "methods": list(given.methods),
            "processor_seconds": time.process_time() - start,
        } | raced
        write_text(given.results, json.dumps(results, indent=1) + "\n")
        print("\n" + speed.race_table(results))


if __name__ == "__main__":
    main()
