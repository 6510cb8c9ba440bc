"""Tables of `missing`, for `show_result`: energies of hidden pixels by kind of gap and method."""

from collections.abc import Mapping
from typing import Any

from gfe_core.widgets.kit.explorer import Document
from gfe_core.widgets.tables import Table, show_table

_AT_RANDOM = "50 % at random"
"""The kind of gap with which decoders were also trained on incomplete images."""


def hidden_pixels(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Tabulate energies with one row for each method and one column for each kind of gap.

    The lowest energy of each column is marked. The last column is the largest standard deviation
    over seeds in the row.

    Args:
        result: content of the file; result["energy"][mask][method] has "mean" and "sd" over seeds,
            in nats per hidden pixel.
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    energy: Mapping[str, Mapping[str, Any]] = result["energy"]
    methods = dict.fromkeys(method for by_method in energy.values() for method in by_method)
    rows: dict[str, list[float | None]] = {}
    for method in methods:
        known = [by_method[method]["sd"] for by_method in energy.values() if method in by_method]
        rows[method] = [_mean(by_method, method) for by_method in energy.values()] + [max(known)]
    caption = (
        "Mean energy of hidden pixels, nats per pixel, and the largest standard deviation over "
        "seeds in a row."
    )
    columns = ("hidden", *energy, "spread up to")
    table = Table(columns, rows, caption, compared=[*energy], digits=3, down=True)
    return show_table(table, name, alt_text)


def incomplete(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """Tabulate energies with one row for each method, trained on whole images and on halves.

    Both decoders fill gaps of half of the pixels, chosen at random, in new images.

    Args:
        result: content of the file; result["energy"]["50 % at random"][method] and
            result["incomplete"][method] have "mean" and "sd" over seeds, in nats per hidden pixel.
        name: name of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    whole, halves = result["energy"][_AT_RANDOM], result["incomplete"]
    rows: dict[str, list[float | None]] = {
        method: [_mean(whole, method), whole[method]["sd"], half["mean"], half["sd"]]
        for method, half in halves.items()
    }
    columns = ("trained on", "whole images", "spread", "half of each image", "spread")
    caption = (
        "Mean energy of hidden pixels, nats per pixel, where half of the pixels are hidden at "
        "random; spread: standard deviation over seeds."
    )
    compared = ("whole images", "half of each image")
    table = Table(columns, rows, caption, compared=compared, digits=3, down=True)
    return show_table(table, name, alt_text)


def _mean(by_method: Mapping[str, Any], method: str) -> float | None:
    return by_method[method]["mean"] if method in by_method else None
