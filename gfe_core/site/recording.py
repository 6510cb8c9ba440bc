"""Record an explorer's answers to each choice of its controls while its kernel runs.

A page has no kernel. The browser computes flows by itself. Everything else is recorded: other
samples with their landscapes, and other solvers with the data that the browser needs to run them.
`kit/standin.js` looks the answers up.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from gfe_core.site.views import Part, parts_of
from gfe_core.widgets.kit.page import in_base64
from gfe_core.widgets.player.landscape_explorer import LandscapeExplorer

N_SAMPLES = 6
"""Number of samples of each player on the page of a notebook."""
_MOST = 60
"""Largest number of recorded answers of a player whose flow the browser computes."""
_MOST_FILMS = 12
"""Largest number of recorded answers of a player whose films are recorded too."""
_FOLLOWED = {"trajectory", "off_plane", "energies", "steps", "frames", "shape", "n_frames"}
"""Traits of a film, which the browser computes from a decoder and a start."""
_OF_THE_HAND = {"frame", "playing", "start", "request", "reply", "code", "defaults"}
"""Traits that no control changes, or that a page does not need."""


def recorded(explorer: LandscapeExplorer, n_samples: int = N_SAMPLES) -> list[Part]:
    """Return the parts of an explorer whose player has its "answers".

    The answers are {"choices", "states"}. "choices" lists the recorded controls with their options.
    "states" maps each combination of options, by their indices, to the traits in which each part
    differs from what is shown first. The strip offers only the samples that are recorded.

    Args:
        explorer: explorer to record; afterwards it shows the same as before.
        n_samples: number of samples that can be chosen.
    """
    player = explorer.player
    before, start = dict(player.values), [*player.start]
    rows = _rows(player.thumbnail_rows, before.get("sample", 0), n_samples)
    choices = _choices(explorer, rows)
    parts = [_offering(part, rows) for part in parts_of(explorer)]
    states = {}
    for places in product(*(range(len(options)) for options in choices.values())):
        turned = {name: choices[name][k] for name, k in zip(choices, places, strict=True)}
        explorer.turn(**turned)
        now = [_offering(part, rows) for part in parts_of(explorer)]
        key = " ".join(map(str, places))
        states[key] = [_difference(*pair) for pair in zip(parts, now, strict=True)]
    explorer.turn(**before, start=start)
    parts[0]["answers"] = {"choices": list(choices.items()), "states": states}
    return parts


def _rows(rows: Sequence[int], shown: int, n: int) -> list[int]:
    """Return the first samples of the strip, including the one that is shown."""
    return sorted({shown, *[row for row in rows if row != shown][: n - 1]})


def _choices(explorer: LandscapeExplorer, rows: Sequence[int]) -> dict[str, list[Any]]:
    """Return the controls to record, with their options, up to the largest number of answers.

    Controls that change the decoder are left out, because its weights are large. So are controls
    that the browser handles by itself.
    """
    most = _MOST if "recipes" in explorer.player.preview else _MOST_FILMS
    choices: dict[str, list[Any]] = {}
    for control in explorer.player.controls:
        name, strip = control["name"], control["kind"] == "strip"
        options = list(rows) if strip else control.get("options", [])
        n = math.prod(map(len, choices.values())) * len(options)
        left_out = not strip and name in (*explorer.ground, *explorer.dragged)
        if 0 < n <= most and not left_out:
            choices[name] = options
    return choices


def _offering(part: Part, rows: Sequence[int]) -> Part:
    """Return a part whose strip offers only these samples."""
    state = part.get("state", {})
    if "thumbnails" not in state:
        return part
    every = state["thumbnail_rows"]
    places = [every.index(row) for row in rows] if every else []
    levels, (n, *shape) = base64.b64decode(state["thumbnails"]["base64"]), state["thumbnail_shape"]
    size = len(levels) // max(n, 1)
    thumbnails = b"".join(levels[size * k : size * (k + 1)] for k in places)
    controls = [
        {key: value for key, value in control.items() if (control["kind"], key) != ("strip", "max")}
        for control in state["controls"]
    ]
    offered = {
        "thumbnails": in_base64(thumbnails),
        "thumbnail_shape": [len(places), *shape],
        "thumbnail_labels": [state["thumbnail_labels"][k] for k in places],
        "thumbnail_rows": [*rows] if every else [],
        "controls": controls,
    }
    return part | {"state": state | offered}


def _difference(first: Part, now: Part) -> Mapping[str, Any]:
    """Return the traits that a choice has changed; a film only if the browser cannot compute it."""
    if "state" not in now:
        return {key: value for key, value in now.items() if value != first[key]}
    before, state = first["state"], now["state"]
    left = _OF_THE_HAND | (_FOLLOWED if "recipes" in state.get("preview", {}) else set())
    changed = {name: one for name, one in state.items() if one != before[name]}
    own = {name: one for name, one in changed.items() if name not in left}
    if "preview_numbers" in own and "recipes" in state["preview"]:
        own["preview_numbers"] = _of_the_sample(state)
    return own


def _of_the_sample(state: Mapping[str, Any]) -> dict[str, str]:
    """Return the numbers of a sample, without the weights before them, which do not change."""
    n = state["preview"]["layers"][-1]["outputs"]
    return in_base64(base64.b64decode(state["preview_numbers"]["base64"])[-4 * n :])
