"""`reproduce fig2`.

Fixed grids beside AMD while a decoder trains, with and without the adjoint's integral.

The recipe is the paper's: batches of 20, RMSprop with a constant rate. "Gentle" updates have the
paper's rate, "large" ones ten times as much. Curves are the energies of each batch before its
update, not smoothed.
"""

import math
import warnings
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from statistics import fmean
from typing import Any

import torch

import gfe_core as gfe
from gfe_core import stiffness
from gfe_core.decoders.plain import keeps_rows_apart
from gfe_core.experiments.runner.callbacks import Watch
from gfe_core.experiments.runner.config import STOP, Config, images, optimizer_of
from gfe_core.experiments.runner.jobs import Experiment, Job
from gfe_core.experiments.runner.judging import PRECISE, TO_REST, in_words
from gfe_core.experiments.runner.records import Record, Records
from gfe_core.experiments.tables.cells import cells_of, head, row, summary
from gfe_core.training import Report

SEEDS = range(3)
SIZE = 20
HIDDEN = (150, 300, 600)
RATES = {"gentle": 5e-4, "large": 5e-3}
N_TEST = 500
"""Number of test images, the first of the set, by which the decoder is judged at the end."""
N_LOOKS = 20
"""How often the largest curvature is measured on the way."""
WINDOW = 10
"""Batches whose mean energy is followed, to see whether it climbs."""
TAIL = 50
"""Number of batches over whose energies a mean is taken."""
T1 = 1e4
MOMENTUM_T1 = 1.5e3

_EQUAL = {"solver": gfe.RK4(n_steps=99), "t1": T1}
_GROWING = {
    "solver": gfe.RK4(n_steps=100, grid="log"),
    "flow": gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=T1)),
    "t1": T1,
}
_SECOND = {"solver": gfe.RK4(n_steps=99), "flow": gfe.NesterovFlow(), "t1": MOMENTUM_T1}

ENCODERS: dict[str, dict[str, Any]] = {
    "AMD": {"solver": gfe.AMD(), "stop": STOP, "max_steps": 40},
    "equal steps": _EQUAL,
    "growing steps": _GROWING,
    "second order": _SECOND,
    "growing steps, full adjoint": _GROWING | {"adjoint": gfe.DiscreteAdjoint()},
}
"""Options of `encode`.

RK4 in 99 equal steps to t1; in 100 steps that grow tenfold, with a rate that fades as exp(-2 t /
t1), as in the paper; the same with the adjoint's integral; and the flow with momentum to an earlier
t1, in equal steps.
"""
FULL = "growing steps, full adjoint"
DROPPED = "growing steps"

N_BATCHES = {
    "gentle": dict.fromkeys(ENCODERS, 1000) | {FULL: 100},
    "large": {name: 100 for name in ENCODERS if name != FULL},
}


def grid_limit(options: Mapping[str, Any]) -> float | None:
    """Largest curvature for which every step of a grid is stable; None without a grid."""
    if "t1" not in options:
        return None
    flow = options.get("flow", gfe.GradientFlow())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a curvature of 1 is beyond the limit
        check = stiffness.check_grid(options["solver"], options["t1"], torch.ones(1).double(), flow)
    return check.worst.item() ** -flow.order


@keeps_rows_apart
class _Decoder(gfe.MLPDecoder):
    """Batches of 20 images go without padding, in two thirds of the time."""

    row_multiple: int = 4


def curve(name: str, updates: str, seed: int) -> dict[str, Any]:
    """Train on the first images with one of the encoders and judge the decoder at the end."""
    encoder = partial(gfe.encode, **ENCODERS[name])
    n_batches = N_BATCHES[updates][name]
    x = images("mnist")[0][: SIZE * n_batches]
    generator = torch.Generator().manual_seed(seed)
    decoder = _Decoder(latent_dim=20, hidden=HIDDEN, data_dim=784, generator=generator)
    config = Config(optimizer="rmsprop", learning_rate=RATES[updates], schedule="constant")
    seconds: list[float] = []
    curvature: list[dict[str, float]] = []
    watch = Watch(torch.nn.ModuleList([decoder]), encoder, x[:0], n_batches)

    def look(report: Report) -> None:
        seconds.append(watch.seconds)
        if report.step % (n_batches // N_LOOKS) == 0:
            measured = stiffness.spectrum(decoder, report.encoding.z.detach(), report.x).largest
            median, largest = measured.median().item(), measured.max().item()
            curvature.append({"batch": report.step, "median": median, "largest": largest})
        watch.skip()

    history = gfe.fit(
        decoder,
        gfe.data.Batches(x, size=SIZE, seed=seed),
        encoder=encoder,
        optimizer=optimizer_of(config, decoder.parameters()),
        callbacks=[watch, look],
        on_interrupt="raise",
    )
    test = gfe.data.load("mnist", split="test").x[:N_TEST]
    encoders = {"own codes": encoder, "codes at rest": PRECISE}
    judged = {label: gfe.evaluate(decoder, test, encoder=find) for label, find in encoders.items()}
    return {
        "seed": seed,
        "images": history.images,
        "energy": [_known(energy) for energy in history.energy],
        "cpu_seconds": seconds,
        "curvature": [{key: _known(value) for key, value in at.items()} for at in curvature],
        "grid_limit": grid_limit(ENCODERS[name]),
        "test": {
            label: _known(result.energy.double().mean().item()) for label, result in judged.items()
        },
        "floor": (judged["codes at rest"].energy - judged["codes at rest"].excess).mean().item(),
    }


def _known(value: float) -> float | None:
    """A number that JSON can hold; None where it is not finite."""
    return value if math.isfinite(value) else None


def _job(encoder: str, updates: str, seed: int) -> Job:
    """The training with one of the encoders."""
    words = encoder.replace(", ", "_").replace(" ", "_")
    settings = {"encoder": in_words(ENCODERS[encoder]), "judging": in_words(TO_REST)}
    settings |= {"optimizer": "RMSprop, alpha 0.9, eps 1e-6", "learning_rate": RATES[updates]}
    settings |= {"hidden": HIDDEN, "size": SIZE, "n_batches": N_BATCHES[updates][encoder]}
    settings |= {"n_test": N_TEST, "n_looks": N_LOOKS}
    fields = {"encoder": encoder, "updates": updates, "seed": seed}
    arguments = {"name": encoder, "updates": updates, "seed": seed}
    return Job(f"fig2-{updates}-{words}-{seed}", curve, arguments, fields, settings)


def _jobs() -> list[Job]:
    return [
        _job(encoder, updates, seed)
        for seed in SEEDS
        for updates in N_BATCHES
        for encoder in N_BATCHES[updates]
    ]


def _or_a_nat(value: float | None) -> float:
    """Return 1 nat for a value that is not finite, such as the energy of a lost batch."""
    return 1.0 if value is None else value


def climb(energies: Sequence[float | None]) -> float:
    """How far the mean of a few batches rises above its lowest value before, at most."""
    known = [_or_a_nat(energy) for energy in energies]
    means = [fmean(known[i : i + WINDOW]) for i in range(len(known) - WINDOW + 1)]
    return max(mean - lowest for mean, lowest in zip(means, accumulate(means, min), strict=True))


def _tail(record: Record, end: int | None = None) -> float:
    """Mean energy of the last batches before one of them."""
    return fmean([_or_a_nat(energy) for energy in record["energy"][:end]][-TAIL:])


def _gather(records: Records) -> dict[str, Any]:
    content: dict[str, Any] = {
        updates: {
            name: _measures(records.where(encoder=name, updates=updates))
            for name in encoders
            if name != FULL
        }
        for updates, encoders in N_BATCHES.items()
    }
    gentle = records.where(updates="gentle")
    full, dropped = (gentle.where(encoder=name).by("seed") for name in (FULL, DROPPED))
    n_batches = N_BATCHES["gentle"][FULL]
    spent = {seed: one["cpu_seconds"][-1] for seed, one in full.items()}
    as_long = {seed: bisect_right(one["cpu_seconds"], spent[seed]) for seed, one in dropped.items()}
    content["integral"] = {
        "with it": summary({seed: _tail(one) for seed, one in full.items()}),
        "dropped, as many images": summary(
            {seed: _tail(one, n_batches) for seed, one in dropped.items()}
        ),
        "dropped, as many seconds": summary(
            {seed: _tail(one, as_long[seed]) for seed, one in dropped.items()}
        ),
        "times the seconds": summary(
            {seed: spent[seed] / one["cpu_seconds"][n_batches - 1] for seed, one in dropped.items()}
        ),
    }
    content["floor"] = records[0]["floor"]
    return content


def _measures(runs: Records) -> dict[str, Any]:
    """What is compared of one encoder, over seeds."""
    seeds = runs.by("seed")

    def over_seeds(measure: Callable[[Record], float | None]) -> dict[str, Any]:
        return summary({seed: _or_a_nat(measure(one)) for seed, one in seeds.items()})

    return {
        "batches": len(runs[0]["energy"]),
        "own codes": over_seeds(lambda one: one["test"]["own codes"]),
        "codes at rest": over_seeds(lambda one: one["test"]["codes at rest"]),
        "climb": over_seeds(lambda one: climb(one["energy"])),
        "curvature": over_seeds(lambda one: one["curvature"][-1]["largest"]),
        "grid limit": runs[0]["grid_limit"],
        "seconds": over_seeds(lambda one: one["cpu_seconds"][-1]),
    }


_MEASURES = {
    "test energy, own codes": "own codes",
    "codes at rest": "codes at rest",
    "climb": "climb",
    "curvature": "curvature",
}
"""Columns of the table, and the measures that they show."""


def _table(content: Mapping[str, Any]) -> str:
    """Two tables of encoders, for gentle and large updates, and one of the integral."""
    lines = [
        f"RMSprop, batches of {SIZE} images of MNIST. Test energy of the first {N_TEST} test "
        f"images, whose floor is {content['floor']:.4f}. Climb: how far the mean energy of "
        f"{WINDOW} batches rises above its lowest value before, at most. Curvature: the largest at "
        "the codes of the last batch.",
    ]
    for updates, rate in RATES.items():
        n_batches = content[updates]["AMD"]["batches"]
        lines += ["", f"{updates.capitalize()} updates, rate {rate:g}, {n_batches} batches.", ""]
        lines += head("encoder", *_MEASURES, "limit of the grid", "seconds")
        for name, its in content[updates].items():
            limit = its["grid limit"]
            lines.append(
                row(
                    name,
                    *cells_of(its, _MEASURES),
                    "none" if limit is None else f"{limit:.4f}",
                    f"{its['seconds']['mean']:.0f}",
                )
            )
    integral = content["integral"]
    ratio = integral["times the seconds"]
    times = f"{ratio['mean']:.1f}" + ("" if ratio["sd"] is None else f" ± {ratio['sd']:.1f}")
    names = ("dropped, as many images", "dropped, as many seconds", "with it")
    lines += [
        "",
        f"The adjoint's integral, growing steps, gentle updates: mean energy of {TAIL} batches. It "
        f"takes {times} times the seconds for each image.",
        "",
        *head(*names),
        row(*cells_of(integral, {name: name for name in names})),
    ]
    return "\n".join(lines)


EXPERIMENT = Experiment(
    name="fig2",
    question=(
        "Do fixed grids stay stable while the decoder learns, and is the adjoint's "
        "integral worth its time?"
    ),
    jobs=_jobs(),
    gather=_gather,
    table=_table,
    note=(
        "RK4 takes 99 equal steps to t = 10,000; 100 growing ones with a rate "
        "that fades, as in the paper; or, on the flow with momentum, 99 equal steps to t = 1,500."
    ),
)
