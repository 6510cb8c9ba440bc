"""The decoders that the project ships, and how many gradients a code takes on them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gfe_core as gfe
from gfe_core.data.sets import data_folder
from gfe_core.experiments.mnist_decoders import new_decoder

FOLDER = Path(__file__).parents[2] / "data" / "checkpoints"
NAMES = ("mnist_one_pass", "mnist_six_passes")
NEVER = gfe.Stop(grad_norm=0, energy_slope=0)


@cache
def decoder(name: str) -> gfe.MLPDecoder:
    """Return a shipped decoder; nobody may change it."""
    shipped = new_decoder()
    gfe.load_checkpoint(FOLDER / f"{name}.pt", decoder=shipped)
    return shipped


@cache
def images() -> Tensor:
    """Return 300 test images; skips where MNIST is not on disk."""
    if not (data_folder() / "MNIST" / "raw").exists():
        pytest.skip(
            f"MNIST is not in {data_folder()}: set GFE_DATA_DIR to a folder that holds MNIST/raw"
        )
    return gfe.data.load("mnist", split="test").x[:300]


@pytest.mark.parametrize("name", NAMES)
def test_checkpoint_is_small_and_half_precision(name: str):
    path = FOLDER / f"{name}.pt"
    assert path.stat().st_size <= 2_000_000
    weights = torch.load(path, weights_only=True)["decoder"]
    assert {value.dtype for value in weights.values()} == {torch.float16}


@pytest.mark.parametrize("name", NAMES)
def test_card_shows_the_figures_that_were_measured(name: str):
    figures = json.loads((FOLDER / f"{name}.json").read_text())
    row = next(
        line
        for line in (FOLDER / "README.md").read_text().splitlines()
        if line.startswith(f"| {name}.pt")
    )
    assert f"| {figures['test_energy_amd']:.4f} | {figures['test_energy_bfgs']:.4f} |" in row


@pytest.mark.parametrize("name", NAMES)
def test_shipped_decoder_is_as_good_as_its_card_says(name: str):
    figures = json.loads((FOLDER / f"{name}.json").read_text())
    energy = gfe.evaluate(decoder(name), images()).energy
    # 300 of the 10,000 images that the card is about: their standard error, four times
    assert (
        abs(energy.mean().item() - figures["test_energy_amd"])
        < 4 * energy.std().item() / len(energy) ** 0.5
    )


@cache
def gaps(solver: Any) -> Tensor:
    """Mean energy above the own basin's after every accepted step."""
    one_pass = decoder("mnist_one_pass")
    x = images()
    found = gfe.encode(
        one_pass, x, solver=solver, stop=NEVER, max_steps=130, save_at=gfe.SaveAt.steps()
    )
    assert found.trajectory is not None
    bottom = gfe.encode(one_pass, x, z0=found.z, solver=gfe.BFGS(), stop=NEVER, max_steps=60).energy
    return (found.trajectory.energy - bottom).mean(1)


def aim(solver: Any, n: int, gap: float, measured: str = "") -> Any:
    """A gap to be reached after n gradients or iterations; with `measured`, one that is not."""
    name = f"{type(solver).__name__} memory {solver.memory}, {n}"
    marks = (
        [pytest.mark.xfail(strict=True, reason=f"an aim not reached: {measured}")]
        if measured
        else []
    )
    return pytest.param(solver, n, gap, id=name, marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "n", "limit"),
    [
        aim(gfe.AMD(), 40, 8e-4),
        aim(gfe.AMD(), 80, 2.5e-4),
        aim(gfe.AMD(memory=8), 40, 6e-4, measured="6.5e-4"),
        aim(gfe.AMD(memory=8), 80, 1.5e-4),
        aim(gfe.GaussNewton(), 9, 5e-5, measured="6.9e-5"),
        aim(gfe.GaussNewton(), 10, 5e-5),
    ],
)
def test_codes_are_near_the_bottom_after_so_much_work(solver: Any, n: int, limit: float):
    # the start and the estimate of the first step are gradients too
    steps = n if isinstance(solver, gfe.GaussNewton) else n - 2
    assert gaps(solver)[steps] <= limit


@pytest.mark.slow
def test_bfgs_is_nearer_the_bottom_than_amd_for_three_fifths_of_the_work():
    one_pass = decoder("mnist_one_pass")
    x = images()
    short = gfe.encode(one_pass, x, solver=gfe.BFGS(), stop=NEVER, max_steps=16)
    long = gfe.encode(one_pass, x, solver=gfe.AMD(), stop=NEVER, max_steps=50)
    assert short.statistics.work.sum() < 0.6 * long.statistics.work.sum()
    assert short.energy.mean() < long.energy.mean()
