"""Speed of encoding: the table of data/results/bench.json, which `make bench` writes."""

from collections.abc import Mapping
from typing import Any

from gfe_core.experiments.tables.cells import head, row

GAPS = (1e-3, 1.5e-4)
"""Gaps that methods are timed to: mean energy above each sample's own basin, nats per pixel."""

_METHODS = (
    "BFGS",
    "BFGS, each sample stops",
    "AMD, each sample stops",
    "GaussNewton",
    "torch L-BFGS, summed batch",
    "torch Adam, tuned",
)
_DECODERS = {"mnist_one_pass": "one pass", "mnist_six_passes": "six passes"}


def table(results: Mapping[str, Any]) -> str:
    """Return seconds to each gap, and the work of the public code's rule, as Markdown."""
    decoders = {key: name for key, name in _DECODERS.items() if key in results}
    first = results[next(iter(decoders))]
    times = {(key, entry["method"]): entry for key in decoders for entry in results[key]["times"]}
    lines = [
        f"{first['images']:,} test images of MNIST at once from z = 0, with the two decoders of "
        "[data/checkpoints](../checkpoints/README.md): seconds of one core until the mean energy "
        "above the bottom of each image's own basin falls to the given gap, in nats per pixel; "
        "medians of "
        f"{first['repeats']} interleaved runs. *Not reached:* within nine iterations (GaussNewton) "
        "or twenty (BFGS). L-BFGS minimizes the sum over the batch, with one step length and one "
        "curvature for all images, so that a code depends on the other images. Adam's rate was "
        "tuned on other images for each budget.",
        "",
        *head("method", *(f"{name}, {gap:g}" for name in decoders.values() for gap in GAPS)),
    ]
    for method in _METHODS:
        seconds = [times[key, method][f"seconds to {gap:g}"] for key in decoders for gap in GAPS]
        lines.append(row(method, *("not reached" if s is None else f"{s:.1f}" for s in seconds)))
    lengths = [entry["c"] for entry in first["stretched"]]
    lines += [
        "",
        "Work of the public code's rule to a gap of 0.01, relative to that of `AMD()`, with "
        "latents c times as long. Its steps lie between 1 and 10 whatever the curvature is; "
        "`AMD()` does the same work at every length.",
        "",
        *head("decoder", *(f"c = {c:g}" for c in lengths)),
    ]
    for key, name in decoders.items():
        lines.append(row(name, *(f"{entry['ratio']:.1f}" for entry in results[key]["stretched"])))
    return "\n".join(lines)
