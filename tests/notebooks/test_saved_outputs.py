"""The comparison of a notebook run in the browser notices what a reader would, and nothing else."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from saved_outputs import differences

Outputs = list[list[dict[str, Any]]]


def picture(letter: str, text: str) -> dict[str, Any]:
    return new_output(
        "display_data", {"image/png": letter, "text/plain": text, "text/html": f"<b>{text}</b>"}
    )


SAVED: Outputs = [
    [],
    [new_output("stream", text="one\ntwo in /tmp/a1/b\n")],
    [picture("AAAA", "Player()")],
]


@pytest.fixture
def compare(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[Outputs], list[str]]:
    cells = [new_markdown_cell("# Title")]
    cells += [
        new_code_cell("...", outputs=shown, execution_count=i)
        for i, shown in enumerate(SAVED[1:], start=1)
    ]
    path = tmp_path / "saved.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return lambda outputs: differences(request.session, path, outputs)


def test_equal_outputs_and_streams_in_pieces_pass(compare):
    assert compare(SAVED) == []
    pieces = [new_output("stream", text=text) for text in ("one\n", "two in /tmp/a1/b\n")]
    assert compare([[], pieces, SAVED[2]]) == []


def test_pictures_figures_temporary_paths_and_widget_references_are_left_out(compare):
    outputs = copy.deepcopy(SAVED)
    outputs[1][0]["text"] = "one\ntwo in /tmp/zz/y\n"
    outputs[2][0]["data"] |= {
        "image/png": "BBBB",
        "application/vnd.jupyter.widget-view+json": {"model_id": "7"},
        "application/vnd.plotly.v1+json": {"data": [{"y": [0.1]}], "layout": {}},
    }
    assert compare(outputs) == []


def test_a_cell_that_is_tagged_so_is_left_out(tmp_path: Path, request: pytest.FixtureRequest):
    for told, n in (({}, 1), ({"tags": ["nbval-ignore-output"]}, 0)):
        cell = new_code_cell("...", outputs=SAVED[1], execution_count=1, metadata=told)
        nbformat.write(new_notebook(cells=[cell]), tmp_path / "one.ipynb")
        other = [[new_output("stream", text="other\n")]]
        assert len(differences(request.session, tmp_path / "one.ipynb", other)) == n


@pytest.mark.parametrize(
    ("cell", "shown", "word"),
    [
        (1, [new_output("stream", text="one\nthree\n")], "stdout"),
        (1, [*SAVED[1], new_output("stream", name="stderr", text="careful")], "stderr"),
        (1, [], "stdout"),
        (2, [picture("AAAA", "Player(2)")], "text/html"),
        (2, [*SAVED[2], *SAVED[2]], "text/html"),
    ],
)
def test_what_a_reader_would_notice_is_named_with_its_cell(
    compare, cell: int, shown: list[Any], word: str
):
    outputs = copy.deepcopy(SAVED)
    outputs[cell] = shown
    (difference,) = compare(outputs)
    assert difference.startswith(f"Cell {cell - 1}\n") and word in difference
