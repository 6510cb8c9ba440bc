"""`reproduce fig3`: test digits drawn by decoders that were trained on few or many images."""

import base64
from collections.abc import Mapping
from typing import Any

import torch

import gfe_core as gfe
from gfe_core.experiments.runner.config import Config
from gfe_core.experiments.runner.jobs import Experiment, Job
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.runner.runs import describe, train
from gfe_core.experiments.tables import settings
from gfe_core.experiments.tables.cells import SETTINGS, head, row

N_DIGITS = 10


def pictures(config: dict[str, Any]) -> dict[str, Any]:
    """Train, then draw the first test image of each digit."""
    run = train(Config(**config))
    test = gfe.data.load(run.config.data, split="test")
    x = torch.stack([test.x[test.y == digit][0] for digit in range(N_DIGITS)])
    encoding = run.judge(run.decoder, x)
    drawn = gfe.reconstruct(run.decoder, encoding)
    return describe(run) | {
        "x": _packed(x),
        "drawn": _packed(drawn),
        "energy": encoding.energy.tolist(),
    }


def _packed(x: torch.Tensor) -> str:
    """Return grey values as bytes in base64, for JSON."""
    return base64.b64encode((x.detach() * 255).round().byte().numpy().tobytes()).decode()


CONFIGS = {
    "autoencoder, 480 images": settings.once("autoencoder", 480, 0),
    "flow, 480 images": settings.once("flow", 480, 0),
    "autoencoder, 5760 images": settings.once("autoencoder", 5760, 0),
    "flow, 5760 images": settings.once("flow", 5760, 0),
    "autoencoder, one pass": settings.one_pass("autoencoder", 0),
    "flow, one pass": settings.one_pass("flow", 0),
}


def _job(decoder: str) -> Job:
    """Return the job that trains one of the decoders and draws its pictures."""
    name = f"fig3-{decoder.replace(', ', '_').replace(' ', '_')}-0"
    config = {"config": CONFIGS[decoder].as_record()}
    return Job(name, pictures, config, {"decoder": decoder, "seed": 0}, SETTINGS)


def _gather(records: Records) -> dict[str, Any]:
    rows = {name: records.only(decoder=name) for name in CONFIGS}
    return {"x": rows["flow, one pass"]["x"], "rows": rows}


def _table(content: Mapping[str, Any]) -> str:
    lines = head("decoder", "mean energy of the ten digits drawn")
    for name, record in content["rows"].items():
        lines.append(row(name, f"{sum(record['energy']) / N_DIGITS:.4f}"))
    return "\n".join(lines)


EXPERIMENT = Experiment(
    name="fig3",
    question="What do decoders of few images draw, beside those of many?",
    jobs=[_job(decoder) for decoder in CONFIGS],
    gather=_gather,
    table=_table,
    note="One seed: these are pictures, and no verdict rests on them.",
)
