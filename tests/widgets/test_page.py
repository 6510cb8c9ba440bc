"""A view as a file of its own: whole, small, and safe from what its words hold."""

import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
import torch

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.data import shapes
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.kit.page import page

SHAPES = shapes.make(60, side=8)


@pytest.fixture
def explorer() -> widgets.TraversalExplorer:
    decoder = gfe.MLPDecoder(
        latent_dim=2, hidden=(4,), data_dim=64, generator=torch.Generator().manual_seed(0)
    )
    models = {"</script><script>alert(1)</script>": (decoder, torch.randn(60, 2))}
    return widgets.TraversalExplorer(models, SHAPES, shapes.PARAMETERS, title="Each <latent>")


def test_a_page_holds_everything_it_needs(explorer: widgets.TraversalExplorer, tmp_path: Path):
    path = explorer.save_html(tmp_path / "folder" / "latents.html")
    text = path.read_text(encoding="utf-8")
    assert "<title>Each &lt;latent&gt;</title>" in text
    assert "gfe-traversal" in text
    assert not re.search(r"""https?:|<link|src=|import["' {]|export ?\{""", text)
    assert "<script>alert" not in text
    assert [file.name for file in path.parent.iterdir()] == ["latents.html"]


def test_an_interrupted_save_leaves_the_earlier_file_alone(
    explorer: widgets.TraversalExplorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = explorer.save_html(tmp_path / "latents.html")
    before = path.read_bytes()

    def fail(source: Path, target: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        explorer.save_html(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["latents.html"]


def test_a_plotly_figure_is_saved_with_plotly_in_its_page_in_the_state_that_is_shown(
    tmp_path: Path,
):
    runs = {"a": {"updates": [1.0, 2.0], "seconds": [0.1, 0.2], "energy": [3.0, 2.0]}}
    axes = ("updates", "seconds")
    explorer = widgets.AxesExplorer(runs, axes, y="energy", name="<axes>", alt_text="Two runs.")
    explorer.view.shown = 1
    text = explorer.save_html(tmp_path / "axes.html").read_text(encoding="utf-8")
    assert "<title>&lt;axes&gt;</title>" in text
    assert '"text":"seconds"' in text
    assert not re.search(r"""<script[^>]* src=|<link""", text)
    shown = widgets.show_figure(explorer.view.drawn(), "figure", "Two runs.")
    assert shown.save_html(tmp_path / "figure.html").stat().st_size > 1_000_000, "plotly is in it"


def test_of_several_views_the_first_is_saved_and_a_widget_that_is_none_is_refused(tmp_path: Path):
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(4,), data_dim=64)
    armijo = widgets.ArmijoExplorer(decoder, gfe.data.load("digits", split="test"))
    assert "gfe-player" in armijo.save_html(tmp_path / "armijo.html").read_text(encoding="utf-8")
    slider = Explorer("slider", ipywidgets.IntSlider(), "A slider.")
    with pytest.raises(TypeError, match="Explorer shows a widget that needs its kernel"):
        slider.save_html(tmp_path / "slider.html")
    with pytest.raises(TypeError, match=r"`view` must be a view of the kit, .* VBox"):
        page(armijo.widget, "armijo")
    assert [file.name for file in tmp_path.iterdir()] == ["armijo.html"]


def test_a_path_that_is_none_is_named(explorer: widgets.TraversalExplorer, unchecked: None):
    with pytest.raises(TypeError, match="`path`"):
        explorer.save_html(None)  # pyright: ignore[reportArgumentType]


def test_a_page_without_a_kernel_says_so_to_its_view(explorer: widgets.TraversalExplorer):
    assert 'data-live="false"' in page(explorer.view, "latents")
    assert 'data-live="true"' in page(explorer.view, "latents", live=True)


def test_the_menu_is_answered_with_the_page(tmp_path: Path):
    player = widgets.FlowPlayer(title="one")
    sent: list[dict[str, str]] = []
    player.send = lambda content, buffers=None: sent.append(content)
    player._handle_custom_msg({"ask": "page"}, [])
    player._handle_custom_msg({"ask": "something else"}, [])
    assert [*sent[0]] == ["page"] and len(sent) == 1
    assert sent[0]["page"] == player.save_html(tmp_path / "one.html").read_text(encoding="utf-8")


def state_of(text: str) -> dict[str, Any]:
    """What a page's script reads, by a reader that takes JSON as browsers do."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    (state,) = re.findall(r'<script type="application/json" id="state">(.*?)</script>', text)
    return json.loads(state, parse_constant=refuse)


def test_numbers_that_are_not_finite_are_saved_as_unknown(tmp_path: Path):
    samples = replace(SHAPES.take(3), y=torch.tensor([[torch.nan, 2.0]] * 3))
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(4,), data_dim=64)
    explorer = widgets.SpectrumExplorer(
        decoder,
        samples,
        loss=gfe.Bernoulli(),
        probe=lambda z: torch.tensor([[1.0, torch.inf]]).expand(len(z), -1),
        parameters=("age", "size"),
    )
    assert explorer.view.readings == [["age", None, 1.0], ["size", 2.0, None]]
    explorer.view.level = math.nan  # not inside a list; the next one is deep inside a dict
    explorer.view.defaults = {"sample": 0, "of": [{"more": (-math.inf, 3.0)}]}
    state = state_of(explorer.save_html(tmp_path / "gaps.html").read_text(encoding="utf-8"))
    assert state["readings"] == explorer.view.readings
    assert state["level"] is None
    assert state["defaults"]["of"] == [{"more": [None, 3.0]}]
