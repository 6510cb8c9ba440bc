"""`reproduce fig1`.

Test energy during one pass over the images, against images, updates and seconds.
"""

from collections.abc import Mapping
from typing import Any

import gfe_core as gfe
from gfe_core.experiments.runner.config import Config
from gfe_core.experiments.runner.jobs import Experiment, Job
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.runner.runs import build, describe, finish
from gfe_core.experiments.tables import settings
from gfe_core.experiments.tables.cells import SETTINGS, head, row, trained_cell
from gfe_core.training import Report

LOOKS = (480, 960, 1920, 5760, 12_000, 24_000, 50_000)
"""Images after which the decoder is judged on all test images."""

METHODS = ("flow", "autoencoder", "logistic_pca")
LONGER = {"protocol": "cell", "passes": 12, "method": "autoencoder", "seed": 0}
"""Fields of the run beside the curves."""


def curve(config: dict[str, Any]) -> dict[str, Any]:
    """Train for one pass at a constant rate and judge the decoder on the way by its own means."""
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


def _jobs() -> list[Job]:
    jobs = []
    for method in METHODS:
        fields = {"protocol": "curve", "passes": 1, "method": method, "seed": 0}
        config = {"config": settings.one_pass(method).as_record()}
        looks = SETTINGS | {"looks": LOOKS}
        jobs.append(Job(f"fig1-{method}-0", curve, config, fields, looks))
    name = "fig1-autoencoder_twelve_passes-0"
    config = {"config": settings.twelve_passes().as_record()}
    return [*jobs, Job(name, trained_cell, config, LONGER, SETTINGS)]


def _gather(records: Records) -> dict[str, Any]:
    curves = {method: records.only(passes=1, method=method)["curve"] for method in METHODS}
    return {"curves": curves, "twelve_passes": records.only(**LONGER)["test"]}


def _table(content: Mapping[str, Any]) -> str:
    lines = head("images", *(f"{method}, {unit}" for method in METHODS for unit in ("energy", "s")))
    for i, images in enumerate(LOOKS):
        points = [content["curves"][method][i] for method in METHODS]
        entries = [
            entry for p in points for entry in (f"{p['energy']:.4f}", f"{p['cpu_seconds']:.0f}")
        ]
        lines.append(row(images, *entries))
    lines += [
        "",
        (
            f"The autoencoder after twelve passes: "
            f"{content['twelve_passes']['encoder']['energy']:.4f}."
        ),
    ]
    return "\n".join(lines)


EXPERIMENT = Experiment(
    name="fig1",
    question=(
        "How does the test energy fall during one pass, for each image seen and for each "
        "second spent?"
    ),
    jobs=_jobs(),
    gather=_gather,
    table=_table,
)
