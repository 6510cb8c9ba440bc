"""Whatever the kit builds can be pickled, as `torch.save`, joblib and other processes do."""

import inspect
import pickle
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import gfe_core as gfe
from gfe_core import encoders
from gfe_core.decoders.wrapped import Flattened
from gfe_core.methods import constraint, density, gon, narrowing, posterior, variational
from gfe_core.models import Model
from gfe_core.sklearn import GradientFlowEncoder

HOMES = (gfe, encoders, constraint, density, gon, narrowing, posterior, variational)
X = torch.rand(6, 4, generator=torch.Generator().manual_seed(0))


def built() -> list[Any]:
    """One object of each kind that is no setting without needs."""
    source = torch.Generator().manual_seed(0)
    mlp = gfe.MLPDecoder(latent_dim=2, hidden=(5,), data_dim=4)
    conv = {"latent_dim": 2, "image_shape": (4, 4), "channels": (3,)}
    images, transposed = gfe.ConvDecoder(**conv), gfe.TransposedConvDecoder(**conv)
    invertible = gfe.InvertibleDecoder(latent_dim=1, data_dim=4, n_layers=2)
    found = gfe.encode(mlp, X, max_steps=2, save_at=gfe.SaveAt.steps())
    mirror = encoders.Autoencoder.mirror(mlp)
    steps = partial(gfe.encode, max_steps=2)
    adam = torch.optim.Adam(mirror.parameters())
    gated = narrowing.Gated(mlp, costs=True)
    network = encoders.Autoencoder.mirror(mlp, latent_dim=4)
    find = narrowing.Inference(network=network, loss=variational.Evidence(), generator=source)
    return [
        *(mlp, images, transposed, invertible, gfe.LinearDecoder(latent_dim=2, data_dim=4)),
        gfe.SirenDecoder(latent_dim=2, image_shape=(2, 2), hidden=(5,)),
        gfe.wrap(nn.Linear(2, 4), latent_dim=2, data_shape=(4,)),
        Flattened(images),
        *(mirror, encoders.ConvAutoencoder.mirror(transposed), encoders.Filled(mirror)),
        encoders.PCA(X, latent_dim=2),
        encoders.SemiAmortised(mirror, steps, adam),
        encoders.StoredCodes(steps),
        encoders.ThenFlow(mirror, steps),
        *(gated, gated.narrowed(), find),
        gon.WithLabels(mlp, 3),
        gon.PixelsAndLabels(n_classes=3),
        density.WithDensity(invertible),
        variational.VariationalDecoder(mlp, generator=source),
        *(found, found.trajectory, found.statistics),
        posterior.GaussianPrior.standard(2),
        *(gfe.Euler(dt=0.1), gfe.RK4(dt=0.1), gfe.SemiImplicit(dt=0.1)),
        Model(mlp, gfe.Bernoulli(), (4,)),
        gfe.evaluate(mlp, X, encoder=steps),
        GradientFlowEncoder(decoder=gfe.InvertibleDecoder, epochs=1).fit(X.numpy()),
    ]


def settings() -> list[Any]:
    """What else can be built of nothing."""
    kinds: set[Any] = {
        kind for home in HOMES for kind in vars(home).values() if isinstance(kind, type)
    }
    kinds -= {*map(type, built())}  # grids need a step, whatever their signatures say
    made: list[Any] = sorted(kinds, key=lambda kind: kind.__name__)
    return [
        kind()
        for kind in made
        if kind.__module__.startswith("gfe_core")
        and "__dataclass_fields__" in dir(kind)
        and all(p.default is not p.empty for p in inspect.signature(kind).parameters.values())
    ]


@pytest.mark.parametrize("kind", ["built", "settings"])
def test_every_object_of_the_kit_can_be_pickled(kind):
    for one in {"built": built, "settings": settings}[kind]():
        again = pickle.loads(pickle.dumps(one))
        assert type(again) is type(one)
        if isinstance(one, nn.Module):
            assert all(map(torch.equal, again.parameters(), one.parameters()))


def test_no_module_of_the_kit_is_left_out_here():
    kinds = {kind for home in HOMES for kind in vars(home).values() if isinstance(kind, type)}
    modules = {
        kind
        for kind in kinds
        if issubclass(kind, nn.Module) and kind.__module__.startswith("gfe_core")
    }
    # what is never built itself
    assert {kind.__name__ for kind in modules - {*map(type, built())}} <= {"FlatDecoder"}


def test_invertible_decoder_draws_the_same_after_a_journey(tmp_path):
    decoder = gfe.InvertibleDecoder(latent_dim=1, data_dim=4, n_layers=2)
    torch.save(decoder, tmp_path / "whole.pt")
    again = torch.load(tmp_path / "whole.pt", weights_only=False)
    z = torch.linspace(-1, 1, 5)[:, None]
    assert torch.equal(again(z), decoder(z)) and torch.equal(again.log_det(z), decoder.log_det(z))
