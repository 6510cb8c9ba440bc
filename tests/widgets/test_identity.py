"""A solver or a method has one colour, whatever draws it and whatever stands beside it."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explorers import DIGITS, briefly_trained
from PIL import ImageColor
from problems import SOLVERS

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.widgets.charts import plots
from gfe_core.widgets.charts.figures import PLOTLY
from gfe_core.widgets.kit import identity
from gfe_core.widgets.kit.identity import DASHES, INKS, KINDS, MARKERS, looks
from gfe_core.widgets.player.race_explorer import FIELDS

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
GROUNDS = ((255, 255, 255), (17, 17, 17))  # of JupyterLab's outputs, light and dark


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The contrast ratio of WCAG 2."""
    linear = [
        np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        for c in (np.array(one) / 255, np.array(other) / 255)
    ]
    low, high = sorted(float(c @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in linear)
    return high / low


def test_inks_are_seen_on_light_and_on_dark_ground():
    for ground in GROUNDS:
        # Orange and sky blue are pale on white; dash and marker are there for that.
        assert all(contrast(ImageColor.getrgb(ink), ground) > 2.1 for ink in INKS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_of_a_kind_look_the_same(kind: str):
    found = [*KINDS[kind].values()]
    assert len(set(found)) == len(found)
    assert {look.dash for look in found} <= {*DASHES}
    assert {look.marker for look in found} <= {*MARKERS}


def known_names() -> list[str]:
    """All names with a look of their own, their other names included."""
    text = json.loads(Path(identity.__file__).with_suffix(".json").read_text(encoding="utf-8"))
    entries = chain.from_iterable(text[kind].items() for kind in KINDS)
    return [other for name, entry in entries for other in (name, *entry.get("also", ()))]


SOLVERS_DRAWN_TOGETHER = [*FIELDS.values(), ("AMD", "L-BFGS", "BFGS", "Gauss-Newton", "Adam")]


@pytest.mark.parametrize("field", SOLVERS_DRAWN_TOGETHER, ids=", ".join)
def test_solvers_that_are_drawn_together_differ_in_colour_and_in_marker(field: tuple[str, ...]):
    found = [*looks(field).values()]
    assert len({look.colour for look in found}) == len(field)
    assert len({(look.dash, look.marker) for look in found}) == len(field)


def test_a_name_stands_for_one_thing():
    names = known_names()
    assert len(set(names)) == len(names)


def test_every_solver_of_the_kit_has_a_look():
    classes = {type(solver).__name__ for solver, _ in SOLVERS.values()}
    assert classes <= {*known_names()}


def test_company_does_not_change_the_look_of_a_known_name():
    alone = looks(["AMD"])["AMD"]
    for company in (["a", "b", "AMD"], ["Euler", "AMD"], ["AMD, sigma 0.5", "AMD"]):
        assert looks(company)["AMD"] == alone


def test_relatives_share_a_colour_and_strangers_take_another():
    found = looks(["RK4", "RK4, log grid", "anything", "nothing"])
    colours = {name: look.colour for name, look in found.items()}
    assert colours["RK4"] == colours["RK4, log grid"]
    assert len({*colours.values()}) == 3 and len({*found.values()}) == 4


def test_many_strangers_all_differ():
    names = [str(k) for k in range(20)]
    assert len(set(looks(names).values())) == 20


def colours_of(figure: Any) -> dict[str, str]:
    named = [trace for trace in figure["data"] if "name" in trace]
    return {one["name"]: one["marker" if "marker" in one else "line"]["color"] for one in named}


def test_plots_and_players_draw_a_solver_in_its_colour(generator: torch.Generator):
    line = ([0.0, 1.0], [1.0, 0.5])
    figure = plots.curves(dict.fromkeys(["x", "Euler", "AMD"], line), x_title="x", y_title="y")
    bars = plots.estimates([0.0, 1.0], {"x": line, "AMD": line}, x_title="x", y_title="y")
    expected = {name: look.colour for name, look in KINDS["solvers"].items()}
    for shown in (figure, bars):
        drawn: Any = shown.data
        solvers = [trace for trace in drawn if trace.name in expected]
        assert [trace.marker.color for trace in solvers] == [expected[one.name] for one in solvers]
        assert "AMD" in [trace.name for trace in solvers]
    explorer = widgets.StiffnessExplorer(briefly_trained(generator), DIGITS, solver="RK4")
    player = explorer.player
    assert [look["colour"] for look in player.looks] == [expected[name] for name in player.names]


def test_training_draws_a_method_in_its_colour(generator: torch.Generator):
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=64, generator=generator)
    pairs = {"anything": (decoder, gfe.encode), "autoencoder": (decoder, gfe.encode)}
    side = widgets.SideBySide(DIGITS.x[:4], (8, 8), pairs, every=1)
    gfe.fit(decoder, gfe.data.Batches(DIGITS.x[:20], size=10), epochs=1, callbacks=[side])
    view: Any = side.explorer("side", "Curves.").widget
    _, shown = view.children[0].figure["data"]
    assert shown["line"]["color"] == KINDS["methods"]["autoencoder"].colour


def test_a_name_has_one_colour_in_all_notebooks():
    known = known_names()
    found: dict[str, set[str]] = {}
    for path in NOTEBOOKS.glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", ()):
                if (figure := output.get("data", {}).get(PLOTLY)) is not None:
                    for name, colour in colours_of(figure).items():
                        found.setdefault(name, set()).add(colour)
    named = {name: colours for name, colours in found.items() if name in known}
    assert {"AMD", "Euler", "BFGS", "momentum"} <= {*named}, "run `make refresh`"
    assert named == {name: {looks([name])[name].colour} for name in named}
