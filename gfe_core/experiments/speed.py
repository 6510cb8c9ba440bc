"""How fast codes are found: the table of data/results/bench.json, which `make bench` writes."""

from collections.abc import Mapping
from typing import Any

from gfe_core.experiments.tables.cells import head, row

GAPS = (1e-3, 1.5e-4)
"""What methods are timed to: mean energies above each sample's own basin, in nats per pixel."""

_METHODS = (
    "BFGS",
    "BFGS, each sample stops",
    "AMD, each sample stops",
    "GaussNewton",
    "torch L-BFGS, summed batch",
    "torch Adam, tuned",
)
_DECODERS = {"mnist_one_pass": "one pass", "mnist_six_passes": "six passes"}


def table(found: Mapping[str, Any]) -> str:
    """Seconds to each gap, and what the public code's rule takes, as Markdown."""
    decoders = {key: name for key, name in _DECODERS.items() if key in found}
    some = found[next(iter(decoders))]
    times = {(key, its["method"]): its for key in decoders for its in found[key]["times"]}
    lines = [
        f"{some['images']:,} test images of MNIST at once from z = 0, with the two decoders of "
        "[data/checkpoints](../checkpoints/README.md): seconds of one core until the mean energy "
        "is so many nats per pixel above the bottom of each image's own basin, medians of "
        f"{some['repeats']} interleaved runs. *Not reached:* within nine iterations (GaussNewton) "
        "or twenty (BFGS). L-BFGS sees the sum over the batch, one step length and one curvature "
        "for all images, so that a code depends on its neighbours. Adam's rate was tuned on other "
        "images for each budget.",
        "",
        *head("method", *(f"{name}, {gap:g}" for name in decoders.values() for gap in GAPS)),
    ]
    for method in _METHODS:
        seconds = [times[key, method][f"seconds to {gap:g}"] for key in decoders for gap in GAPS]
        lines.append(row(method, *("not reached" if s is None else f"{s:.1f}" for s in seconds)))
    lengths = [its["c"] for its in some["stretched"]]
    lines += [
        "",
        "Work of the public code's rule, in that of `AMD()`, to a gap of 0.01, with latents c "
        "times as long. Its steps lie between 1 and 10 whatever the curvature is; `AMD()` does the "
        "same work at every length.",
        "",
        *head("decoder", *(f"c = {c:g}" for c in lengths)),
    ]
    for key, name in decoders.items():
        lines.append(row(name, *(f"{its['ratio']:.1f}" for its in found[key]["stretched"])))
    return "\n".join(lines)
