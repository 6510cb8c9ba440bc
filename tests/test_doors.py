"""Methods and encoders take samples in the forms that verbs take, and refuse others in words."""

import functools
import inspect
import pkgutil
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import gfe_core
import gfe_core.encoders
from gfe_core import arguments, checks, scale
from gfe_core.methods import narrowing

pytestmark = pytest.mark.usefixtures("unchecked")

gfe: Any = gfe_core  # a stranger's editor checks no types
encoders, gon, posterior = gfe.encoders, gfe.gon, gfe.posterior
variational, density = gfe.variational, gfe.density
SQUARES = gon.SQUARES
X = torch.rand(6, 4, generator=torch.Generator().manual_seed(1))
ARRAY = X.double().numpy()
FRAME = pandas.DataFrame(ARRAY, columns=list("abcd"))
FORMS: dict[str, Any] = {"array": ARRAY, "frame": FRAME, "data set": gfe.data.DataSet.of(FRAME)}
PRIOR = posterior.GaussianPrior.standard(2)
SOURCE = torch.Generator()


def decoder() -> Any:
    source = torch.Generator().manual_seed(0)
    return gfe.MLPDecoder(latent_dim=2, hidden=(6,), data_dim=4, generator=source)


def siren() -> Any:
    source = torch.Generator().manual_seed(0)
    return gfe.SirenDecoder(latent_dim=2, hidden=(4,), image_shape=(2, 2), generator=source)


def in_a_square() -> Any:
    layers = nn.Sequential(nn.Linear(2, 4), nn.Unflatten(1, (2, 2)))
    return gfe.wrap(layers, latent_dim=2, data_shape=(2, 2))


class Volume(nn.Linear):
    """A decoder of images that knows its volume factor, and nothing else."""

    latent_dim, data_shape = 2, (2, 2)

    def log_det(self, z: torch.Tensor) -> torch.Tensor:
        return z.sum(1)


def network() -> Any:
    source = torch.Generator().manual_seed(0)
    return encoders.Autoencoder.mirror(decoder(), loss=SQUARES, generator=source)


def shrinking(x: Any = X) -> Any:
    return narrowing.shrinking_flow(x, 2, 1.0, hidden=(6,))


ENERGY = gfe.Energy(decoder(), X, SQUARES)
FLOW = functools.partial(gfe.encode, loss=SQUARES, max_steps=2)
GATES = torch.tensor([[1.0, 0.0]]).repeat(6, 1)

TAKEN: dict[str, Callable[[Any], Any]] = {
    "Energy": lambda x: gfe.Energy(decoder(), x, SQUARES).value(torch.zeros(6, 2)),
    "Filled": lambda x: encoders.Filled(network())(decoder(), x).z,
    "one_look": lambda x: encoders.one_look(decoder(), x, torch.zeros(6, 2), SQUARES).energy,
    "ThenFlow": lambda x: encoders.ThenFlow(network(), FLOW)(decoder(), x).z,
    "StoredCodes": lambda x: encoders.StoredCodes(FLOW)(decoder(), x).z,
    "PCA": lambda x: encoders.project(encoders.PCA(x, latent_dim=2), x).z,
    "encode_at": lambda x: narrowing.encode_at(narrowing.Gated(decoder()), x, GATES).z,
    "shrinking_flow": lambda x: shrinking(x).error(x),
    "shrinking_autoencoder": lambda x: narrowing.shrinking_autoencoder(x, 2, 1.0).error(x),
    "labelled": lambda x: gon.labelled(x, [0, 1, 0, 1, 1, 0], 2),
    "fit_siren": lambda x: (
        gon.fit_siren(siren(), x, origin=gon.Origin(dt=0.01), lr=1e-3, epochs=1).energy
    ),
    "encode_shards": lambda x: codes_in_shards(x),
}
"""Calls with samples in any form."""


def codes_in_shards(x: Any) -> torch.Tensor:
    x = x.numpy().astype(float) if isinstance(x, torch.Tensor) else x
    folder = SHARDS[0] / str(len(list(SHARDS[0].iterdir())))
    scale.encode_shards(gfe.Model(decoder(), SQUARES, (4,)), x, folder)
    return scale.read_codes(folder).z


SHARDS: list[Path] = []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("door", TAKEN)
def test_samples_in_another_form_give_the_result_of_the_tensor(
    door: str, form: str, tmp_path: Path
):
    SHARDS[:] = [tmp_path]
    found, expected = TAKEN[door](FORMS[form]), TAKEN[door](X)
    # a frame holds its columns one after another, of which sums are rounded in another order
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected))


CODES = torch.tensor([[1.0, 0.5], [0.0, -1.0]])
OF_CODES: dict[str, Callable[[Any], Any]] = {
    "Energy.value": lambda z: ENERGY.rows([0, 1]).value(z),
    "Energy.value_and_grad": lambda z: ENERGY.rows([0, 1]).value_and_grad(z)[1],
    "Energy.hessian": lambda z: ENERGY.rows([0, 1]).hessian(torch.as_tensor(z)),
    "one_look": lambda z: encoders.one_look(decoder(), X[:2], z, SQUARES).energy,
    "slerp": lambda z: gon.slerp(z, z[::-1] if isinstance(z, np.ndarray) else z.flip(0), 0.3),
    "SirenDecoder.at": lambda z: siren().at(z)(torch.zeros(1, 2)),
}
"""Calls with codes, or with other numbers in rows of two."""


@pytest.mark.parametrize("door", OF_CODES)
def test_codes_in_an_array_give_the_result_of_the_tensor(door: str):
    assert torch.equal(OF_CODES[door](CODES.numpy()), OF_CODES[door](CODES))


@pytest.mark.parametrize(
    "keep",
    [slice(1, 4), [1, 2, 3], np.array([1, 2, 3]), np.arange(6) // 3 * 0 + [0, 1, 1, 1, 0, 0]],
)
def test_rows_of_an_energy_are_selected_in_every_form(keep: Any):
    keep = keep.astype(bool) if isinstance(keep, np.ndarray) and len(keep) == 6 else keep
    expected = ENERGY.rows(torch.tensor([1, 2, 3])).value(torch.zeros(3, 2))
    assert torch.equal(ENERGY.rows(keep).value(torch.zeros(3, 2)), expected)
    assert ENERGY.rows(torch.tensor(2)).n == ENERGY.rows(2).n == 1


def test_stored_codes_serve_every_float_type():
    half = decoder().bfloat16()
    stored = encoders.StoredCodes(FLOW)
    first = stored(half, X.bfloat16())
    assert torch.equal(torch.stack([*stored.codes.values()]), first.z)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    # numbers and generators
    "prior seed": (lambda: PRIOR.sample(3, 0), r"generator=torch.Generator\(\).manual_seed\(0\)"),
    "prior number": (lambda: PRIOR.sample("3", SOURCE), "`n` must be a whole number, got '3'"),
    "posterior number": (lambda: laplace().sample(3.0, SOURCE), "Write `n=3`"),
    "posterior seed": (lambda: laplace().sample(3, 0), "manual_seed"),
    "places": (
        lambda: gon.Scattered(X, siren(), n_places=2.0, size=3),
        "Write `n_places=2`",
    ),
    "epochs": (lambda: shrinking().learn("1"), "`epochs` must be a whole number"),
    "slerp": (lambda: gon.slerp(CODES, CODES, "0.5"), "Write `t=0.5`"),
    "classes": (lambda: gon.WithLabels(decoder(), 2.0), "Write `n_classes=2`"),
    # samples and codes
    "Energy of doubles": (
        lambda: gfe.Energy(decoder(), X.double(), SQUARES),
        "`x` is torch.float6",
    ),
    "Energy of few": (lambda: gfe.Energy(decoder(), X[:, :3], SQUARES), "`x` must have shape"),
    "codes of doubles": (lambda: ENERGY.value(torch.zeros(6, 2).double()), "`z` is torch.float64"),
    "codes in a list": (lambda: ENERGY.value([[0.0, 0.0]]), "`z` must be codes of shape"),
    "rows by name": (lambda: ENERGY.rows("a"), "`keep` must select some of the 6 samples"),
    "coordinates in a list": (lambda: siren().at([[0.0, 0.0]]), "`coordinates` must be a torch.T"),
    "table": (lambda: shrinking(X.view(6, 2, 2)), r"Flatten it: `x.flatten\(1\)`"),
    "steps of a number": (
        lambda: gon.train_by_number_of_steps(X, n_steps=1),
        r"Write `n_steps=\(1,\)`",
    ),
    "loader of whole numbers": (
        lambda: gfe.encode(decoder(), DataLoader(TensorDataset((10 * X).long()), batch_size=2)),
        r"TensorDataset\(x.float\(\)\)",
    ),
    "training with such a loader": (
        lambda: gfe.fit(decoder(), DataLoader(TensorDataset((10 * X).long()), batch_size=2)),
        r"TensorDataset\(x.float\(\)\)",
    ),
    "samples and others": (lambda: gfe.encode(decoder(), (X, X)), r"samples alone: `x\[0\]`"),
    "samples in a list": (lambda: gfe.encode(decoder(), [*X]), r"`torch.stack\(\[\*x\]\)`"),
    "float type without weights": (
        lambda: gfe.encode(Weightless(), ARRAY, loss=SQUARES),
        "as_tens",
    ),
    # encoders and models
    "Filled nothing": (lambda: encoders.Filled(None), "`encoder` must be a function"),
    "Filled word": (lambda: encoders.Filled(network(), fill="mean"), "`fill` must be a number"),
    "ThenFlow swapped": (lambda: encoders.ThenFlow(FLOW, network()), "`flow` must be a function"),
    "StoredCodes of nothing": (lambda: encoders.StoredCodes(None), "`flow` must be a function"),
    "SemiAmortised rate": (
        lambda: encoders.SemiAmortised(network(), FLOW, 1e-3),
        r"torch.optim.Adam\(encoder.parameters\(\)",
    ),
    "encoder of codes": (
        lambda: gfe.fit(decoder(), X, encoder=nn.Linear(4, 2)),
        "-> Encoding, got",
    ),
    "projection": (lambda: encoders.project(decoder(), X), "`decoder` must be a `PCA`"),
    "mirror": (lambda: encoders.ConvAutoencoder.mirror(decoder()), "be a `TransposedConvDecoder`"),
    "mirror by a wrong name": (
        lambda: encoders.Autoencoder.mirror(decoder(), latent=3),
        "write `latent_dim=...`",
    ),
    "context of places": (
        lambda: gon.Scattered(X, siren(), n_places=3, size=3, context=X),
        "takes no `context`",
    ),
    "shards of a decoder": (lambda: scale.encode_shards(decoder(), X, "a"), "gfe.Model"),
    # losses
    "mean of pixels": (
        lambda: posterior.laplace(
            gon.WithLabels(decoder(), 2),
            torch.cat([X, torch.eye(2)[[0, 1, 0, 1, 1, 0]]], 1),
            prior=PRIOR,
            loss=gon.PixelsAndLabels(n_classes=2, pixels=gfe.Gaussian()),
        ),
        "`loss` must be a sum over features to be a log-likelihood",
    ),
    # decoders of images
    "variational": (lambda: variational.VariationalDecoder(in_a_square()), "torch.nn.Flatten"),
    "gated": (lambda: narrowing.Gated(in_a_square(), costs=True), "torch.nn.Flatten"),
    "labels": (lambda: gon.WithLabels(in_a_square(), 3), "torch.nn.Flatten"),
    "density": (lambda: density.WithDensity(Volume(2, 4)), "torch.nn.Flatten"),
}
"""Calls, and what the refusal says to do."""


class Weightless:
    """A decoder that is no module and computes in float64."""

    latent_dim, data_shape = 2, (4,)

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return z @ torch.ones(2, 4, dtype=torch.float64)


def laplace() -> Any:
    return posterior.laplace(decoder(), X, prior=PRIOR, loss=SQUARES)


@pytest.mark.parametrize("door", REFUSED)
def test_what_does_not_fit_is_refused_in_words_with_what_to_write(door: str):
    call, line = REFUSED[door]
    with pytest.raises((TypeError, ValueError), match=line) as refusal:
        call()
    raised_in = traceback.extract_tb(refusal.value.__traceback__)[-1]
    assert "gfe_core" in raised_in.filename and (raised_in.line or "").startswith("raise")


def test_remedies_are_taken():
    square = in_a_square()
    flat = gfe.wrap(nn.Sequential(square, nn.Flatten()), latent_dim=2, data_shape=(4,))
    for kind in (variational.VariationalDecoder, narrowing.Gated):
        assert kind(flat)(torch.zeros(3, 4)).shape[0] == 3
    assert gfe.encode(Weightless(), torch.as_tensor(ARRAY), loss=SQUARES).z.shape == (6, 2)
    assert gfe.encode(decoder(), torch.stack([*X])).z.shape == (6, 2)


def test_one_callback_needs_no_list():
    seen: list[Any] = []
    shrinking().learn(1, seen.append)
    assert len(seen) == 1


class Columns:
    """A loss whose check of the data reads columns, as one of labels does."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def per_sample(self, output: Any, x: Any, mask: Any = None) -> Any:
        return SQUARES.per_sample(output, x, mask)

    def check_data(self, x: torch.Tensor) -> None:
        self.seen.append(x)
        if bool((x[:, 1] < 0).any()):
            raise ValueError("`x` must be at least 0 in its second column.")


def test_data_are_checked_in_their_shape_where_values_are_missing():
    x = X.clone()
    x[1:3, 1], x[4, :3] = torch.nan, torch.nan
    loss = Columns()
    gfe.encode_observed(decoder(), x, loss=loss)
    gfe.stiffness.spectrum(
        decoder(), torch.zeros(6, 2), x.nan_to_num(-1), loss=loss, mask=~x.isnan()
    )
    for seen in loss.seen:
        assert seen.shape == x.shape and torch.equal(seen[~x.isnan()], x[~x.isnan()])
        assert all(value in x[:, 1] for value in seen[:, 1])
    x[0, 1] = -1
    with pytest.raises(ValueError, match="second column"):
        gfe.encode_observed(decoder(), x, loss=loss)
    with pytest.raises(ValueError, match="second column"):
        gfe.encode(decoder(), torch.where(x.isnan(), -1, x), mask=~x.isnan(), loss=loss)


INSIDE = {"Loan.__init__", "check_prior", "Rank.device", "Rank.share", "same_everywhere"}
"""Functions that the kit alone calls."""
OF_TORCH = {"forward", "set_extra_state"}
"""Names of methods that torch calls."""


def doors() -> Iterator[tuple[str, Any]]:
    """Yield public functions, constructors and methods of methods, encoders and scale."""
    for name in ("methods", "encoders", "scale"):
        package = import_module(f"gfe_core.{name}")
        for one in pkgutil.iter_modules(package.__path__):
            yield from doors_of(import_module(f"{package.__name__}.{one.name}"))


def doors_of(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, part in vars(module).items():
        if name.startswith("_") or getattr(part, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(part):
            yield name, part
        elif inspect.isclass(part) and not hasattr(part, "__dataclass_fields__"):
            yield f"{name}.__init__", vars(part).get("__init__")
        for method, function in vars(part).items() if inspect.isclass(part) else ():
            if (
                inspect.isfunction(function)
                and not method.startswith("_")
                and method not in OF_TORCH
            ):
                yield f"{name}.{method}", function


def checked(function: Any) -> bool:
    """Whether a decorator checks the arguments, or the body names each simple one to a check."""
    source = inspect.getsource(function)
    return "in_own_words" in source or all(f'"{name}"' in source for name in simple(function))


def simple(function: Any) -> list[str]:
    """Return the names of numbers, words, flags and generators."""
    kinds = {name: arguments._kind(one.annotation)[0] for name, one in parameters(function)}
    return [name for name, check in kinds.items() if check not in (None, checks.array)]


def parameters(function: Any) -> list[tuple[str, inspect.Parameter]]:
    return [*inspect.signature(function).parameters.items()]


def test_every_door_with_a_number_or_a_generator_checks_it_in_words():
    bare = [
        name
        for name, function in doors()
        if function is not None
        and name not in INSIDE
        and simple(function)
        and not checked(function)
    ]
    assert bare == []


def test_remedies_are_looked_for_only_where_something_is_refused(monkeypatch):
    def unexpected(*_: object) -> str:
        raise AssertionError("a remedy reads every value")

    monkeypatch.setattr("gfe_core.data.samples._into_numbers", unexpected)
    monkeypatch.setattr("gfe_core.checks.into_samples", unexpected)
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=4)
    x = np.random.default_rng(0).random((5, 4)).astype("float32")
    context = np.arange(5.0)

    def loss(output: Tensor, x: Tensor, context: Tensor) -> Tensor:
        return (output - x - context[:, None]).square().sum(1)

    encoded = gfe.encode(decoder, x, loss=loss, context=context, max_steps=2)
    gfe.reconstruct(decoder, encoded.z.numpy(), gfe.Gaussian())
    assert gfe.fit(decoder, x).step == [1]
