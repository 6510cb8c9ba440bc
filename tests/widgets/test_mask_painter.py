"""The mask painter below the browser.

What a stroke asks for, what goes back, and what the script may not do.
"""

from typing import Any

import numpy as np
import pytest
from wire import Wire

from gfe_core import widgets
from gfe_core.widgets.mask import painter as module

IMAGE = np.arange(48, dtype=np.uint8).reshape(6, 8)


def wired(painter: module.MaskPainter) -> Wire:
    wire = Wire()
    painter.comm = wire  # pyright: ignore[reportAttributeAccessIssue]
    wire.sent.clear()
    return wire


def stroke(painter: module.MaskPainter, number: int, mask: np.ndarray, **values: Any) -> None:
    """Let one request arrive from the browser, as the view sends it."""
    arrived = memoryview(
        mask.astype(np.uint8).tobytes()
    )  # what ipywidgets makes of the browser's bytes
    painter.set_state({"mask": arrived, "request": {"id": number, "values": values}})


def test_everything_is_seen_at_first_or_what_the_caller_says():
    assert widgets.MaskPainter(IMAGE).seen.all()
    seen = IMAGE % 3 > 0
    painter = widgets.MaskPainter(IMAGE, seen=seen)
    assert np.array_equal(painter.seen, seen)
    assert painter.first == {"seed": 0, "hidden": np.flatnonzero(~seen).tolist()}


def test_a_request_is_answered_after_the_mask_arrived_and_in_one_message():
    painter = widgets.MaskPainter(IMAGE)
    wire = wired(painter)
    asked = []
    painter.on_request = lambda: asked.append((painter.seen.sum(), painter.values["seed"]))
    stroke(painter, 5, IMAGE > 40, seed=3)
    assert asked == [((IMAGE > 40).sum(), 3)]
    assert len(wire.answers()) == 1 and painter.reply == 5


def test_ten_requests_of_a_stroke_are_ten_short_answers():
    painter = widgets.MaskPainter(IMAGE)
    wire = wired(painter)
    painter.on_request = lambda: None
    for number in range(1, 11):
        stroke(painter, number, number <= IMAGE, seed=0)
    assert [state["reply"] for state in wire.answers()] == [*range(1, 11)]
    assert (
        sum(size for _, size in wire.sent) < 10 * 1000
    )  # a mask of 48 bytes and the words around it, echoes included


def test_trouble_is_told_acknowledged_and_forgotten():
    painter = widgets.MaskPainter(IMAGE, caption="as usual")

    def fail() -> None:
        raise ValueError("no such sample")

    painter.on_request = fail
    stroke(painter, 1, IMAGE > 3)
    assert painter.reply == 1 and "no such sample" in painter.caption
    painter.on_request = None
    stroke(painter, 2, IMAGE > 3)
    assert painter.reply == 2 and painter.caption == "as usual"


def test_wrong_images_and_masks_name_the_argument():
    with pytest.raises(ValueError, match="`image` must be an array of uint8"):
        widgets.MaskPainter(IMAGE / 255)
    with pytest.raises(ValueError, match=r"`seen` must be bool \(6, 8\)"):
        widgets.MaskPainter(IMAGE, seen=np.ones((8, 6), dtype=bool))


def test_where_an_answer_fails_the_earlier_settings_stay_and_no_energy_of_another_mask():
    painter = widgets.MaskPainter(IMAGE, values={"seed": 3}, facts="energy 0.5")

    def fail() -> None:
        raise RuntimeError("no code")

    painter.on_request = fail
    painter.request = {"id": 1, "values": {"seed": 4}}
    assert painter.caption == "This did not work (RuntimeError): no code"
    assert painter.values["seed"] == 3 and painter.facts == "" and painter.reply == 1
