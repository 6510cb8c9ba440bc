"""`reproduce gon`.

Is one step from the origin enough, and what does it cost against the flow and an autoencoder?

Every run makes 2,000 updates with 32 images and is judged on the first 1,000 test images.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

import gfe_core as gfe
from gfe_core.analysis.sample_quality import quality
from gfe_core.experiments.runner.config import images
from gfe_core.experiments.runner.jobs import Experiment, Job
from gfe_core.experiments.runner.judging import in_words
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.tables import origins
from gfe_core.experiments.tables.cells import head, row, spread, summaries, summary
from gfe_core.experiments.tables.origins import N_TEST, RATES, SIZE, UPDATES, Training
from gfe_core.methods import gon, posterior
from gfe_core.training import Report

SEEDS = range(3)
SETS = ("mnist", "fashion-mnist")
METHODS = ("gon", "detached", "three_steps", "flow", "autoencoder", "narrow_autoencoder", "siren")
COLUMNS = {
    "GON": ("gon", "own steps"),
    "GON, detached": ("detached", "own steps"),
    "GON, 3 steps": ("three_steps", "own steps"),
    "GON, flow to rest": ("gon", "flow"),
    "flow-trained, flow": ("flow", "flow"),
    "flow-trained, one step": ("flow", "one step"),
    "autoencoder, equal width": ("autoencoder", "own steps"),
    "autoencoder, equal parameters": ("narrow_autoencoder", "own steps"),
    "SIREN, a quarter of the places": ("siren", "own steps"),
}
"""Told -> method and way to a code."""
BOUNDS = {"variational GON": "variational_gon", "VAE": "vae"}
MARKS = (3, 60)
TIMED = {"GON": "gon", "flow-trained, flow": "flow", "autoencoder, equal width": "autoencoder"}
"""Processor seconds of training at a constant rate after which a decoder is judged."""
PLACES = {"every place": "siren_everywhere", "a quarter of the places": "siren"}
N_PLACES_UPDATES = 500
EVERY = 50
LOOKS = (25, 50, 100, 200, 400, 800, 1200, 1600, 2000)
"""Updates after which samples are looked at."""


def trained(method: str, data: str, seed: int) -> dict[str, Any]:
    """Train by one method, and judge it by all its ways to a code."""
    x = images(data)[0]
    restarts = 0
    training, found = _run(method, x, seed, RATES[method])
    while method not in BOUNDS.values() and restarts < 2 and _broke_down(training, x[:1000]):
        restarts += 1
        training, found = _run(method, x, seed, RATES[method] / 2**restarts)
    return (
        _told(training)
        | {"test": training.errors(_test(data)), "restarts": restarts, "seed": seed}
        | found
    )


def _run(method: str, x: torch.Tensor, seed: int, rate: float) -> tuple[Training, dict[str, Any]]:
    training = origins.build(method, x, seed)
    start = time.process_time()
    history = training.fit(rate, n_updates=UPDATES)
    return training, {"cpu_seconds": time.process_time() - start, "updates": history.step[-1]}


def _broke_down(training: Training, x: torch.Tensor) -> bool:
    """Whether training images are drawn hardly better than by their mean.

    A step was too long, and is halved.
    """
    mean_image = (x - x.mean(0)).square().sum(1).mean().item()
    return not next(iter(training.errors(x).values())) < mean_image / 2


def by_the_clock(method: str, data: str, seed: int) -> dict[str, Any]:
    """Train at a constant rate, half of the schedule's peak, and judge after 3 and 60 seconds."""
    training = origins.build(method, images(data)[0], seed)
    x = _test(data)[:500]
    found = dict[str, float]()
    spent = 0.0
    since = time.process_time()

    def look(report: Report) -> bool:
        nonlocal spent, since
        spent += time.process_time() - since
        if spent >= MARKS[len(found)]:
            found[str(MARKS[len(found)])] = next(iter(training.errors(x).values()))
        since = time.process_time()
        return len(found) == len(MARKS)

    history = training.fit(RATES[method] / 2, callbacks=[look])
    return _told(training) | {"after": found, "updates": history.step[-1], "seed": seed}


def places(seed: int) -> dict[str, Any]:
    """Train the small SIREN by every place and by a quarter, in turns on the same machine."""
    x = images("mnist")[0]
    test = _test("mnist")[:200]
    found: dict[str, Any] = {
        "seed": seed,
        "updates": list(range(EVERY, N_PLACES_UPDATES + 1, EVERY)),
    }
    both = {told: origins.build(method, x, seed) for told, method in PLACES.items()}
    optimizers = {
        told: torch.optim.Adam(training.trained, lr=RATES["siren"])
        for told, training in both.items()
    }
    found["curves"] = {told: [] for told in both}
    found["spent"] = dict.fromkeys(both, 0.0)
    for _ in found["updates"]:
        for told, training in both.items():
            start = time.process_time()
            _some_updates(training, optimizers[told])
            found["spent"][told] += time.process_time() - start
            found["curves"][told].append(training.errors(test)["own steps"])
    return found


def _some_updates(training: Training, optimizer: torch.optim.Optimizer) -> None:
    def enough(report: Report) -> bool:
        return report.step == EVERY

    gfe.fit(
        training.decoder,
        training.batches,
        encoder=training.encoder,
        loss=training.loss,
        optimizer=optimizer,
        callbacks=[enough],
        on_interrupt="raise",
    )


def samples(data: str, seed: int) -> dict[str, Any]:
    """Draw from a Gaussian fitted to recent codes while a GON learns.

    How good, how varied, how normal the codes.
    """
    training = origins.build("gon", images(data)[0], seed)
    recent = gon.Recent()
    looks = []
    real = _test(data)

    def look(report: Report) -> None:
        if report.step in LOOKS:
            generator = torch.Generator().manual_seed(seed)
            z = posterior.GaussianPrior.fit(recent.z, ridge=1e-6).sample(len(real), generator)
            drawn = gfe.reconstruct(training.decoder, z, gon.SQUARES)
            looks.append(
                {
                    "updates": report.step,
                    "normality": gon.normality(recent.z),
                    **quality(drawn, real),
                }
            )

    training.fit(RATES["gon"], n_updates=UPDATES, callbacks=[recent, look])
    return {"looks": looks, "seed": seed}


def _test(data: str) -> torch.Tensor:
    return gfe.data.load(data, split="test").x[:N_TEST]


def _told(training: Training) -> dict[str, Any]:
    return {"parameters": sum(parameter.numel() for parameter in training.trained)}


def _jobs() -> list[Job]:
    jobs = []
    for seed in SEEDS:
        for data in SETS:
            for method in (*METHODS, *BOUNDS.values()):
                name = f"gon-{data}-{method}-{seed}"
                how = _settings(method) | {"updates": UPDATES, "n_test": N_TEST}
                arguments = {"method": method, "data": data, "seed": seed}
                fields = {"protocol": "updates", **arguments}
                jobs.append(Job(name, trained, arguments, fields, how))
        for method in TIMED.values():
            how = _settings(method) | {"marks": MARKS}
            arguments = {"method": method, "data": "mnist", "seed": seed}
            fields = {"protocol": "clock", **arguments}
            jobs.append(Job(f"gon-clock-{method}-{seed}", by_the_clock, arguments, fields, how))
        how = _settings("siren") | {"updates": N_PLACES_UPDATES, "every": EVERY}
        fields = {"protocol": "places", "seed": seed}
        jobs.append(Job(f"gon-places-{seed}", places, {"seed": seed}, fields, how))
        how = _settings("gon") | {"updates": UPDATES, "looks": LOOKS}
        arguments = {"data": "mnist", "seed": seed}
        fields = {"protocol": "samples", **arguments}
        jobs.append(Job(f"gon-samples-{seed}", samples, arguments, fields, how))
    return jobs


def _settings(method: str) -> dict[str, Any]:
    """What decides a training beside its arguments."""
    found: dict[str, Any] = {
        "learning_rate": RATES[method],
        "size": SIZE,
        "latent_dim": origins.LATENT,
    }
    if method == "flow":
        found["training"] = in_words(origins.TRAINING)
    if method in ("flow", "gon"):
        found["judging"] = in_words(origins.JUDGING)
    return found


def _gather(records: Records) -> dict[str, Any]:
    content = _compared(records.where(protocol="updates"))
    clock = records.where(protocol="clock")
    content["seconds"] = {"mnist": {told: _timed(clock, m) for told, m in TIMED.items()}}
    content["places"] = _places(records.where(protocol="places"))
    content["samples"] = [record["looks"] for record in records.where(protocol="samples")]
    return content


def _timed(records: Records, method: str) -> dict[str, Any]:
    """Errors after so many seconds, over seeds."""
    seeds = records.where(method=method).by("seed")
    return {
        str(mark): summary({seed: one["after"][str(mark)] for seed, one in seeds.items()})
        for mark in MARKS
    }


def _compared(records: Records) -> dict[str, Any]:
    """Errors and bounds after equally many updates, and what they took."""

    def over_seeds(data: str, method: str, way: str) -> dict[int, float]:
        seeds = records.where(data=data, method=method).by("seed")
        return {seed: one["test"][way] for seed, one in seeds.items()}

    content: dict[str, Any] = {
        "batch": SIZE,
        "updates": UPDATES,
        "error": {},
        "bound": {},
    }
    for data in SETS:
        errors = {told: over_seeds(data, m, way) for told, (m, way) in COLUMNS.items()}
        content["error"][data] = summaries(errors)
        bounds = {told: over_seeds(data, m, "own steps") for told, m in BOUNDS.items()}
        content["bound"][data] = summaries(bounds)
    content["restarts"] = {
        f"{told}, {data}": n
        for told, (m, _) in COLUMNS.items()
        for data in SETS
        if (n := sum(one.get("restarts", 0) for one in records.where(data=data, method=m)))
    }
    content["parameters"] = {
        told: records.only(data="mnist", method=m, seed=0)["parameters"]
        for told, (m, _) in COLUMNS.items()
    }
    return content


def _places(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    every, quarter = PLACES
    ratios = {run["fields"]["seed"]: run["spent"][quarter] / run["spent"][every] for run in runs}
    curves = {
        told: [
            sum(values) / len(runs)
            for values in zip(*(run["curves"][told] for run in runs), strict=True)
        ]
        for told in PLACES
    }
    return {"updates": runs[0]["updates"], "curves": curves, "time_ratio": summary(ratios)}


def _table(content: Mapping[str, Any]) -> str:
    lines = [
        (
            f"Squared error of a test image after {content['updates']} updates with "
            f"{content['batch']} images."
        ),
        "",
    ]
    lines += head("", *SETS, "weights trained")
    for told in COLUMNS:
        cells = [spread(content["error"][data][told]) for data in SETS]
        lines.append(row(told, *cells, f"{content['parameters'][told]:,}"))
    begun = (f"{told}: {n} of {len(SEEDS)} runs" for told, n in content["restarts"].items())
    lines += ["", f"Broke down and begun again at half the rate: {'; '.join(begun) or 'none'}."]
    lines += ["", "Minus the evidence bound of a test image, nats.", "", *head("", *SETS)]
    lines += [
        row(told, *(spread(content["bound"][data][told]) for data in SETS)) for told in BOUNDS
    ]
    lines += [
        "",
        "MNIST, squared error after seconds of one processor core.",
        "",
        *head("", *(f"{m} s" for m in MARKS)),
    ]
    lines += [
        row(told, *(spread(found[str(m)]) for m in MARKS))
        for told, found in content["seconds"]["mnist"].items()
    ]
    found = content["places"]
    lines += [
        "",
        f"A step by a quarter of the places takes {found['time_ratio']['mean']:.2f} of the time.",
        "",
    ]
    lines += head("updates", *PLACES)
    for i, updates in enumerate(found["updates"]):
        lines.append(row(updates, *(f"{found['curves'][told][i]:.1f}" for told in PLACES)))
    names = ("normality", "precision", "recall")
    lines += [
        "",
        "Samples of a Gaussian fitted to recent codes, MNIST.",
        "",
        *head("updates", *names),
    ]
    for looks in zip(*content["samples"], strict=True):
        means = [sum(look[name] for look in looks) / len(looks) for name in names]
        lines.append(row(looks[0]["updates"], *(f"{mean:.2f}" for mean in means)))
    return "\n".join(lines)


EXPERIMENT = Experiment(
    name="gon",
    question="Is one step from the origin, differentiated through, enough to encode?",
    jobs=_jobs(),
    gather=_gather,
    table=_table,
    note=(
        "Three seeds; errors are summed over pixels. Detached means that no gradient goes through "
        "the step; three steps are differentiated through like one."
    ),
)
