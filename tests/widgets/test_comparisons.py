"""Comparisons that are shown.

Side by side while training, against several axes, and from files of results.
"""

import base64
import io
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explorers import DIGITS
from PIL import Image

import gfe_core as gfe
from gfe_core import encoders, widgets
from gfe_core.data import results
from gfe_core.widgets.charts import plots
from gfe_core.widgets.kit.explorer import Document

SHOWN = {"name": "toy", "alt_text": "A toy."}
RUNS = {
    "a": {"images": [10, 20, 20], "seconds": [1, 2, 3], "excess": [0.3, 0.2, 0.1]},
    "b": {"images": [5, 10], "seconds": [2, 4], "excess": [0.4, 0.3]},
}


def trained(generator: torch.Generator, **options: Any) -> widgets.SideBySide:
    """Three rounds of a linear decoder, judged beside an untrained autoencoder."""
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=64, generator=generator)
    twin = gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=64, generator=generator)
    guess = encoders.Autoencoder.mirror(twin, generator=generator)
    pairs = {"flow": (decoder, gfe.encode), "autoencoder": (twin, guess)}
    side = widgets.SideBySide(DIGITS.x[:10], (8, 8), pairs, n_drawn=3, **options)
    gfe.fit(decoder, gfe.data.Batches(DIGITS.x[:30], size=10), epochs=2, callbacks=[side])
    return side


def test_all_competitors_are_judged_at_the_same_updates_by_their_own_means(
    generator: torch.Generator,
):
    side = trained(generator, every=3)
    assert side.updates == [1, 4, 6] and side.images == [10, 40, 60]
    decoder, encoder = side.competitors["autoencoder"]
    own = gfe.evaluate(decoder, side.x, encoder=encoder).excess.mean().item()
    assert side.excess["autoencoder"] == pytest.approx([own] * 3)
    assert side.excess["flow"][-1] < side.excess["flow"][0]


def test_picture_has_a_row_for_the_images_and_each_competitor(generator: torch.Generator):
    side = trained(generator)
    assert side.picture().shape == (3 * 10, 3 * 10)  # 8 x 8 pixels and their margins
    decoder, encoder = side.competitors["autoencoder"]
    drawn = gfe.reconstruct(decoder, encoder(decoder, side.x[:3]))
    assert (side.picture()[20:] == widgets.gallery([drawn], (8, 8))).all()


def test_explorer_shows_the_curve_of_each_competitor(generator: torch.Generator):
    side = trained(generator)
    view: Any = side.explorer("side", "Curves.").widget
    drawn: Any = view.children[0].drawn()
    assert {run.name: list(run.y) for run in drawn.data} == {
        told: pytest.approx(curve, rel=1e-5) for told, curve in side.excess.items()
    }
    with pytest.raises(ValueError, match="No look yet"):
        trained(generator, at=()).explorer("none", "Nothing.")


def test_looks_at_chosen_updates_become_runs_whose_images_are_counted_once(
    generator: torch.Generator,
):
    runs = trained(generator, at=(2, 5)).runs(n_distinct=30)
    assert runs["flow"]["decoder updates"] == [2, 5] and runs["flow"]["distinct images"] == [20, 30]
    seconds = runs["flow"]["seconds"]
    assert 0 < seconds[0] < seconds[1]
    widgets.AxesExplorer(runs, ("distinct images", "seconds"), "excess", **SHOWN)


def test_another_axis_moves_points_sideways_only():
    explorer = widgets.AxesExplorer(RUNS, ("images", "seconds"), "excess", **SHOWN)
    view = explorer.view
    first = view.shown
    drawn: list[Any] = []
    for view.shown in (1, first):
        drawn.append(view.drawn())
    seconds, images = drawn
    assert list(seconds.data[0].x) == [1, 2, 3] and list(seconds.data[1].x) == [2, 4]
    assert list(seconds.data[1].y) == list(images.data[1].y) == [0.4, 0.3]
    assert seconds.layout.xaxis.title.text == "seconds"
    assert "excess against seconds" in view.changes[1]["words"]
    assert list(images.data[0].x) == [10, 20, 20]


@pytest.mark.parametrize(
    ("high", "ticks"),
    [
        (33.0, {"tickmode": "auto"}),
        (1000.0, {"tickmode": "array"}),
        (3e4, {"tickmode": "linear", "dtick": 1}),
        (3e20, {"tickmode": "linear", "dtick": 3}),
    ],
)
def test_logarithmic_axis_is_labelled_by_the_decades_it_spans(high: float, ticks: dict[str, Any]):
    curve = plots.curves({"": ([30, high], [0.05, 0.2])}, log=True, x_title="", y_title="")
    shown: Any = widgets.show_figure(curve, **SHOWN).figure
    axis = shown.layout.xaxis
    assert {key: axis[key] for key in ticks} == ticks
    if ticks["tickmode"] == "array":
        assert {50, 100, 200, 500, 1000} <= set(axis.tickvals)
        assert {"50", "100", "200", "500", "1000"} <= set(axis.ticktext)


def test_a_run_that_lacks_an_axis_is_refused():
    with pytest.raises(ValueError, match=r"`runs\['a'\]` must hold 'updates'"):
        widgets.AxesExplorer(RUNS, ("images", "updates"), "excess", **SHOWN)


def test_table_marks_the_lowest_of_each_row_and_leaves_gaps_open():
    table = widgets.Table(("", "a", "b"), {"first": [0.2, 0.1], "second": [0.3, None]})
    assert table.cells()[0] == [("first", False), ("0.2000", False), ("0.1000", True)]
    assert table.cells()[1] == [("second", False), ("0.3000", False), ("–", False)]
    assert table.html().count("<u>") == 1


def test_a_mean_with_its_spread_is_compared_by_its_mean():
    rows = {"first": [(0.2, 0.01), (0.1, 0.3)], "one seed": [(0.3, None), 0.4]}
    cells = widgets.Table(("", "a", "b"), rows).cells()
    assert cells[0][1:] == [("0.2000 ± 0.0100", False), ("0.1000 ± 0.3000", True)]
    assert cells[1][1:] == [("0.3000", True), ("0.4000", False)]


def test_each_row_of_a_gallery_stands_beside_its_name():
    rows = {"unseen <5>": DIGITS.x[:3], "drawn": 1 - DIGITS.x[:3]}
    view: Any = widgets.show_gallery(rows, (8, 8), **SHOWN, width=60).widget
    lines = view.value.split("<tr>")[1:]
    assert [("unseen &lt;5&gt;</th>" in line, "drawn</th>" in line) for line in lines] == [
        (True, False),
        (False, True),
    ]
    for line, x in zip(lines, rows.values(), strict=True):
        png = base64.b64decode(line.split("base64,")[1].split('"')[0])
        drawn = np.asarray(Image.open(io.BytesIO(png)))
        assert np.array_equal(drawn[::2, ::2], widgets.gallery([x], (8, 8)))


def test_table_refuses_a_row_of_another_length():
    with pytest.raises(ValueError, match="2 numbers each"):
        widgets.Table(("", "a", "b"), {"first": [0.2]})


WAYS = (
    "mean, encoder",
    "autoencoder, encoder",
    "autoencoder, flow",
    "autoencoder, encoder_then_flow",
    "flow, encoder",
    "flow, flow",
)


def measured() -> dict[str, Any]:
    energies = {key: 0.2 - 0.01 * k for k, key in enumerate(WAYS)}
    return {
        key: {"mean": energy, "sd": 0.001, "by_seed": {"0": energy, "1": energy}}
        for key, energy in energies.items()
    }


def of_grid(encoder: str) -> dict[str, Any]:
    means = {
        key: {"mean": 0.1, "by_seed": {"0": 0.1}}
        for key in ("own codes", "climb", "curvature", "seconds")
    }
    return {**means, "batches": 100, "grid limit": None if encoder == "AMD" else 0.03}


def content(experiment: str) -> dict[str, Any]:
    """What `reproduce` would write, with made-up numbers."""
    picture = base64.b64encode(bytes(range(196)) * 4 * 10).decode()
    points = [
        {"images": n, "updates": n // 20, "cpu_seconds": n / 100, "energy": {"mean": 9 / n}}
        for n in (480, 960)
    ]
    parts: dict[str, dict[str, Any]] = {
        "table1-few": {"published": {"480": {"autoencoder": 0.266, "flow": 0.21, "mixed": 0.263}}}
        | {protocol: {"480": measured()} for protocol in ("single", "once", "free")},
        "table1-converged": {
            "published": {"mnist": {"autoencoder": 0.08}},
            "energy": {"mnist": measured()},
        },
        "two-by-two": {"sizes": {"480": measured(), "50000": measured()}},
        "fig1": {
            "curves": dict.fromkeys(("flow", "autoencoder", "logistic_pca"), points),
            "twelve_passes": {
                "images": 960,
                "updates": 500,
                "cpu_seconds": 2,
                "energy": {"mean": 0.1},
            },
        },
        "fig2": {
            updates: {encoder: of_grid(encoder) for encoder in ("AMD", "equal steps")}
            for updates in ("gentle", "large")
        },
        "fig3": {"x": picture, "rows": {"flow, 480 images": {"drawn": picture}}},
    }
    cells = {
        "a": {"fields": {"passes": 1}, "curve": []},
        "b": {"fields": {}, "test": {"flow": {"energy": 0.1, "excess": 0.04}}},
    }
    if experiment == "fig2":
        cells = {
            f"{encoder}, {seed}": {
                "fields": {"encoder": encoder, "updates": "gentle", "seed": seed},
                "curvature": [{"batch": n, "largest": 0.01 * seed} for n in (50, 100)],
            }
            for encoder in ("AMD", "equal steps", "with the integral")
            for seed in (1, 2)
        }
    return parts[experiment] | {"cells": cells}


SHOWS = {
    "table1-few": widgets.paper.seen_once,
    "table1-converged": widgets.paper.all_images,
    "two-by-two": widgets.paper.two_by_two,
    "fig1": widgets.paper.one_pass,
    "fig2": widgets.paper.grids,
    "fig3": widgets.paper.drawings,
}


@pytest.mark.parametrize("experiment", SHOWS)
def test_result_is_shown_and_a_missing_one_names_its_command_in_the_same_words(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(results, "folder", lambda: tmp_path)
    missing = widgets.show_result(experiment, SHOWS[experiment], **SHOWN)
    assert isinstance(missing, Document)
    assert (f"python -m gfe_core reproduce {experiment}") in missing.data["text/html"]
    results.path(experiment).write_text(json.dumps(content(experiment)))
    shown = widgets.show_result(experiment, SHOWS[experiment], **SHOWN)
    assert repr(shown) == repr(missing) == "Explorer('toy'): A toy."
    assert type(shown) is not Document or shown.data != missing.data


def test_published_numbers_stand_above_ours():
    table = widgets.paper.seen_once(content("table1-few"), **SHOWN).data["text/html"]
    assert table.index("480 images, published") < table.index("480 images, ours")
    assert "0.2660<" in table and "0.1900 ± 0.0010" in table
    assert "PCA" not in table, "a column that nobody filled is left out"


def test_images_seen_often_stand_in_a_table_of_their_own():
    often = widgets.paper.seen_often(content("table1-few"), **SHOWN).data["text/html"]
    assert often.index("480 images, rehearsed") < often.index("480 images, many passes")
    assert "published" not in often


def cells_in(html: str) -> list[str]:
    return [unescape(cell) for cell in re.findall(r"<td[^>]*>(?:<strong><u>)?([^<]*)", html)]


def test_shares_of_code_and_decoder_add_up_to_what_the_flow_gains():
    table = widgets.paper.shares(content("two-by-two"), **SHOWN).data["text/html"]
    rows = [cells_in(row) for row in table.split("<tr>")[2:]]
    assert rows[0][0] == "480 images, from the origin"
    assert rows[1][0] == "480 images, from the AE's code"
    assert rows[0][4:] == ["0.0100 ± 0.0000", "0.0300 ± 0.0000"]
    assert rows[1][4:] == ["0.0200 ± 0.0000", "0.0200 ± 0.0000"]


def test_of_480_images_about_half_of_the_gain_is_the_codes():
    table = widgets.paper.shares(results.load("two-by-two"), **SHOWN).data["text/html"]
    energies = [float(cell.split(" ± ")[0]) for cell in cells_in(table)[1:6]]
    assert energies == [0.1703, 0.1387, 0.1027, 0.0316, 0.0361]


def test_curvature_is_drawn_as_a_mean_over_seeds_beside_the_limit_of_the_grid():
    shown: Any = widgets.paper.curvature(content("fig2"), **SHOWN)
    curves = {trace.name: [*trace.y] for trace in shown.figure.data}
    assert curves["AMD"] == pytest.approx([0.015, 0.015]) and "with the integral" not in curves
    assert curves["limit of equal steps"] == pytest.approx([0.03, 0.03])


def test_two_by_two_draws_the_excess():
    shown: Any = widgets.paper.two_by_two(content("two-by-two"), **SHOWN)
    figure = shown.figure
    assert figure.data[0].y[0] == pytest.approx(0.19 - 0.06)


def test_one_pass_has_a_point_for_the_autoencoder_that_went_on():
    explorer = widgets.paper.one_pass(content("fig1"), **SHOWN)
    assert isinstance(explorer, widgets.AxesExplorer)
    explorer.view.shown = 1
    drawn: Any = explorer.view.drawn()
    assert drawn.layout.xaxis.title.text == "decoder updates"
    assert [len(run.x) for run in drawn.data] == [2, 2, 2, 1] and list(drawn.data[3].x) == [500]
