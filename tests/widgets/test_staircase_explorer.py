"""The staircase.

What it keeps of a training, and a training that goes on under the hand in another thread.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from explorers import DIGITS
from wire import Wire

import gfe_core as gfe
from gfe_core.methods import gon, narrowing
from gfe_core.methods.constraint import Constraint
from gfe_core.widgets import StaircaseExplorer
from gfe_core.widgets.staircase import worker as behind

N = 4


def training(threshold: float = 6.0) -> tuple[narrowing.Narrowing, Callable[..., Any]]:
    """A rule and what trains with it: the flow of two steps, which needs no second network."""
    chance = torch.Generator().manual_seed(0)
    inside = gfe.MLPDecoder(latent_dim=N, hidden=(16,), data_dim=64, generator=chance)
    gated = narrowing.Gated(inside)
    find = partial(narrowing.encode_at, loss=gon.SQUARES, max_steps=2)
    gates = torch.optim.Adam([gated.gamma], lr=0.1)
    rule = narrowing.Narrowing(
        find, Constraint(threshold, smoothing=0.5), gates, price=10, generator=chance
    )
    adam = torch.optim.Adam(inside.parameters(), 1e-2)
    batches = gfe.data.Batches(DIGITS.x, size=10)
    return rule, partial(gfe.fit, gated, batches, encoder=rule, loss=gon.SQUARES, optimizer=adam)


@pytest.fixture
def explorer() -> Iterator[StaircaseExplorer]:
    made = StaircaseExplorer(*training(), n_gates=N)
    made.train(epochs=3)
    yield made
    made.close()
    finish(made)


def ask(explorer: StaircaseExplorer, **values: Any) -> None:
    """What the browser does when a control moves."""
    number = explorer.view.reply + 1
    explorer.view.set_state(
        {"request": {"id": number, "values": {**explorer.view.values, **values}}}
    )
    assert explorer.view.reply == number and explorer.view.note == ""


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30  # a busy machine
    while not until():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def finish(explorer: StaircaseExplorer) -> None:
    if explorer.worker.thread is not None:
        explorer.worker.thread.join(30)
        assert not explorer.worker.thread.is_alive()


def rows(explorer: StaircaseExplorer) -> list[tuple[float, ...]]:
    return explorer.training.notes.rows


def test_record_says_what_gates_and_constraint_were_after_each_update(explorer: StaircaseExplorer):
    lines = np.frombuffer(explorer.view.lines, np.float32).reshape(5, -1)
    assert lines[0].tolist() == list(range(1, 13))  # 40 digits in tens, three times
    bound = explorer.training.rule.constraint
    assert lines[2:, -1] == pytest.approx([bound.average, bound.threshold, bound.multiplier])
    gated = explorer.training.train.args[0]  # pyright: ignore[reportFunctionMemberAccess]
    gates = np.frombuffer(explorer.view.gates, np.uint8).reshape(N, -1)
    assert gates[:, -1] == pytest.approx(
        (255 * gated.gamma.detach().sigmoid()).numpy(), abs=0.51
    )  # rounded
    assert lines[1, -1] == gated.open.sum()


@pytest.mark.slow
def test_training_in_a_thread_takes_the_same_way_as_training_in_a_cell(explorer: StaircaseExplorer):
    other = StaircaseExplorer(*training(), n_gates=N, name="other")
    other.train(epochs=20)
    ask(explorer, running=True)
    wait(lambda: len(rows(explorer)) >= 60)
    ask(explorer, running=False)
    finish(explorer)
    assert rows(explorer)[:60] == rows(other)[:60]


def test_a_threshold_counts_from_the_next_update_on_and_changes_nothing_before(
    explorer: StaircaseExplorer,
):
    before = list(rows(explorer))
    ask(explorer, running=True)
    wait(lambda: len(rows(explorer)) > len(before) + 3)
    ask(explorer, threshold=2.0)
    at = len(rows(explorer))
    wait(lambda: len(rows(explorer)) > at + 3)
    ask(explorer, running=False)
    finish(explorer)
    assert rows(explorer)[: len(before)] == before
    assert {row[3] for row in rows(explorer)[: at - 1]} == {6.0}
    assert {row[3] for row in rows(explorer)[at + 1 :]} == {2.0}


def test_pause_ends_the_thread_and_pressing_again_goes_on(explorer: StaircaseExplorer):
    for _ in range(3):
        n = len(rows(explorer))
        ask(explorer, running=True)
        assert explorer.view.running
        wait(lambda n=n: len(rows(explorer)) > n)
        ask(explorer, running=False)
        assert not explorer.view.running
    finish(explorer)
    assert [row[0] for row in rows(explorer)] == list(range(1, len(rows(explorer)) + 1)), (
        "no update is lost or twice"
    )


def test_reset_returns_to_the_run_of_the_cell_and_anew_to_its_beginning(
    explorer: StaircaseExplorer,
):
    kept = list(rows(explorer))
    ask(explorer, running=True, threshold=3.0)
    wait(lambda: len(rows(explorer)) > 20)
    ask(explorer, threshold=6.0, running=False, fresh=False, start=1)
    assert rows(explorer) == kept and explorer.training.rule.constraint.threshold == 6.0
    finish(explorer)
    ask(explorer, running=True, fresh=True, start=2)
    wait(lambda: len(rows(explorer)) >= 12)
    ask(explorer, running=False)
    finish(explorer)
    assert rows(explorer)[:12] == kept, "the same weights, the same order, the same draws"


def test_training_on_in_a_cell_waits_for_the_thread_and_is_what_reset_returns_to(
    explorer: StaircaseExplorer,
):
    ask(explorer, running=True)
    wait(lambda: len(rows(explorer)) > 12)
    explorer.train(epochs=1)
    kept = list(rows(explorer))
    assert [row[0] for row in kept] == list(range(1, len(kept) + 1)) and not explorer.view.running
    ask(explorer, running=True)
    wait(lambda: len(rows(explorer)) > len(kept))
    ask(explorer, running=False, fresh=False, start=1)
    assert rows(explorer) == kept


def test_closing_the_explorer_pauses(explorer: StaircaseExplorer):
    ask(explorer, running=True)
    again = StaircaseExplorer(*training(), n_gates=N)  # the cell has run again
    finish(explorer)
    assert not explorer.worker.running
    again.close()


def test_an_error_in_the_thread_is_told_and_the_button_is_back(
    explorer: StaircaseExplorer, monkeypatch: pytest.MonkeyPatch
):
    ask(explorer)

    def broken(_: Any) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(explorer.training.rule, "learn", broken)
    explorer.view.set_state(
        {"request": {"id": 2, "values": {**explorer.view.values, "running": True}}}
    )
    wait(lambda: explorer.view.note != "")
    assert explorer.view.note == "Training stopped (RuntimeError): out of luck"
    assert not explorer.view.running and not explorer.worker.running


def test_it_tells_five_times_a_second_at_most_and_in_small_messages(explorer: StaircaseExplorer):
    wire = explorer.view.comm = Wire()  # pyright: ignore[reportAttributeAccessIssue]
    ask(explorer, running=True)
    began = time.monotonic()
    time.sleep(1.1)
    ask(explorer, running=False)
    finish(explorer)
    took = time.monotonic() - began
    told = [size for data, size in wire.sent if ["lines"] in data.get("buffer_paths", [])]
    assert len(told) <= 5 * took + 4  # and at start, pause and end
    assert max(told) < 20_000
    explorer.view.comm = None  # pyright: ignore[reportAttributeAccessIssue]


def test_a_training_that_everybody_forgot_ends_by_itself(
    explorer: StaircaseExplorer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(behind, "_MOST_UPDATES", 10)
    ask(explorer, running=True)
    wait(lambda: not explorer.view.running)
    assert len(rows(explorer)) == 12 + 10


@pytest.mark.slow
def test_a_threshold_stays_within_reach_and_long_runs_are_thinned(explorer: StaircaseExplorer):
    ask(explorer, threshold=1e9)
    assert explorer.training.rule.constraint.threshold == explorer.view.limits[1] == 30.0
    explorer.train(epochs=70)
    lines = np.frombuffer(explorer.view.lines, np.float32).reshape(5, -1)
    assert lines.shape[1] == 240 and lines[0, [0, -1]].tolist() == [1, 12 + 280]
    with pytest.raises(ValueError, match="`reach`"):
        StaircaseExplorer(*training(), n_gates=N, reach=1.0)


def test_the_text_is_constant(explorer: StaircaseExplorer):
    assert repr(explorer) == f"Explorer('staircase'): {explorer.alt_text}"
