"""Judging a trained decoder: on all test images, by every encoder that it has."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import gfe_core as gfe
from gfe_core import encoders
from gfe_core.experiments.runner.config import STOP
from gfe_core.training.missing import observed_somewhere
from gfe_core.types import AnyLoss, Encoder

TO_REST: dict[str, Any] = {"solver": gfe.BFGS(), "stop": STOP, "max_steps": 500}
"""Options of `encode` for judging decoders; all are written out, as are those of `STOP`."""
PRECISE = partial(gfe.encode, **TO_REST)
"""The encoder that judges decoders: the flow from the origin to rest."""


def in_words(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of an encoder as plain values, for the settings of a job.

    Solvers, losses and stop rules become the code that makes them.
    """
    plain = (bool, int, float, str, type(None))
    return {
        name: value if isinstance(value, plain) else repr(value) for name, value in options.items()
    }


def precise_for(loss: AnyLoss | None, *, gaps: bool = False) -> Encoder:
    """Return an encoder as precise as `PRECISE` for another loss, or for samples with gaps."""
    if loss is None and not gaps:
        return PRECISE
    return partial(gfe.encode_observed if gaps else gfe.encode, loss=loss, **TO_REST)


def encoders_of(
    network: encoders.Autoencoder | None, precise: Encoder = PRECISE
) -> dict[str, Encoder]:
    """Return all encoders of a decoder, by name.

    They are the flow from the origin and, with a network, its guess and the flow from that guess.
    """
    if network is None:
        return {"flow": precise}
    return {
        "flow": precise,
        "encoder": network,
        "encoder_then_flow": encoders.ThenFlow(network, precise),
    }


def judged(
    decoder: nn.Module,
    by: Mapping[str, Encoder],
    data: str,
    scaling: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return mean energy and mean excess over the floor on all test images, by encoder.

    Samples without any observed feature are left out. Data are converted by `scaling`, as they
    were for training.
    """
    x = _test_samples(data)
    x = x[observed_somewhere(x)]
    if scaling is not None:
        x = (x - scaling["mean"]) / scaling["scale"]
    means = {}
    for label, encoder in by.items():
        result = gfe.evaluate(decoder, x, encoder=encoder)
        means[label] = {
            name: getattr(result, name).double().mean().item() for name in ("energy", "excess")
        }
    return means


def _test_samples(data: str) -> Tensor:
    """Load the test samples; an error names a source that holds none, and says what to add."""
    try:
        return gfe.data.load(data, split="test").x
    except ValueError as error:
        if isinstance(error, gfe.data.DataError) or "`split`" not in str(error):
            raise
        raise ValueError(
            f"`data` {data} holds no test samples to judge by. Put samples that training never saw "
            f"into a folder `test` beside `train`, {Path(data) / 'test'}, and run the command "
            "again. In Python, `gfe.evaluate(decoder, x)` judges by any samples."
        ) from error
