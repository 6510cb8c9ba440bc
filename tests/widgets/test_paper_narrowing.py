"""Tables of the results on gates."""

from typing import Any

from gfe_core.widgets.results import narrowing as paper_narrowing

RESULT: dict[str, Any] = {
    "planted": {
        "VAE": {"3": {"open": [3, 3, 5], "met": 3, "within_one_and_met": 2, "of": 3}},
        "flow": {"3": {"open": [3, 3, 3], "met": 3, "within_one_and_met": 3, "of": 3}},
    },
    "factors": {
        "VAE": {
            "tight": {
                "error": {"mean": 6.5, "sd": 0.25},
                "open": [7, 8, 8],
                "r2": {"x": {"mean": 0.99, "sd": 0.25}, "scale": {"mean": 0.9, "sd": 0.25}},
            },
            "loose": {
                "error": {"mean": 14.0, "sd": 0.25},
                "open": [3, 3, 3],
                "r2": {"x": {"mean": 0.98, "sd": 0.25}, "scale": {"mean": 0.8, "sd": 0.25}},
            },
        }
    },
}


def test_open_gates_are_told_by_mean_range_and_runs_that_found_the_number():
    html = paper_narrowing.planted(RESULT, name="planted", alt_text="Gates.").data["text/html"]
    row = html[html.index("VAE, 3 planted") :]
    assert [row.index(f">{cell}<") for cell in ("3.7", "5", "2")] == sorted(
        row.index(f">{c}<") for c in ("3.7", "5", "2")
    )
    assert "<u>" not in html, "no number of gates is the best one"


def test_factors_have_a_row_for_each_threshold():
    shown = paper_narrowing.factors(RESULT, name="factors", alt_text="Factors.")
    html = shown.data["text/html"]
    assert (
        html.index("VAE, tight")
        < html.index("6.50 ± 0.25")
        < html.index("7.67")
        < html.index("VAE, loose")
        < html.index("0.80")
    )
