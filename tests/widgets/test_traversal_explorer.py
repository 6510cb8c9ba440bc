"""Traversals: the pictures are the decoder's, and a factor that makes a latent explains it."""

import numpy as np
import pytest
import torch
from torch import nn

import gfe_core as gfe
from gfe_core.data import shapes
from gfe_core.methods import gon
from gfe_core.widgets import TraversalExplorer, explained

SHAPES = shapes.make(400, side=8)


class Places(nn.Module):
    """A decoder whose first latent is the place in x, and whose second does nothing."""

    latent_dim = 2
    data_shape = (64,)
    image_shape = (8, 8)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        columns = torch.arange(8)[None, None] / 8
        return torch.exp(-((columns - z[:, :1, None]) ** 2) * 40).expand(-1, 8, -1).flatten(1)


@pytest.fixture
def explorer() -> TraversalExplorer:
    z = torch.stack([SHAPES.y[:, 3], SHAPES.y[:, 1] ** 2], 1)
    models = {"both": (Places(), z), "one": (Places(), z + 0.0)}
    return TraversalExplorer(
        models, SHAPES, shapes.PARAMETERS, bases=(0, 7), latents={"both": ("3", "9")}
    )


@pytest.mark.parametrize(
    "bend", [lambda u: u, lambda u: (u - 0.5) ** 2, lambda u: torch.sin(9 * u)]
)
def test_a_function_of_a_factor_is_explained_by_it_and_by_no_other(bend):
    factors = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0))
    z = torch.stack([bend(factors[:, 1]), factors[:, 0]], 1)
    shares = explained(z, factors)
    assert shares.shape == (2, 3)
    assert (
        shares[0, 1] > 0.97 and shares[1, 0] > 0.97
    )  # twenty groups: within each the factor still varies
    assert shares[0, [0, 2]].max() < 0.03  # by chance 19 / 2000


def test_names_are_groups_of_their_own_and_a_constant_is_explained_by_nothing():
    names = torch.tensor([[0.0], [1.0], [2.0]]).repeat(50, 1)
    z = torch.cat(
        [torch.tensor([5.0, -1.0, 5.0]).repeat(50)[:, None], torch.full((150, 1), 2.0)], 1
    )
    assert explained(z, names)[:, 0].tolist() == pytest.approx([1.0, 0.0], abs=1e-5)  # float32


@pytest.mark.parametrize("unit", [1e-7, 1.0, 1e25])
def test_shares_do_not_depend_on_the_unit_of_codes(unit):
    factor = torch.linspace(0, 1, 400)
    z = unit * torch.stack(
        [factor, torch.randn(400, generator=torch.Generator().manual_seed(0))], 1
    )
    share = explained(z, factor[:, None])
    assert share[0] > 0.99 and share[1] < 0.15


def test_a_factor_with_many_equal_values_leaves_no_share_unknown():
    factor = torch.cat([torch.zeros(340), torch.linspace(1, 2, 60)])
    share = explained(factor[:, None], factor[:, None])
    assert share.isfinite().all() and share > 0.99


def test_pictures_are_what_the_decoder_draws_with_one_latent_moved(explorer: TraversalExplorer):
    one = explorer.traversals["both"]
    z = torch.stack([SHAPES.y[:, 3], SHAPES.y[:, 1] ** 2], 1)
    assert one.images.shape == (2, 2, 25, 8, 8)
    code = z[7].clone()
    code[0] = one.values[0, 20]
    wanted = gfe.reconstruct(Places(), code[None], gon.SQUARES).clamp(0, 1).reshape(8, 8)  # pyright: ignore[reportArgumentType]
    assert np.abs(one.images[1, 0, 20] - 255 * wanted.numpy()).max() <= 0.51  # rounded
    assert np.ptp(one.images[1, 1], axis=0).max() == 0, "the second latent does nothing"
    quantiles = torch.quantile(z[:, 0], torch.tensor([0.02, 0.98]))
    assert torch.allclose(one.values[0, [0, -1]], quantiles)
    assert one.shares[0].argmax() == 3 and one.shares[1].argmax() == 1


def test_everything_travels_once_and_is_moderate(explorer: TraversalExplorer):
    view = explorer.view
    assert len(view.images) == 2 * 2 * 2 * 25 * 64
    assert view.latents == [["3", "9"], ["0", "1"]] and view.factors == [
        "shape",
        "scale",
        "rotation",
        "x",
        "y",
    ]
    assert np.shape(view.numbers[0]["shares"]) == (2, 5) and np.shape(view.numbers[0]["own"]) == (
        2,
        2,
    )


def test_what_does_not_fit_is_refused():
    z = torch.zeros(400, 2)
    with pytest.raises(ValueError, match="`models`"):
        TraversalExplorer({}, SHAPES, shapes.PARAMETERS)
    with pytest.raises(ValueError, match="`samples` must be images with factors"):
        TraversalExplorer({"a": (Places(), z)}, SHAPES, shapes.PARAMETERS[:3])
    with pytest.raises(ValueError, match="`n_frames`"):
        TraversalExplorer({"a": (Places(), z)}, SHAPES, shapes.PARAMETERS, n_frames=1)


def test_the_text_is_constant(explorer: TraversalExplorer):
    assert repr(explorer) == f"Explorer('traversal'): {explorer.alt_text}"
