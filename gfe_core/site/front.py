"""The player of the first page: forty digits, each with its landscape, and no kernel."""

import base64
from typing import Any

from gfe_core.data import load
from gfe_core.models import pretrained
from gfe_core.site.packing import in_base64
from gfe_core.site.views import Part
from gfe_core.widgets import FlowExplorer
from gfe_core.widgets.kit.page import synced

N_SAMPLES = 40
"""As many as a strip of thumbnails holds."""
_FOLLOWED = {"trajectory", "off_plane", "energies", "steps", "frames", "shape", "n_frames", "notes"}
"""Traits of the film, which the browser makes by itself from a decoder and a start."""


def player(data: str = "mnist-sample", n_samples: int = N_SAMPLES, shown: int = 4) -> Part:
    """Return a player with what it answers when another sample is chosen.

    Its "answers" are, for each sample, the traits in which its view differs from that of the first
    one shown, but for the film and the weights: kit/answering.js follows the flow again.

    Args:
        data: name of a data set that a decoder comes trained on.
        n_samples: that can be chosen.
        shown: the first.
    """
    model = pretrained(data)
    samples = load(data, "test").take(n_samples)
    explorer = FlowExplorer(
        model.decoder,
        samples,
        name="front page",
        sample=shown,
        controls=["sample"],
        title="Play it, or drag the cross",
        playing=True,
    )
    first = synced(explorer.player)
    n_weights = len(explorer.player.preview_numbers) - 4 * samples.x.shape[1]
    answers = {}
    for sample in range(n_samples):
        explorer.turn(sample=sample)
        answers[str(sample)] = _difference(first, synced(explorer.player), n_weights)
    explorer.close()
    return {"bundle": "player", "state": first | {"code": ""}, "answers": answers}


def _difference(first: dict[str, Any], now: dict[str, Any], n_weights: int) -> dict[str, Any]:
    own = {name: one for name, one in now.items() if one != first[name] and name not in _FOLLOWED}
    numbers = base64.b64decode(now["preview_numbers"]["base64"])[n_weights:]
    return own | {"preview_numbers": in_base64(numbers)}
