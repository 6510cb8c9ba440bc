"""How a trained decoder is judged: on all test images, by every way to a code that it has."""

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
"""Options of `encode` by which decoders are judged; all are written out, as are those of `STOP`."""
PRECISE = partial(gfe.encode, **TO_REST)
"""How codes are found when a decoder is judged: from the origin to rest."""


def in_words(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of an encoder as plain values, for the settings of a job.

    Solvers, losses and rules are given as the code that makes them.
    """
    plain = (bool, int, float, str, type(None))
    return {
        name: value if isinstance(value, plain) else repr(value) for name, value in options.items()
    }


def precise_for(loss: AnyLoss | None, *, gaps: bool = False) -> Encoder:
    """Return what finds codes by another loss, or of samples with gaps, as precisely."""
    if loss is None and not gaps:
        return PRECISE
    return partial(gfe.encode_observed if gaps else gfe.encode, loss=loss, **TO_REST)


def ways(network: encoders.Autoencoder | None, precise: Encoder = PRECISE) -> dict[str, Encoder]:
    """All ways to a code.

    The flow from the origin and, with a network, its guess and the flow from there.
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
    ways: Mapping[str, Encoder],
    data: str,
    scaling: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Mean energy and excess over the floor of all test images, by way to a code.

    Samples without any observed feature are left out. Data are converted by `scaling`, as they
    were for training.
    """
    x = _test_samples(data)
    x = x[observed_somewhere(x)]
    if scaling is not None:
        x = (x - scaling["mean"]) / scaling["scale"]
    found = {}
    for way, encoder in ways.items():
        result = gfe.evaluate(decoder, x, encoder=encoder)
        found[way] = {
            name: getattr(result, name).double().mean().item() for name in ("energy", "excess")
        }
    return found


def _test_samples(data: str) -> Tensor:
    """Load the samples to judge by; a source that holds none is named, with what to add."""
    try:
        return gfe.data.load(data, split="test").x
    except ValueError as error:
        if isinstance(error, gfe.data.DataError) or "`split`" not in str(error):
            raise
        raise ValueError(
            f"`data` {data} holds no test samples to judge by. Put those that training never saw "
            f"into a folder `test` beside `train`, {Path(data) / 'test'}, and give the command "
            "again. In Python, `gfe.evaluate(decoder, x)` judges by any samples."
        ) from error
