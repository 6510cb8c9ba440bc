from typing import Any

import numpy as np

from gfe_core.training.fitting import History
from gfe_core.widgets.charts import plots


def drawn(figure: Any) -> Any:
    """The figure without its types, which know no traces."""
    return figure


def test_curves_differ_by_colour_dash_and_marker():
    figure = drawn(
        plots.curves(
            {"a": ([1, 2], [1, 2]), "b": ([1, 2], [2, 1])}, x_title="x", y_title="y", log=True
        )
    )
    looks = [(line.line.color, line.line.dash, line.marker.symbol) for line in figure.data]
    assert all(one != other for one, other in zip(*looks, strict=True))
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


def test_legend_lies_under_the_plot_away_from_the_toolbar():
    legend = drawn(plots.curves({"a": ([1], [1])}, x_title="x", y_title="y")).layout.legend
    assert legend.yref == "container" and legend.y == 0 and legend.yanchor == "bottom"


def test_what_travels_to_the_browser_is_one_dimensional_float32():
    figure = drawn(plots.curves({"a": (range(3), np.ones((3, 1)))}, x_title="x", y_title="y"))
    line = figure.data[0]
    assert line.x.dtype == line.y.dtype == np.float32 and line.y.shape == (3,)


def test_learning_curves_show_the_floor_over_the_whole_width():
    history = History(
        images=[64, 128], energy=[0.6, 0.5], step=[1, 2], work=[1.0, 1.0], seconds=[0.1, 0.2]
    )
    figure = drawn(plots.learning_curves({"run": history}, floor=0.2))
    assert [line.name for line in figure.data] == ["run", "floor"]
    assert list(figure.data[1].x) == [64, 128] and set(figure.data[1].y) == {np.float32(0.2)}
    assert "images" in figure.layout.xaxis.title.text


def test_estimates_have_bars_of_two_errors_around_each_mean_and_a_diagonal():
    picture = drawn(
        plots.estimates([1.0, 3.0], {"a": ([1.5, 2.0], [0.5, 0.1])}, x_title="x", y_title="y")
    )
    equal, bars, means = picture.data
    assert list(equal.x) == list(equal.y) == [1.0, 3.0]
    assert np.allclose(bars.y, [0.5, 2.5, np.nan, 1.8, 2.2, np.nan], equal_nan=True)
    assert np.allclose(bars.x, [1, 1, np.nan, 3, 3, np.nan], equal_nan=True)
    assert (
        list(means.x) == [1.0, 3.0] and list(means.y) == [1.5, 2.0] and means.y.dtype == np.float32
    )
