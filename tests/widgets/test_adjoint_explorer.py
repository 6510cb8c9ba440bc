"""Gradients of a flow that is stopped early: what the curves are, and what the controls change."""

from functools import partial
from typing import Any

import pytest
import torch
from explorers import DIGITS, briefly_trained

import gfe_core as gfe
from gfe_core import widgets


@pytest.fixture
def explorer(generator: torch.Generator, unchecked: None, monkeypatch) -> widgets.AdjointExplorer:
    monkeypatch.setattr("gfe_core.widgets.charts.adjoint_explorer._TIMES", (0.5, 2.0, 4.0, 16.0))
    return widgets.AdjointExplorer(briefly_trained(generator), DIGITS, n_samples=4, t1=4.0)


def trace(explorer: widgets.AdjointExplorer, number: int) -> Any:
    drawn: Any = explorer.view.drawn()
    return drawn.data[number]


@pytest.mark.slow
def test_curves_are_distances_to_the_gradient_of_the_steps_taken(explorer: widgets.AdjointExplorer):
    decoder = explorer.decoder
    x = DIGITS.x[:4]
    loss = gfe.Bernoulli()
    steps = (0.5 / explorer.modes[:, -1]).expand(4, -1)  # 4 steps to t1 = 2 / lambda_max
    flow = partial(gfe.encode, decoder, x, solver=gfe.Euler(steps=steps), z0=explorer.start)
    weights = list(explorer.decoder.parameters())
    gradients = []
    for adjoint in (gfe.Detached(), gfe.Unrolled()):
        z = flow(adjoint=adjoint).z
        found = torch.autograd.grad(loss.per_sample(decoder(z), x).mean(), weights)
        gradients.append(torch.cat([part.flatten() for part in found]))
    expected = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    shown = explorer.errors("same as inside")["dropped (Detached)"]
    assert shown[1] == pytest.approx(expected.item(), rel=1e-3)  # float32


def shown(explorer: widgets.AdjointExplorer, time: int, loss: int) -> tuple[Any, str]:
    """The figure and the words at these positions of slider and buttons."""
    times, losses = (control["options"] for control in explorer.view.controls)
    assert len(explorer.view.changes) == len(times) * len(losses)
    explorer.view.shown = time * len(losses) + loss
    return explorer.view.drawn(), explorer.view.changes[explorer.view.shown]["words"]


def test_opens_at_the_time_asked_for(explorer: widgets.AdjointExplorer):
    assert list(trace(explorer, -1).x) == [4.0, 4.0]


def test_slider_moves_the_mark_and_says_the_state_in_words(explorer: widgets.AdjointExplorer):
    drawn, words = shown(explorer, time=3, loss=0)
    assert list(drawn.data[-1].x) == [16.0, 16.0]
    assert "t1 × λ_max = 16, loss outside: same as inside" in words
    dropped = explorer.errors("same as inside")["dropped (Detached)"]
    assert f"dropped (Detached) {dropped[3]:.2g}" in words


def test_another_loss_outside_redraws_the_curves_and_not_the_mark(
    explorer: widgets.AdjointExplorer,
):
    inside, _ = shown(explorer, time=0, loss=0)
    outside, words = shown(explorer, time=0, loss=1)
    expected = explorer.errors("squared error")["dropped (Detached)"]
    assert list(outside.data[0].y) == pytest.approx(expected, rel=1e-5)  # six digits are sent
    assert outside.data[0].y != inside.data[0].y and "squared error" in words
    assert outside.data[-1].x == inside.data[-1].x


def test_flow_starts_on_the_line_from_the_origin_to_the_code(explorer: widgets.AdjointExplorer):
    stop = gfe.Stop(grad_norm=1e-5, energy_slope=0)
    codes = gfe.encode(explorer.decoder, DIGITS.x[:4], solver=gfe.LBFGS(), stop=stop).z
    torch.testing.assert_close(explorer.start, 0.9 * codes, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="`start` must be in"):
        widgets.AdjointExplorer(explorer.decoder, DIGITS, start=1.0)
