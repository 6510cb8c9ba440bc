"""`reproduce gon`: is one step from the origin enough?

One step is compared with the flow and with an autoencoder, in error and in cost. Every run makes
2,000 updates with batches of 32 images and is judged on the first 1,000 test images.
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
"""Map from a column's title to a method and an encoder of that method."""
BOUNDS = {"variational GON": "variational_gon", "VAE": "vae"}
MARKS = (3, 60)
"""Processor seconds of training at a constant rate after which a decoder is judged."""
TIMED = {"GON": "gon", "flow-trained, flow": "flow", "autoencoder, equal width": "autoencoder"}
"""Map from a column's title to a method that is judged at `MARKS`."""
PLACES = {"every place": "siren_everywhere", "a quarter of the places": "siren"}
N_PLACES_UPDATES = 500
EVERY = 50
LOOKS = (25, 50, 100, 200, 400, 800, 1200, 1600, 2000)
"""Updates after which samples are judged."""


def trained(method: str, data: str, seed: int) -> dict[str, Any]:
    """Train by one method, and judge it by all its encoders."""
    x = images(data)[0]
    restarts = 0
    training, cost = _run(method, x, seed, RATES[method])
    while method not in BOUNDS.values() and restarts < 2 and _broke_down(training, x[:1000]):
        restarts += 1
        training, cost = _run(method, x, seed, RATES[method] / 2**restarts)
    return (
        _n_weights(training)
        | {"test": training.errors(_test(data)), "restarts": restarts, "seed": seed}
        | cost
    )


def _run(method: str, x: torch.Tensor, seed: int, rate: float) -> tuple[Training, dict[str, Any]]:
    training = origins.build(method, x, seed)
    start = time.process_time()
    history = training.fit(rate, n_updates=UPDATES)
    return training, {"cpu_seconds": time.process_time() - start, "updates": history.step[-1]}


def _broke_down(training: Training, x: torch.Tensor) -> bool:
    """Whether the error of training images is at least half of that of their mean image.

    The learning rate was then too high, and is halved.
    """
    mean_image = (x - x.mean(0)).square().sum(1).mean().item()
    return not next(iter(training.errors(x).values())) < mean_image / 2


def by_the_clock(method: str, data: str, seed: int) -> dict[str, Any]:
    """Train at a constant rate, half of the schedule's peak, and judge after 3 and 60 seconds."""
    training = origins.build(method, images(data)[0], seed)
    x = _test(data)[:500]
    errors = dict[str, float]()
    spent = 0.0
    since = time.process_time()

    def look(report: Report) -> bool:
        nonlocal spent, since
        spent += time.process_time() - since
        if spent >= MARKS[len(errors)]:
            errors[str(MARKS[len(errors)])] = next(iter(training.errors(x).values()))
        since = time.process_time()
        return len(errors) == len(MARKS)

    history = training.fit(RATES[method] / 2, callbacks=[look])
    return _n_weights(training) | {"after": errors, "updates": history.step[-1], "seed": seed}


def places(seed: int) -> dict[str, Any]:
    """Train the small SIREN on all places and on a quarter of them, in turns on one machine."""
    x = images("mnist")[0]
    test = _test("mnist")[:200]
    result: dict[str, Any] = {
        "seed": seed,
        "updates": list(range(EVERY, N_PLACES_UPDATES + 1, EVERY)),
    }
    both = {label: origins.build(method, x, seed) for label, method in PLACES.items()}
    optimizers = {
        label: torch.optim.Adam(training.trained, lr=RATES["siren"])
        for label, training in both.items()
    }
    result["curves"] = {label: [] for label in both}
    result["spent"] = dict.fromkeys(both, 0.0)
    for _ in result["updates"]:
        for label, training in both.items():
            start = time.process_time()
            _some_updates(training, optimizers[label])
            result["spent"][label] += time.process_time() - start
            result["curves"][label].append(training.errors(test)["own steps"])
    return result


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
    """Judge samples of a Gaussian fitted to recent codes while a GON learns.

    The result has their precision and recall, and the distance of the codes to normal.
    """
    training = origins.build("gon", images(data)[0], seed)
    recent = gon.Recent()
    points = []
    real = _test(data)

    def look(report: Report) -> None:
        if report.step in LOOKS:
            generator = torch.Generator().manual_seed(seed)
            z = posterior.GaussianPrior.fit(recent.z, ridge=1e-6).sample(len(real), generator)
            drawn = gfe.reconstruct(training.decoder, z, gon.SQUARES)
            points.append(
                {
                    "updates": report.step,
                    "normality": gon.normality(recent.z),
                    **quality(drawn, real),
                }
            )

    training.fit(RATES["gon"], n_updates=UPDATES, callbacks=[recent, look])
    return {"looks": points, "seed": seed}


def _test(data: str) -> torch.Tensor:
    return gfe.data.load(data, split="test").x[:N_TEST]


def _n_weights(training: Training) -> dict[str, Any]:
    return {"parameters": sum(parameter.numel() for parameter in training.trained)}


def _jobs() -> list[Job]:
    jobs = []
    for seed in SEEDS:
        for data in SETS:
            for method in (*METHODS, *BOUNDS.values()):
                name = f"gon-{data}-{method}-{seed}"
                settings = _settings(method) | {"updates": UPDATES, "n_test": N_TEST}
                arguments = {"method": method, "data": data, "seed": seed}
                fields = {"protocol": "updates", **arguments}
                jobs.append(Job(name, trained, arguments, fields, settings))
        for method in TIMED.values():
            settings = _settings(method) | {"marks": MARKS}
            arguments = {"method": method, "data": "mnist", "seed": seed}
            fields = {"protocol": "clock", **arguments}
            jobs.append(
                Job(f"gon-clock-{method}-{seed}", by_the_clock, arguments, fields, settings)
            )
        settings = _settings("siren") | {"updates": N_PLACES_UPDATES, "every": EVERY}
        fields = {"protocol": "places", "seed": seed}
        jobs.append(Job(f"gon-places-{seed}", places, {"seed": seed}, fields, settings))
        settings = _settings("gon") | {"updates": UPDATES, "looks": LOOKS}
        arguments = {"data": "mnist", "seed": seed}
        fields = {"protocol": "samples", **arguments}
        jobs.append(Job(f"gon-samples-{seed}", samples, arguments, fields, settings))
    return jobs


def _settings(method: str) -> dict[str, Any]:
    """Return the settings of a training beside its arguments."""
    settings: dict[str, Any] = {
        "learning_rate": RATES[method],
        "size": SIZE,
        "latent_dim": origins.LATENT,
    }
    if method == "flow":
        settings["training"] = in_words(origins.TRAINING)
    if method in ("flow", "gon"):
        settings["judging"] = in_words(origins.JUDGING)
    return settings


def _gather(records: Records) -> dict[str, Any]:
    content = _compared(records.where(protocol="updates"))
    clock = records.where(protocol="clock")
    content["seconds"] = {"mnist": {title: _timed(clock, m) for title, m in TIMED.items()}}
    content["places"] = _places(records.where(protocol="places"))
    content["samples"] = [record["looks"] for record in records.where(protocol="samples")]
    return content


def _timed(records: Records, method: str) -> dict[str, Any]:
    """Return errors after each number of seconds, over seeds."""
    seeds = records.where(method=method).by("seed")
    return {
        str(mark): summary({seed: one["after"][str(mark)] for seed, one in seeds.items()})
        for mark in MARKS
    }


def _compared(records: Records) -> dict[str, Any]:
    """Return errors and bounds after equal numbers of updates, restarts and numbers of weights."""

    def over_seeds(data: str, method: str, encoder: str) -> dict[int, float]:
        seeds = records.where(data=data, method=method).by("seed")
        return {seed: one["test"][encoder] for seed, one in seeds.items()}

    content: dict[str, Any] = {
        "batch": SIZE,
        "updates": UPDATES,
        "error": {},
        "bound": {},
    }
    for data in SETS:
        errors = {title: over_seeds(data, m, encoder) for title, (m, encoder) in COLUMNS.items()}
        content["error"][data] = summaries(errors)
        bounds = {title: over_seeds(data, m, "own steps") for title, m in BOUNDS.items()}
        content["bound"][data] = summaries(bounds)
    content["restarts"] = {
        f"{title}, {data}": n
        for title, (m, _) in COLUMNS.items()
        for data in SETS
        if (n := sum(one.get("restarts", 0) for one in records.where(data=data, method=m)))
    }
    content["parameters"] = {
        title: records.only(data="mnist", method=m, seed=0)["parameters"]
        for title, (m, _) in COLUMNS.items()
    }
    return content


def _places(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    every, quarter = PLACES
    ratios = {run["fields"]["seed"]: run["spent"][quarter] / run["spent"][every] for run in runs}
    curves = {
        title: [
            sum(values) / len(runs)
            for values in zip(*(run["curves"][title] for run in runs), strict=True)
        ]
        for title in PLACES
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
    for title in COLUMNS:
        cells = [spread(content["error"][data][title]) for data in SETS]
        lines.append(row(title, *cells, f"{content['parameters'][title]:,}"))
    begun = (f"{title}: {n} of {len(SEEDS)} runs" for title, n in content["restarts"].items())
    lines += ["", f"Broke down and begun again at half the rate: {'; '.join(begun) or 'none'}."]
    lines += ["", "Minus the evidence bound of a test image, nats.", "", *head("", *SETS)]
    lines += [
        row(title, *(spread(content["bound"][data][title]) for data in SETS)) for title in BOUNDS
    ]
    lines += [
        "",
        "MNIST, squared error after seconds of one processor core.",
        "",
        *head("", *(f"{m} s" for m in MARKS)),
    ]
    lines += [
        row(title, *(spread(values[str(m)]) for m in MARKS))
        for title, values in content["seconds"]["mnist"].items()
    ]
    values = content["places"]
    lines += [
        "",
        f"A step by a quarter of the places takes {values['time_ratio']['mean']:.2f} of the time.",
        "",
    ]
    lines += head("updates", *PLACES)
    for i, updates in enumerate(values["updates"]):
        lines.append(row(updates, *(f"{values['curves'][title][i]:.1f}" for title in PLACES)))
    names = ("normality", "precision", "recall")
    lines += [
        "",
        "Samples of a Gaussian fitted to recent codes, MNIST.",
        "",
        *head("updates", "distance from normal", *names[1:]),
    ]
    for points in zip(*content["samples"], strict=True):
        means = [sum(look[name] for look in points) / len(points) for name in names]
        lines.append(row(points[0]["updates"], *(f"{mean:.2f}" for mean in means)))
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
