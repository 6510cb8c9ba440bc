"""Describe the flows that the browser follows by itself during a drag (preview.js)."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from gfe_core.types import AnyLoss, Decoder
from gfe_core.widgets.kit.engine import Recipe, described, portable
from gfe_core.widgets.player.slices import Plane

Recipes = Callable[[dict[str, Any]], Mapping[str, Recipe]]
"""A function from the values of the controls to the recipe of each track."""


def grounds_for(
    decoder: Decoder, loss: AnyLoss, plane: Plane, x: Tensor, image_shape: tuple[int, ...]
) -> dict[str, Any]:
    """Describe the parts of a view that stay the same while tracks change.

    Args:
        decoder: decoder of the landscape.
        loss: loss of the energy.
        plane: plane of the landscape.
        x: sample, (features,).
        image_shape: shape of the sample as an image.

    Returns:
        A dictionary for JSON, which has under "numbers" float32 bytes: the weights, then the
        sample.

    Raises:
        Unportable: the browser cannot repeat the decoder or the loss.
    """
    traits = portable(decoder, loss)
    weights = traits.pop("weights")
    n_pixels = math.prod(image_shape[-2:])
    seen_from = {"origin": plane.origin.tolist(), "axes": plane.axes.tolist()}
    numbers = weights + x.float().numpy().tobytes()
    return traits | {"plane": seen_from, "n_pixels": n_pixels, "numbers": numbers}


def recipes_for(
    recipes: Recipes, values: dict[str, Any], controls: list[dict[str, Any]]
) -> dict[str, Any]:
    """Describe the recipes of the tracks, and the effect of each control on them.

    Args:
        recipes: function from values of the controls to recipes.
        values: present values of the controls.
        controls: controls that the reader can drag, in the form of `FlowPlayer.controls`.

    Raises:
        Unportable: the browser does not have a solver of a track.
    """
    now = _all_described(recipes, values)
    turns = {}
    for control in controls:
        name = control["name"]
        stops = _stops(control)
        by_stop = [_all_described(recipes, values | {name: stop}) for stop in stops]
        turns[name] = {
            "stops": stops,
            "tracks": [_changes(versions) for versions in zip(*by_stop, strict=True)],
        }
    return {"recipes": now, "turns": turns}


def _all_described(recipes: Recipes, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [described(recipe) for recipe in recipes(values).values()]


def _stops(control: dict[str, Any]) -> list[float]:
    """Return the values at which a slider stops."""
    if "options" in control:
        return control["options"]
    low, high, step = control["min"], control["max"], control["step"]
    return (low + step * np.arange(round((high - low) / step) + 1)).tolist()


def _changes(versions: tuple[dict[str, Any], ...]) -> dict[str, list[Any]]:
    """Return the values of the fields in which versions of a recipe differ."""
    flat = [_flat(version) for version in versions]
    return {
        field: [one[field] for one in flat]
        for field, first in flat[0].items()
        if any(one[field] != first for one in flat)
    }


def _flat(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a recipe by name, such as "solver.dt"."""
    fields: dict[str, Any] = {}
    for name, value in recipe.items():
        if isinstance(value, dict):
            fields |= {f"{name}.{inner}": number for inner, number in value.items()}
        else:
            fields[name] = value
    return fields
