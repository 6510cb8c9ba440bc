import math

import numpy as np
import pytest
import torch
from problems import digits, fresh
from torch import nn

import gfe_core as gfe

pytestmark = pytest.mark.usefixtures("unchecked")


class Small(nn.Module):
    """A decoder of 64 pixels with one more layer in its middle."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.latent_dim = 8
        self.data_shape: tuple[int, ...] = (64,)
        self.layers = nn.Sequential(nn.Linear(8, 16), layer, nn.Linear(16, 64)).double()

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.layers(z)


def bad(change: dict[str, object]) -> None:
    """Encode four digits with one argument replaced."""
    arguments: dict = {"decoder": fresh("mlp"), "x": digits(4), "max_steps": 3} | change
    gfe.encode(arguments.pop("decoder"), arguments.pop("x"), **arguments)


X = digits(4)
BAD_X = [
    (
        X[0],
        ValueError,
        (
            r"`x` must have shape \(batch, 64\) for this decoder, got \(64,\). Add a batch axis: "
            r"`x\[None\]`."
        ),
    ),
    (
        X.reshape(4, 8, 8),
        ValueError,
        (
            r"`x` must have shape \(batch, 64\).*got \(4, 8, 8\). Reshape it: "
            r"`x.reshape\(len\(x\), 64\)`"
        ),
    ),
    (
        X[:0].reshape(0, 8, 8),
        ValueError,
        r"got \(0, 8, 8\). Reshape it: `x.reshape\(len\(x\), 64\)`",
    ),
    (X[:, :60], ValueError, r"`x` must have shape \(batch, 64\) for this decoder, got \(4, 60\)."),
    (X[:0, :60], ValueError, r"`x` must have shape \(batch, 64\) for this decoder, got \(0, 60\)."),
    (X[0, 0], ValueError, r"`x` must have shape \(batch, 64\) for this decoder, got \(\)"),
    (X.numpy() > 0.5, TypeError, "`x` must have a float dtype, got torch.bool"),
    (X.tolist(), TypeError, "`x` must be a torch.Tensor, got list"),
    (None, TypeError, "`x` must be a torch.Tensor, got NoneType"),
    (
        (16 * X).long(),
        TypeError,
        "`x` must have a float dtype, got torch.int64. Convert it: `x.float",
    ),
    ((16 * X).to(torch.uint8), TypeError, "`x` must have a float dtype, got torch.uint8"),
    (X > 0.5, TypeError, "`x` must have a float dtype, got torch.bool"),
    (X.to(torch.complex128), TypeError, "`x` must have a float dtype, got torch.complex128"),
    (
        X.float(),
        TypeError,
        (
            r"`x` is torch.float32 but the decoder is torch.float64. Convert one: "
            r"`x.to\(torch.float64\)`"
        ),
    ),
    (
        16 * X,
        ValueError,
        r"`x` must lie in \[0, 1\] for the Bernoulli loss, got values from 0 to 16. Rescale it",
    ),
    (X - 0.01, ValueError, r"`x` must lie in \[0, 1\].*from -0.01 to .*Gaussian"),
    (X * (1 + 2e-7), ValueError, r"the range by 2\.0e-07; if that is rounding.*clamp\(0, 1\)"),
]


@pytest.mark.parametrize(
    ("x", "kind", "message"), BAD_X, ids=lambda value: value[:40] if isinstance(value, str) else ""
)
def test_data_that_does_not_fit_is_refused_with_the_remedy(x, kind, message):
    with pytest.raises(kind, match=message):
        bad({"x": x})


BAD_ARGUMENTS = [
    ({"max_steps": 0}, ValueError, "`max_steps` must be at least 1, got 0"),
    ({"max_steps": -5}, ValueError, "`max_steps` must be at least 1, got -5"),
    ({"t1": 0.0, "solver": gfe.Euler(dt=1.0)}, ValueError, "`t1` must be positive"),
    ({"t1": -1.0, "solver": gfe.Euler(dt=1.0)}, ValueError, "`t1` must be positive.*got -1.0"),
    ({"t1": math.nan, "solver": gfe.Euler(dt=1.0)}, ValueError, "`t1` must be positive.*got nan"),
    (
        {"solver": gfe.Euler(dt=1.0)},
        ValueError,
        "`t1` must be finite for Euler: a fixed grid ends at t1. Pass `t1=...`",
    ),
    ({"solver": gfe.RK4(n_steps=3)}, ValueError, "`t1` must be finite for RK4"),
    (
        {"t1": 1.0, "solver": gfe.AMD(trial="barzilai_borwein")},
        ValueError,
        "`t1` is 1.0, but AMD.*has no flow time.*Leave `t1` out",
    ),
    ({"on_failure": "ignore"}, ValueError, "`on_failure` must be 'mark' or 'raise', got 'ignore'"),
    (
        {"z0": X},
        ValueError,
        r"`z0` must be a tensor of shape \(4, 8\) and type torch.float64, got \(4, 64\)",
    ),
    ({"z0": torch.zeros(8)}, ValueError, r"`z0` must be .*got \(8,\), torch.float32"),
    (
        {"z0": torch.zeros(4, 8)},
        ValueError,
        r"`z0` must be .*type torch.float64, got \(4, 8\), torch.float32",
    ),
    ({"z0": [0.0] * 8}, TypeError, "`z0` must be a torch.Tensor, got "),
    (
        {"mask": torch.ones(4, 8, dtype=torch.bool)},
        ValueError,
        r"`mask` must be a bool tensor of shape \(4, 64\).*got \(4, 8\)",
    ),
    ({"mask": torch.ones(4, 64)}, ValueError, "`mask` must be a bool tensor.*torch.float32"),
    ({"mask": [True]}, TypeError, r"`mask` must be a torch.Tensor, got \[True\]"),
]


@pytest.mark.parametrize(
    ("change", "kind", "message"), BAD_ARGUMENTS, ids=lambda value: str(value)[:50]
)
def test_argument_that_makes_no_sense_is_refused_with_the_remedy(change, kind, message):
    with pytest.raises(kind, match=message):
        bad(change)


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm1d(16), nn.Dropout(0.5), nn.AlphaDropout(0.5), nn.RReLU()],
    ids=lambda layer: type(layer).__name__,
)
def test_layer_that_couples_samples_or_draws_at_random_is_refused_in_training_mode(layer):
    decoder = Small(layer)
    with pytest.raises(
        ValueError, match=rf"`decoder` has {type(layer).__name__} \(`layers.1`\).*decoder.eval\(\)"
    ):
        bad({"decoder": decoder})
    assert gfe.encode(decoder.eval(), digits(4), max_steps=3).energy.isfinite().all()
    assert not decoder.training  # encoding did not switch it back


def test_batch_norm_without_running_statistics_is_refused_even_in_eval_mode():
    decoder = Small(nn.BatchNorm1d(16, track_running_stats=False)).eval()
    with pytest.raises(ValueError, match=r"BatchNorm1d \(`layers.1`\) without running statistics"):
        bad({"decoder": decoder})


def test_layers_that_keep_samples_apart_are_accepted_in_training_mode():
    for layer in (nn.GroupNorm(4, 16), nn.LayerNorm(16), nn.Identity()):
        encoding = gfe.encode(Small(layer).train(), digits(4), max_steps=3)
        alone = gfe.encode(Small(layer).train(), digits(4)[:1], max_steps=3)
        assert encoding.energy.isfinite().all() and alone.energy.isfinite().all()


def test_sparse_data_and_whole_starts_are_refused_by_their_names():
    with pytest.raises(TypeError, match=r"`x` must be dense, .*`x\.to_dense\(\)`"):
        bad({"x": digits(4).to_sparse()})
    with pytest.raises(TypeError, match="`z0` must have a float dtype"):
        bad({"z0": np.ones((4, 8), int)})


@pytest.mark.parametrize("attribute", ["latent_dim", "data_shape"])
def test_decoder_without_its_sizes_is_refused(attribute):
    decoder = Small(nn.Identity())
    delattr(decoder, attribute)
    with pytest.raises(
        TypeError,
        match=f"`decoder` must have `{attribute}`.*Small has none. Set it as an attribute",
    ):
        bad({"decoder": decoder})


def test_any_callable_with_its_sizes_is_a_decoder():
    class Lifted:
        latent_dim = 2
        data_shape: tuple[int, ...] = (64,)

        def __call__(self, z: torch.Tensor) -> torch.Tensor:
            return z.repeat(1, 32)

    encoding = gfe.encode(Lifted(), digits(3))
    assert encoding.z.shape == (3, 2) and encoding.energy.isfinite().all()


def test_only_finite_observed_pixels_are_range_checked():
    x = digits(3)
    x[0, 0] = math.nan
    x[1, 1] = math.inf
    x[2, 2] = -math.inf
    assert gfe.encode(fresh("mlp"), x, max_steps=2).z.shape == (3, 8)
    x = digits(3)
    x[0, 0] = 300.0
    observed = torch.ones(3, 64, dtype=torch.bool)
    observed[0, 0] = False
    assert gfe.encode(fresh("mlp"), x, mask=observed, max_steps=2).energy.isfinite().all()
    assert gfe.encode(fresh("mlp"), x, loss=gfe.Gaussian(), max_steps=2).energy.isfinite().all()


def test_refusals_change_nothing_of_the_caller():
    decoder = fresh("mlp")
    assert isinstance(decoder, nn.Module)
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    tensors = [x for x, _, _ in BAD_X if isinstance(x, torch.Tensor)]
    copies = [x.clone() for x in tensors]
    for x, kind, _ in BAD_X:
        with pytest.raises(kind):
            bad({"decoder": decoder, "x": x})
    for change, kind, _ in BAD_ARGUMENTS:
        with pytest.raises(kind):
            bad({"decoder": decoder} | change)
    assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())
    assert all(
        torch.equal(x, copy) and not x.requires_grad
        for x, copy in zip(tensors, copies, strict=True)
    )
    assert all(
        parameter.grad is None and parameter.requires_grad for parameter in decoder.parameters()
    )
    assert decoder.training


def test_failure_is_raised_on_request_with_the_samples_named():
    x = digits(8)
    x[2, 0] = x[5, 0] = math.nan
    with pytest.raises(
        RuntimeError, match=r"2 of 8 samples failed \(2 NON_FINITE, 5 NON_FINITE\).*`x` for NaN"
    ):
        gfe.encode(fresh("mlp"), x, max_steps=3, on_failure="raise")
    assert gfe.encode(fresh("mlp"), x[:2], max_steps=3, on_failure="raise").z.shape == (2, 8)


def test_decoder_without_numbers_is_refused_in_words():
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(4,), data_dim=3).to("meta")
    x = torch.rand(2, 3)
    for call in (
        lambda: gfe.encode(decoder, x),
        lambda: gfe.encode(decoder, x.to("meta")),
        lambda: gfe.save("never.pt", decoder),
    ):
        with pytest.raises(ValueError, match="`decoder` is on the device 'meta': .*to_empty"):
            call()


def test_data_of_no_axis_are_refused_where_the_decoder_is_looked_at():
    class Single(nn.Module):
        latent_dim, data_shape = 2, ()

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z.sum(1)

    with pytest.raises(TypeError, match=r"`decoder.data_shape` must be .* number `\(1,\)`"):
        gfe.encode(Single(), torch.rand(3))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"`data_shape` must have at least one axis.*`\(1,\)`"):
        gfe.wrap(lambda z: z.sum(1), latent_dim=2, data_shape=())
