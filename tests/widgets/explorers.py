"""What the tests of the explorers share.

A few digits, a decoder that has seen them, and a browser's request.
"""

from functools import cache
from typing import Any

import torch

import gfe_core as gfe
from gfe_core.widgets.player.landscape_explorer import LandscapeExplorer

DIGITS = gfe.data.load("digits", split="test").take(40)


def briefly_trained(generator: torch.Generator) -> gfe.MLPDecoder:
    """Return a decoder that has seen a few digits: its landscapes have slopes."""
    decoder = gfe.MLPDecoder(latent_dim=4, hidden=(16,), data_dim=64, generator=generator)
    gfe.fit(decoder, gfe.data.Batches(DIGITS.x, size=20), epochs=3)
    return decoder


@cache
def shared_decoder() -> gfe.MLPDecoder:
    """Return the same decoder, trained once for all tests: nobody may change it."""
    return briefly_trained(torch.Generator().manual_seed(0))


def ask(
    explorer: LandscapeExplorer, number: int, *, start: list[float] | None = None, **values: Any
) -> None:
    """What the browser does when a control is released."""
    explorer.player.request = {
        "id": number,
        "start": start,
        "values": values,
        "changed": "something",
    }
