"""Tables of the results of gradient origin networks."""

from typing import Any

import pytest

from gfe_core import widgets
from gfe_core.widgets.results import gon as paper_gon


def one(mean: float) -> dict[str, Any]:
    return {"mean": mean, "sd": 0.25, "seeds": 3}


RESULT: dict[str, Any] = {
    "error": {
        "mnist": {"GON": one(3.0), "GON, detached": one(9.0)},
        "fashion-mnist": {"GON": one(7.0)},
    },
    "parameters": {"GON": 74097, "GON, detached": 74097},
    "seconds": {
        "mnist": {"GON": {"60": one(4.0), "3": one(8.0)}, "GON, detached": {"3": one(6.0)}}
    },
    "samples": [
        [{"updates": 25, "precision": 0.2, "recall": 0.5, "normality": 0.1}],
        [{"updates": 25, "precision": 0.4, "recall": 0.7, "normality": 0.3}],
    ],
    "places": {
        "updates": [50, 100],
        "time_ratio": one(0.296),
        "curves": {"every place": [40.0, 30.0], "a quarter of the places": [44.0, 35.0]},
    },
    "bound": {"mnist": {"variational GON": one(112.0), "VAE": one(101.25)}},
}


def test_errors_mark_the_lowest_of_each_set_and_count_parameters():
    shown = paper_gon.errors(RESULT, name="errors", alt_text="Errors.")
    html = shown.data["text/html"]
    heads = ["method", "parameters", "mnist", "fashion-mnist", "mnist, 3 s", "mnist, 60 s"]
    assert [html.index(f">{head}<") for head in heads] == sorted(
        html.index(f">{head}<") for head in heads
    )
    assert html.count("74,097") == 2 and html.count("–") == 2
    assert "<u>3.00 ± 0.25</u>" in html and "<u>6.00 ± 0.25</u>" in html
    assert html.count("<u>") == 2, "a number alone, and a count of parameters, is not the lowest"


def test_bounds_are_read_by_columns():
    html = paper_gon.bounds(RESULT, name="bounds", alt_text="Bounds.").data["text/html"]
    assert "<u>101.2 ± 0.2</u>" in html and "112.0 ± 0.2" in html and html.count("<u>") == 1


@pytest.mark.parametrize("show", [paper_gon.errors, paper_gon.bounds])
def test_file_with_errors_alone_is_shown(show: Any):
    shown = show({"error": RESULT["error"]}, name="part", alt_text="A part.")
    assert "<table>" in shown.data["text/html"]


def test_lowest_of_a_column_ignores_rows_and_columns_that_do_not_count():
    rows = {"a": [1, 0.5, 3.0], "b": [2, None, 2.0]}
    table = widgets.Table(("", "n", "p", "q"), rows, compared=["p", "q"], digits=1, down=True)
    marked = [[text for text, low in line if low] for line in table.cells()]
    assert marked == [[], ["2.0"]] and table.cells()[0][1] == ("1", False)


def test_samples_are_means_over_seeds():
    shown: Any = paper_gon.samples(RESULT, name="samples", alt_text="Samples.")
    drawn = {trace.name: list(trace.y) for trace in shown.figure.data}
    assert drawn["precision"] == pytest.approx([0.3]) and drawn["recall"] == pytest.approx([0.6])
    assert drawn["distance of codes from normal"] == pytest.approx([0.2])


def test_places_say_what_an_update_takes():
    shown: Any = paper_gon.places(RESULT, name="places", alt_text="Places.")
    assert "0.30 of the time" in shown.figure.layout.title.text
    assert [list(trace.y) for trace in shown.figure.data] == [[40.0, 30.0], [44.0, 35.0]]


def test_places_in_time_give_the_quarter_its_share_of_the_time():
    shown: Any = paper_gon.places_in_time(RESULT, name="in time", alt_text="Places.")
    every, quarter = ([float(one) for one in trace.x] for trace in shown.figure.data)
    assert every == [50.0, 100.0]
    assert quarter == pytest.approx([14.8, 29.6], rel=1e-6)


def test_places_at_equal_times_are_interpolated_where_both_were_judged():
    longer = RESULT["places"] | {
        "updates": [50, 100, 200],
        "curves": {
            "every place": [40.0, 30.0, 20.0],
            "a quarter of the places": [44.0, 35.0, 33.0],
        },
    }
    shown = paper_gon.places_at_equal_times(
        RESULT | {"places": longer}, name="at equal times", alt_text="Places."
    )
    html = shown.data["text/html"]
    assert ">59<" in html and "38.2" in html and "<u>33.0</u>" in html
    assert html.count("<tr>") == 2, "earlier, every place was not judged yet"
