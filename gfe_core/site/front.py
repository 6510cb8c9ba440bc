"""The player of the first page: forty digits, each with its landscape, and no kernel."""

from gfe_core.data import load
from gfe_core.models import pretrained
from gfe_core.site.recording import recorded
from gfe_core.site.views import Part
from gfe_core.widgets import FlowExplorer

N_SAMPLES = 40
"""Number of samples, as many as a strip of thumbnails holds."""


def player(data: str = "mnist-sample", n_samples: int = N_SAMPLES, shown: int = 4) -> Part:
    """Return a player with its recorded answers for every sample that can be chosen.

    Args:
        data: name of a data set with a pretrained decoder.
        n_samples: number of samples that can be chosen.
        shown: number of the sample that is shown first.
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
    (part,) = recorded(explorer, n_samples)
    explorer.close()
    return part
