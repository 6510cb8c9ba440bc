"""`reproduce fig1`: test energy during one pass, against images, updates and seconds."""

import statistics
from collections.abc import Mapping
from typing import Any

import gfe_core as gfe
from gfe_core.experiments.runner.config import Config
from gfe_core.experiments.runner.jobs import Experiment, Job
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.runner.runs import build, describe, finish
from gfe_core.experiments.tables import settings
from gfe_core.experiments.tables.cells import SETTINGS, cells_of, head, row, summary, trained_cell
from gfe_core.training import Report

LOOKS = (480, 960, 1920, 5760, 12_000, 24_000, 50_000)
"""Numbers of images after which the decoder is judged on all test images."""

METHODS = ("flow", "autoencoder", "logistic_pca")
SEEDS = range(3)


def curve(config: dict[str, Any]) -> dict[str, Any]:
    """Train for one pass at a constant rate, and judge the decoder by its own encoder meanwhile."""
    run = build(Config(**config))
    points = []
    x = gfe.data.load(run.config.data, split="test").x

    def look(report: Report) -> None:
        images = report.history.images[-1]
        if len(points) < len(LOOKS) and images >= LOOKS[len(points)]:
            energy = (
                gfe.evaluate(report.decoder, x, encoder=run.judge).energy.double().mean().item()
            )
            seconds = run.watch.seconds
            updates = report.history.step[-1]
            points.append(
                {"images": images, "updates": updates, "cpu_seconds": seconds, "energy": energy}
            )
            run.watch.skip()

    finish(run, callbacks=[look])
    return describe(run) | {"curve": points}


def curves(seed: int) -> list[Job]:
    """Return the runs of one pass: each image is seen once, and one update follows each batch."""
    own = SETTINGS | {"looks": LOOKS}
    jobs = []
    for method in METHODS:
        fields = {"protocol": "curve", "passes": 1, "method": method, "seed": seed}
        config = {"config": settings.one_pass(method, seed).as_record()}
        jobs.append(Job(f"fig1-{method}-{seed}", curve, config, fields, own))
    return jobs


def _twelve_passes(seed: int) -> Job:
    """Return the run of twelve passes, which the curves are compared with."""
    fields = {"protocol": "cell", "passes": 12, "method": "autoencoder", "seed": seed}
    config = {"config": settings.twelve_passes(seed).as_record()}
    name = f"fig1-autoencoder_twelve_passes-{seed}"
    return Job(name, trained_cell, config, fields, SETTINGS)


def points(records: Records, method: str) -> list[dict[str, Any]]:
    """Return the points of a method's curve during one pass, over seeds."""
    seeds = records.where(protocol="curve", method=method).by("seed")
    summarized = []
    for i, images in enumerate(LOOKS):
        at = {seed: record["curve"][i] for seed, record in seeds.items()}
        summarized.append(
            {
                "images": images,
                "updates": at[0]["updates"],
                "cpu_seconds": statistics.fmean(point["cpu_seconds"] for point in at.values()),
                "energy": summary({seed: point["energy"] for seed, point in at.items()}),
            }
        )
    return summarized


def _gather(records: Records) -> dict[str, Any]:
    longer = records.where(passes=12).by("seed")
    passes = {
        method: records.where(protocol="curve", method=method).by("seed") for method in METHODS
    }
    return {
        "curves": {method: points(records, method) for method in METHODS},
        "seconds": {
            method: summary({s: one["curve"][-1]["cpu_seconds"] for s, one in seeds.items()})
            for method, seeds in passes.items()
        },
        "twelve_passes": {
            "energy": summary({s: one["test"]["encoder"]["energy"] for s, one in longer.items()}),
            **{
                name: statistics.fmean(one[name] for one in longer.values())
                for name in ("images", "updates", "cpu_seconds")
            },
        },
    }


def _table(content: Mapping[str, Any]) -> str:
    lines = head("images", *(f"{method}, {unit}" for method in METHODS for unit in ("energy", "s")))
    for i, images in enumerate(LOOKS):
        entries = []
        for method in METHODS:
            point = content["curves"][method][i]
            entries += cells_of(point, {"": "energy"})
            entries.append(f"{point['cpu_seconds']:.0f}")
        lines.append(row(images, *entries))
    twelve = cells_of(content["twelve_passes"], {"": "energy"})[0]
    lines += ["", f"The autoencoder after twelve passes: {twelve}."]
    return "\n".join(lines)


EXPERIMENT = Experiment(
    name="fig1",
    question=(
        "How does the test energy fall during one pass, for each image seen and for each "
        "second spent?"
    ),
    jobs=[job for seed in SEEDS for job in (*curves(seed), _twelve_passes(seed))],
    gather=_gather,
    table=_table,
    note=(
        "All 10,000 test images of MNIST, three seeds; seconds of one processor core. One pass: "
        "2,500 updates at 20 images with a constant rate; the autoencoder's twelve passes: 6,000 "
        "updates at 100 images with a one-cycle rate."
    ),
)
