"""`reproduce two-by-two`: decoders trained by an encoder or by the flow, crossed with encoders.

With how many images does the advantage of the decoder trained by the flow end? The table goes from
480 images to all of them; its cells are those of table1-few and table1-converged.
"""

from collections.abc import Mapping
from typing import Any

from gfe_core.experiments.runner.jobs import Experiment, Job
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.tables import converged, few, settings
from gfe_core.experiments.tables.cells import cells_of, collect, head, row, summaries

COLUMNS = {
    "encoder's decoder: encoder": "autoencoder, encoder",
    "flow": "autoencoder, flow",
    "encoder, then flow": "autoencoder, encoder_then_flow",
    "flow's decoder: encoder fitted to it": "flow, encoder",
    "flow ": "flow, flow",
    "fitted encoder, then flow": "flow, encoder_then_flow",
}


def _jobs() -> list[Job]:
    jobs = [
        job
        for job in few.EXPERIMENT.jobs
        if job.fields["protocol"] == "free" and job.fields["method"] != "logistic_pca"
    ]
    return jobs + converged.jobs("mnist")


def _gather(records: Records) -> dict[str, Any]:
    sizes = {str(n): records.where(protocol="free", n_images=n) for n in settings.FEW}
    sizes["50000"] = records.where(protocol="converged", data="mnist")
    return {"sizes": {n: summaries(collect(of)) for n, of in sizes.items()}}


def _table(content: Mapping[str, Any]) -> str:
    return "\n".join(
        head("images", *COLUMNS)
        + [row(n, *cells_of(cells, COLUMNS)) for n, cells in content["sizes"].items()]
    )


EXPERIMENT = Experiment(
    name="two-by-two",
    question=(
        "Is it the flow's code or the decoder it trained that explains unseen images "
        "better, and until when?"
    ),
    jobs=_jobs(),
    gather=_gather,
    table=_table,
    note=(
        "Each decoder is trained on this number of images of MNIST, as in the last table of "
        "table1-few; the last row has the runs of table1-converged, where the encoder that is "
        "fitted to the flow's decoder has 12 passes and the autoencoder 32."
    ),
)
