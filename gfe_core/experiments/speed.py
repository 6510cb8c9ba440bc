"""Speed of encoding: the table of data/results/bench.json, which `make bench` writes."""

from collections.abc import Mapping, Sequence
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


def best_peer(times: Sequence[Mapping[str, Any]], gap: float) -> float | None:
    """Return the seconds of the fastest peer that reached a gap, None if none did."""
    key = f"seconds to {gap:g}"
    return min((t[key] for t in times if t["peer"] and t[key] is not None), default=None)


def race_table(raced: Mapping[str, Any]) -> str:
    """Return processor seconds to both gaps in every setting, and the lead over peers."""
    columns = list(raced.values())
    methods = dict.fromkeys(time["method"] for one in columns for time in one["times"])
    lines = [
        "Processor seconds of one thread until the mean energy above the bottom of each image's "
        f"own basin falls to {GAPS[0]:g} and to {GAPS[1]:g} nats per pixel, on test images of "
        "MNIST from z = 0, compilation apart. *> s*: not reached within the longest run, of s "
        "seconds; a method got no larger budgets once a run had clearly taken longer than the "
        "longest of LBFGS. *-*: not raced in this setting. A method's own rate, scale or damping "
        "was chosen on other images.",
        "",
        *head("method", *(_heading(one) for one in columns)),
    ]
    for method in methods:
        lines.append(row(method, *(_seconds(one, method) for one in columns)))
    lines.append(row("**LBFGS over the best peer**", *map(_lead, columns)))
    left = {(out["method"], out["reason"]) for one in columns for out in one["left_out"]}
    lines += ["", *(f"Left out: {method}, {reason}." for method, reason in sorted(left))]
    return "\n".join(lines).rstrip()


def _heading(one: Mapping[str, Any]) -> str:
    runs = f"{one['repeats']} runs" if one["repeats"] > 1 else "1 run"
    decoder = one["decoder"].replace("_", " ")
    return f"{decoder}, {one['latents']} latents, {one['images']:,} images, {runs}"


def _seconds(one: Mapping[str, Any], method: str) -> str:
    time = next((time for time in one["times"] if time["method"] == method), None)
    if time is None:
        return "-"
    reached = [time[f"seconds to {gap:g}"] for gap in GAPS]
    return " / ".join(f"> {time['longest']:.2g}" if s is None else f"{s:.2g}" for s in reached)


def _lead(one: Mapping[str, Any]) -> str:
    shares = []
    for gap in GAPS:
        own = next(time for time in one["times"] if time["method"] == "LBFGS")
        seconds, peer = own[f"seconds to {gap:g}"], best_peer(one["times"], gap)
        shares.append("-" if seconds is None or peer is None else f"{seconds / peer:.2f}")
    return " / ".join(shares)
