"""`reproduce fig2`.

Fixed grids beside AMD while a decoder trains, with and without the adjoint's integral.

Curves are the energies of each batch before its update, not smoothed.
"""

import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

import gfe_core as gfe
from gfe_core.experiments.runner.config import STOP, images
from gfe_core.experiments.runner.jobs import Experiment, Job
from gfe_core.experiments.runner.judging import in_words
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.tables.cells import head, row

SIZE = 20
N_BATCHES = 200
T1 = 1e4
HIDDEN = (150, 300, 600)
RATE = 5e-4
_GRID = partial(gfe.encode, solver=gfe.RK4(n_steps=100, grid="log"), t1=T1)
_DECAYING = gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=T1))

ENCODERS = {
    "AMD": partial(gfe.encode, solver=gfe.AMD(), stop=STOP, max_steps=40),
    "fixed grid": partial(_GRID, flow=_DECAYING),
    "fixed grid, second order": partial(_GRID, flow=gfe.NesterovFlow()),
    "fixed grid, full adjoint": partial(_GRID, flow=_DECAYING, adjoint=gfe.DiscreteAdjoint()),
}
"""The paper's fixed grid.

100 steps of fourth order to t1, denser near the start, with a rate exp(-2 t / t1).
"""


def curve(name: str, seed: int) -> dict[str, Any]:
    """Train on the first images with one of the encoders."""
    x = images("mnist")[0][: SIZE * N_BATCHES]
    generator = torch.Generator().manual_seed(seed)
    decoder = gfe.MLPDecoder(latent_dim=20, hidden=HIDDEN, data_dim=784, generator=generator)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=RATE)
    batches = gfe.data.Batches(x, size=SIZE, seed=seed)
    start = time.process_time()
    history = gfe.fit(
        decoder, batches, encoder=ENCODERS[name], optimizer=optimizer, on_interrupt="raise"
    )
    seconds = time.process_time() - start
    share = seconds / history.seconds[-1]
    return {
        "seed": seed,
        "images": history.images,
        "energy": [None if math.isnan(e) else e for e in history.energy],
        "cpu_seconds": [share * s for s in history.seconds],
    }


def _job(encoder: str) -> Job:
    """The training with one of the encoders."""
    name = f"fig2-{encoder.replace(', ', '_').replace(' ', '_')}-0"
    settings = {"encoder": in_words(ENCODERS[encoder].keywords), "hidden": HIDDEN}
    settings |= {"n_batches": N_BATCHES, "size": SIZE, "learning_rate": RATE}
    arguments = {"name": encoder, "seed": 0}
    return Job(name, curve, arguments, {"encoder": encoder, "seed": 0}, settings)


def _gather(records: Records) -> dict[str, Any]:
    return {"curves": {name: records.only(encoder=name) for name in ENCODERS}}


def _table(content: Mapping[str, Any]) -> str:
    """Means over the last 50 batches, the worst of them, and the time it took."""
    lines = head("encoder", "mean energy of the last 50 batches", "worst of them", "seconds")
    for name, found in content["curves"].items():
        last = [energy for energy in found["energy"][-50:] if energy is not None]
        lines.append(
            row(
                name,
                f"{sum(last) / len(last):.4f}",
                f"{max(last):.4f}",
                f"{found['cpu_seconds'][-1]:.0f}",
            )
        )
    return "\n".join(lines)


EXPERIMENT = Experiment(
    name="fig2",
    question=(
        "Do fixed grids stay stable while the decoder learns, and is the adjoint's "
        "integral worth its time?"
    ),
    jobs=[_job(encoder) for encoder in ENCODERS],
    gather=_gather,
    table=_table,
)
