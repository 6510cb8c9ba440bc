"""Armijo's test drawn on the energy along a ray.

What the browser changes and what the marks mean.
"""

from typing import Any

import numpy as np
import pytest
from explorers import DIGITS, ask, shared_decoder

import gfe_core as gfe
from gfe_core import widgets


@pytest.fixture
def explorer() -> widgets.ArmijoExplorer:
    return widgets.ArmijoExplorer(shared_decoder(), DIGITS)


@pytest.fixture(scope="module")
def still() -> widgets.ArmijoExplorer:
    """For tests that only look at its frames."""
    return widgets.ArmijoExplorer(shared_decoder(), DIGITS)


def figure(explorer: widgets.ArmijoExplorer, frame: int) -> Any:
    """The lower figure; in the browser the player's frame is linked to it."""
    explorer.view.shown = frame
    return explorer.view.drawn()


def drawn(explorer: widgets.ArmijoExplorer, frame: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> (x, y) of what the lower figure shows."""
    return {
        trace.name: (np.asarray(trace.x), np.asarray(trace.y))
        for trace in figure(explorer, frame).data
    }


def title(explorer: widgets.ArmijoExplorer, frame: int) -> str:
    return figure(explorer, frame).layout.title.text


def n_refused(explorer: widgets.ArmijoExplorer, frame: int) -> int:
    return int(title(explorer, frame).split(": ")[1].split(" refused")[0])


def test_opens_at_the_step_with_most_refusals(explorer: widgets.ArmijoExplorer):
    opened = explorer.player.frame
    assert explorer.view.shown == opened
    steps = explorer.player.shape[1] - 1
    counts = [n_refused(explorer, k) for k in range(steps)]
    assert opened == int(np.argmax(counts)) and max(counts) > 0


def test_each_frame_has_its_ray_and_the_last_state_keeps_the_last_step(
    still: widgets.ArmijoExplorer,
):
    last = still.player.shape[1] - 1
    titles = [title(still, frame) for frame in (0, last - 1, last)]
    assert titles[0] != titles[1] == titles[2] and titles[0].startswith("step 0: ")


@pytest.mark.parametrize(
    "choice", [{}, {"sigma": 0.9}, {"beta": 0.9}, {"trial": "barzilai_borwein"}]
)
def test_refused_trials_lie_above_the_line_and_the_accepted_one_does_not(
    explorer: widgets.ArmijoExplorer, choice: dict[str, Any]
):
    ask(explorer, 1, **choice)
    for frame in range(min(explorer.player.shape[1] - 1, 20)):
        lines = drawn(explorer, frame)
        ray, energy = lines["energy"]
        for name, above in (("refused", True), ("accepted", False)):
            x, y = lines[name]
            line = np.interp(x, *lines["Armijo's line"])
            slack = 2e-3 * np.ptp(energy) + 1e-6  # marks sit on a curve through 64 points; float32
            assert (y > line - slack).all() if above else (y <= line + slack).all()
            assert np.allclose(y, np.interp(x, ray, energy))
        assert len(lines["accepted"][0]) == 1


def test_a_larger_sigma_tilts_the_line_towards_the_slope(explorer: widgets.ArmijoExplorer):
    gaps = []
    for number, sigma in enumerate((0.1, 0.9)):
        ask(explorer, number + 1, sigma=sigma)
        (x, slope), (_, line) = (
            drawn(explorer, 0)[name] for name in ("slope (σ = 1)", "Armijo's line")
        )
        gaps.append((line[1] - slope[1]) / (slope[0] - slope[1]) if x[1] > 0 else np.nan)
    assert gaps == pytest.approx(
        [0.9, 0.1], abs=0.02
    )  # 1 - sigma, from differences of float32 energies


def test_axis_is_in_units_of_the_curvature_and_the_raw_step_stands_beside_it(
    still: widgets.ArmijoExplorer,
):
    x = drawn(still, 0)["accepted"][0]
    dt = float(title(still, 0).split("dt = ")[1].rstrip(")"))
    assert x[0] == pytest.approx(dt * still.lambda_max, rel=0.01)  # the title shows three digits


def test_a_start_at_rest_has_no_ray_and_says_so(
    explorer: widgets.ArmijoExplorer, monkeypatch: pytest.MonkeyPatch
):
    rest = explorer.reference
    monkeypatch.setattr(
        explorer,
        "follow",
        lambda *_, **__: gfe.encode(
            explorer.decoder,
            explorer.x,
            z0=rest.z,
            solver=gfe.AMD(trial="carry"),
            stop=gfe.Stop(grad_norm=1e9),
            save_at=gfe.SaveAt.steps(),
        ),
    )
    ask(explorer, 1, sigma=0.2)
    assert explorer.player.reply == 1
    assert title(explorer, explorer.view.shown) == "no step was accepted"
