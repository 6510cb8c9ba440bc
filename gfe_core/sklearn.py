"""Gradient Flow Encoding as a scikit-learn transformer: fit, transform, inverse_transform, score.

The class uses the verbs of the kit: `fit` trains the decoder, `transform` calls `encode`, and
`inverse_transform` calls `reconstruct`. Only this module imports scikit-learn's base classes, and
`import gfe_core` does not import this module: write `from gfe_core.sklearn import
GradientFlowEncoder`.

Shapes: `n` samples; `features` numbers each, NaN where missing; `components` latents.
"""

import copy
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from gfe_core import arguments, checks
from gfe_core.data import Batches, DataSet
from gfe_core.data.samples import features_of, images_for, in_shape_of, kinds_of, known_image_shape
from gfe_core.decoders import LinearDecoder, MLPDecoder, wrap
from gfe_core.encoding import encode, encode_observed, reconstruct
from gfe_core.energy import Gaussian
from gfe_core.models import save
from gfe_core.solvers import Solver
from gfe_core.training import fit
from gfe_core.types import AnyLoss, Encoding, Status

_SIZE = 1000
"""Number of samples encoded at once, which bounds the memory."""


class GradientFlowEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Encode samples by gradient flow through a decoder that is learnt from them.

    With the squared error, data may have any unit. Each feature is centred, and all are divided by
    one number, as in PCA: a wide feature counts more than a narrow one unless a `StandardScaler`
    comes before. With mean m (features), scale s, decoder D and code z,

        s^2 = mean over observed entries of (x - m)^2
        E(z) = mean over observed features of (x - m - s D(z))^2 / (2 s^2)
        x^ = m + s D(z)

    so that multiplying all data by one number changes no code. With any other loss nothing is
    centred or scaled, because the data of that loss have a unit of their own: x^ is then the loss's
    mean of D(z).

    NaN marks a missing entry. It has no influence on training, codes or score, and
    `inverse_transform` fills it in. A sample without any observed entry has the code 0.

    Codes of a sample do not depend on the other samples, except for rounding. They are computed in
    the float type of the data, float32 or float64; float32 is faster.

    Args:
        n_components: number of latents, >= 1; at most the number of features for "mlp" and
            "linear".
        decoder: "mlp", a `gfe_core.MLPDecoder` with widths `hidden`; "linear"; a `torch.nn.Module`
            that maps codes (batch, components) to data, a copy of which is trained from its present
            weights; or a callable that makes such a module, called with `latent_dim` and
            `data_dim`, such as `functools.partial(gfe_core.MLPDecoder, hidden=(32,))`.
        hidden: width of each hidden layer of "mlp", from code to data.
        loss: loss of a sample; None is the squared error in the unit of the data, as above. Other
            losses are used unchanged: `gfe_core.Bernoulli()` for grey values in [0, 1],
            `gfe_core.Poisson()` for counts, `gfe_core.Gaussian(variance=...)` for data of about
            unit scale.
        solver: solver that finds the codes, in training and in `transform`; None is
            `gfe_core.AMD()`.
        max_steps: limit on the solver's steps for each sample in training, >= 1. In `transform` the
            solver runs until it stops by itself. With few steps codes stay near the first part of
            the flow from 0; with many they may follow it to other valleys. Explained variance of
            unseen digits: with 2 components 0.46 ± 0.02 after 4 steps and 0.38 ± 0.03 after 50;
            with 8 components 0.67 ± 0.01 after 2 steps, 0.85 after 6 and 0.86 after 16.
        epochs: number of passes over the training data, >= 1.
        updates_per_encode: number of updates of the decoder at the same codes, >= 1. More updates
            use each search for codes better, which is the larger part of the work.
        batch_size: number of samples in a batch, >= 1.
        learning_rate: peak learning rate of Adam, > 0; the rate rises over the first third of the
            updates and then falls to almost 0.
        random_state: seed of the initial weights and of the order of the samples; an int gives the
            same result in every call.

    Attributes:
        decoder_: trained decoder, in evaluation mode. It maps codes to data, which are centred and
            scaled unless `loss` is given; `save` writes it with that scaling.
        loss_: loss by which codes are found.
        mean_: mean of each feature in training, shape (features,); the baseline of `score`.
        scale_: divisor of the centred data; 1 if `loss` is given, as data are then not centred.
        history_: energies during training, a `gfe_core.training.History`.
        n_features_in_: number of features.
        feature_names_in_: names of the features, if the data are a frame.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> from gfe_core.sklearn import GradientFlowEncoder
        >>> x = load_digits().data[:200]
        >>> model = GradientFlowEncoder(n_components=2, epochs=5, random_state=0).fit(x)
        >>> model.transform(x).shape, model.inverse_transform(model.transform(x)).shape
        ((200, 2), (200, 64))
        >>> list(model.get_feature_names_out())
        ['gradientflowencoder0', 'gradientflowencoder1']

    Source: Flouris et al. 2024 (arXiv 2412.00864), equations 1 to 3 and 12.
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        decoder: str | nn.Module | Callable[..., nn.Module] = "mlp",
        hidden: Sequence[int] = (64, 128),
        loss: AnyLoss | None = None,
        solver: Solver | None = None,
        max_steps: int = 6,
        epochs: int = 20,
        updates_per_encode: int = 4,
        batch_size: int = 64,
        learning_rate: float = 5e-3,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.decoder = decoder
        self.hidden = hidden
        self.loss = loss
        self.solver = solver
        self.max_steps = max_steps
        self.epochs = epochs
        self.updates_per_encode = updates_per_encode
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "GradientFlowEncoder":
        """Learn a decoder from samples.

        Args:
            X: samples, shape (n, features), at least 2; NaN where missing. An array, a frame, a
                tensor or a `DataSet`, as in all methods. Bytes (uint8) are refused, as by
                `gfe_core.encode`: they may be grey values, which a `DataSet` divides by 255.
            y: not used.

        Returns:
            The estimator itself.

        Raises:
            TypeError, ValueError: an argument or the data are invalid; the message says what to do.
            KeyboardInterrupt: training was interrupted. After any error an earlier fit is kept.
        """
        with _as_it_was(self):
            return self._fitted(X)

    def _fitted(self, X: Any) -> "GradientFlowEncoder":
        self._check_arguments()
        x = self._rows(validate_data(self, _given(X), **_ACCEPTED, ensure_min_samples=2))
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        loss = Gaussian() if self.loss is None else self.loss
        units = _Units.of(x)
        unit = units if self.loss is None else _Units.own(x.shape[1])
        decoder = self._made_decoder(x.shape[1], seed).to(x.dtype)
        images_for(decoder, known_image_shape(X), "X")
        batches = Batches(in_shape_of(decoder, unit.converted(x)), size=self.batch_size, seed=seed)
        own = [weight for weight in decoder.parameters() if weight.requires_grad]
        rate = checks.finite_positive("learning_rate", self.learning_rate)
        optimizer = torch.optim.Adam(own, lr=rate) if own else None
        n_updates = int(self.epochs) * len(batches) * int(self.updates_per_encode)
        schedule = optimizer and torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=n_updates + 2
        )
        history = fit(
            decoder,
            batches,
            encoder=partial(_encode, loss=loss, solver=self.solver, max_steps=self.max_steps),
            loss=loss,
            optimizer=optimizer,
            schedule=schedule,
            epochs=self.epochs,
            updates_per_encode=self.updates_per_encode,
            on_interrupt="raise",
        )
        self.decoder_ = decoder.eval().requires_grad_(False)
        self.loss_ = loss
        self.mean_ = units.mean
        self.scale_ = unit.scale
        self.history_ = history
        self._unit = unit
        self._is_scaled = self.loss is None
        self._solver = self.solver
        self._names = features_of(X)
        return self

    def transform(self, X: Any) -> Any:
        """Return the codes of samples, shape (n, components).

        Args:
            X: samples, shape (n, features); NaN where missing.
        """
        return self.encoding(X).z.numpy()

    def encoding(self, X: Any) -> Encoding:
        """Return the codes of samples with energies, statuses and counts: a `gfe_core` Encoding.

        Args:
            X: samples, shape (n, features); NaN where missing.
        """
        return self._encoded(self._samples(X))

    def save(self, path: str | os.PathLike[str], *, card: Mapping[str, Any] | None = None) -> Path:
        """Write decoder, loss, scaling and feature names to a model file.

        In another process, `model = gfe_core.load(path)` encodes `model.scaled(x)`; from a
        terminal, `python -m gfe_core encode --model path` does both.

        Args:
            path: path of the file.
            card: description of the model: data, settings, versions.

        Returns:
            The path.
        """
        check_is_fitted(self)
        shape = tuple(self.decoder_.data_shape)
        units = {"mean": self._unit.mean.reshape(shape), "scale": self._unit.scale}
        scaling = units if self._is_scaled else None
        loss: Any = self.loss_  # `save` refuses one that no file can hold
        return save(path, self.decoder_, loss=loss, scaling=scaling, names=self._names, card=card)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return the reconstructions of codes, in the unit of the data.

        Args:
            X: codes, shape (n, components); the columns of a frame in the order of `transform`.

        Returns:
            Data without gaps, shape (n, features).
        """
        check_is_fitted(self)
        codes = check_array(_given(X), dtype=_ACCEPTED["dtype"], input_name="X")
        n = self.decoder_.latent_dim
        wanted = f"`X` must hold codes of {n} components"
        checks.require(codes.shape[1] == n, f"{wanted}, got {codes.shape[1]} columns.")
        ours = [*map(str, self.get_feature_names_out())]
        # Names of columns without the prefix that a pipeline adds.
        theirs = [name.rpartition("__")[2] for name in features_of(X) or ()]
        checks.require(
            theirs == ours or {*theirs}.isdisjoint(ours),
            f"{wanted} in the order of `transform`, got columns {', '.join(theirs[:6])}. Write "
            "`X[[*model.get_feature_names_out()]]`.",
        )
        z = torch.tensor(np.ascontiguousarray(codes))
        return self._reconstructed(z).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the fraction of the variance that reconstructions explain, at most 1.

            R^2 = 1 - sum (x - x^)^2 / sum (x - m)^2

        over all observed entries, with m the mean of each feature in training; predicting that mean
        scores 0. The score has no unit and does not depend on the loss, so it can compare numbers
        of components, decoders and losses. With complete data it is PCA's fraction of explained
        variance. Codes are found from the same entries that are compared; missing entries do not
        count. If nothing at all was observed the score is NaN, with a warning.

        Args:
            X: samples, shape (n, features); NaN where missing.
            y: not used.
        """
        x = self._samples(X)
        observed = ~x.isnan()
        if not observed.any():
            warnings.warn(
                "`X` has no observed entry, so its score is NaN.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
            return math.nan
        known = x[observed].double()
        restored = self._reconstructed(self._encoded(x).z)[observed].double()
        mean = torch.tensor(self.mean_).expand(len(x), -1)[observed]
        left = (known - restored).square().sum().item()
        total = (known - mean).square().sum().item()
        if total == 0:
            return float(left == 0)
        return 1 - left / total

    def __sklearn_tags__(self) -> Any:
        """Declare to scikit-learn that NaN is accepted and that codes keep the float type."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        """Number of columns that `transform` returns, from which scikit-learn makes their names."""
        return self.decoder_.latent_dim

    def _check_arguments(self) -> None:
        """Refuse arguments that training cannot use; `encode` and `fit` refuse the rest."""
        for name in ("n_components", "max_steps", "epochs", "updates_per_encode", "batch_size"):
            checks.at_least_one(name, getattr(self, name))
        arguments.loss_or_none(self.loss)

    def _samples(self, X: Any) -> Tensor:
        """Return samples like those in training as a new tensor."""
        check_is_fitted(self)
        x = self._rows(validate_data(self, _given(X), **_ACCEPTED, reset=False))
        images_for(self.decoder_, known_image_shape(X), "X")
        checks.same_names("X", features_of(X), self._names)
        return x

    def _rows(self, X: Any) -> Tensor:
        """Return samples as a new tensor, in float32 or float64."""
        return torch.tensor(np.ascontiguousarray(X))  # torch has no negative strides

    def _made_decoder(self, n_features: int, seed: int) -> Any:
        """Make the decoder that the argument describes, with weights drawn from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # for callables, which draw from torch's own generator
            made: Any = self._decoder_meant(n_features)
        checks.require(
            isinstance(made, nn.Module),
            f"`decoder` must make a torch.nn.Module, got {checks.described(made)}.",
            TypeError,
        )
        if not hasattr(made, "latent_dim"):
            made = self._wrapped(made, n_features)
        checks.decoder_ready(made)
        got = (made.latent_dim, math.prod(made.data_shape))
        wanted = f"`decoder` must map {self.n_components} components to {n_features} features"
        checks.require(
            got == (self.n_components, n_features),
            f"{wanted}, got one of {got[0]} to {got[1]}. Set `n_components={got[0]}`, or pass a "
            "function that makes one for `latent_dim` and `data_dim`.",
        )
        return made

    def _wrapped(self, module: nn.Module, n_features: int) -> nn.Module:
        """Wrap a module that does not declare its sizes as a decoder."""
        try:
            return wrap(module, latent_dim=self.n_components, data_shape=(n_features,))
        except ValueError as error:
            raise ValueError(
                f"`decoder` does not map codes of {self.n_components} components to {n_features} "
                f"features. Set `n_components` to the size that it takes. ({error})"
            ) from error

    def _decoder_meant(self, n_features: int) -> Any:
        sizes: dict[str, Any] = {"latent_dim": self.n_components, "data_dim": n_features}
        if isinstance(self.decoder, nn.Module):
            return copy.deepcopy(self.decoder).requires_grad_()
        if callable(self.decoder):
            checks.require(
                arguments.takes_named(self.decoder, "latent_dim")
                and arguments.takes_named(self.decoder, "data_dim"),
                "`decoder` must be a function that makes a module for `latent_dim` and `data_dim`, "
                f"got {arguments.called(self.decoder)}. Write `lambda latent_dim, data_dim: ...`.",
                TypeError,
            )
            return self.decoder(**sizes)
        checks.require(
            isinstance(self.decoder, str) and self.decoder in ("mlp", "linear"),
            "`decoder` must be 'mlp', 'linear', a torch.nn.Module or a function that makes one for "
            f"`latent_dim` and `data_dim`, got {checks.described(self.decoder)}.",
        )
        checks.require(
            self.n_components <= n_features,
            f"`n_components` must not exceed the number of features, got n_components="
            f"{self.n_components} and n_features={n_features}. Lower `n_components`.",
        )
        if self.decoder == "linear":
            return LinearDecoder(**sizes)
        return MLPDecoder(**sizes, hidden=self.hidden)

    def _encoded(self, x: Tensor) -> Encoding:
        """Encode samples that are in the unit of the data."""
        decoder = self._decoder_in(x.dtype)
        converted = in_shape_of(decoder, self._unit.converted(x))
        encoding = _encode(decoder, converted, loss=self.loss_, solver=self._solver, size=_SIZE)
        if (encoding.status == int(Status.NOT_REACHED)).any():
            raise KeyboardInterrupt  # rows of a table must not be codes that were never looked for
        return encoding

    def _reconstructed(self, z: Tensor) -> Tensor:
        """Return reconstructions of codes in the unit of the data."""
        output = reconstruct(self._decoder_in(z.dtype), z, self.loss_)
        return self._unit.restored(output.flatten(1))

    def _decoder_in(self, dtype: torch.dtype) -> Any:
        """Return the decoder in the float type of the data, which may differ from training."""
        weight = next(self.decoder_.parameters(), torch.empty(0, dtype=dtype))
        return self.decoder_ if weight.dtype == dtype else copy.deepcopy(self.decoder_).to(dtype)


_FLOATS = [np.float64, np.float32]
_ACCEPTED: dict[str, Any] = {"dtype": _FLOATS, "ensure_all_finite": "allow-nan"}


def _given(X: Any) -> Any:
    """Convert a data set, tensor or masked array to an array of the same float type."""
    x = X.x if isinstance(X, DataSet) else X
    checks.require(
        kinds_of(x) != {"uint8"},
        "`X` is of type uint8, which may be grey values or counts. Write `X / 255` for grey values "
        "(as `gfe_core.data.DataSet.of` and `load` read them), `X * 1.0` for others.",
        TypeError,
    )
    if isinstance(x, np.ma.MaskedArray):
        kind = x.dtype if x.dtype.kind == "f" else np.float64
        return np.ma.asarray(x, dtype=kind).filled(np.nan)
    if not isinstance(x, Tensor):
        return x
    known = x.dtype in (torch.float32, torch.float64) or not x.is_floating_point()
    return (x if known else x.float()).detach().cpu().numpy()


@contextmanager
def _as_it_was(model: BaseEstimator) -> Iterator[None]:
    """Restore the state of an estimator if the block raises an error."""
    before = dict(vars(model))
    try:
        yield
    except BaseException:
        vars(model).clear()
        vars(model).update(before)
        raise


@dataclass(frozen=True)
class _Units:
    """Conversion of data for the decoder: (x - mean) / scale."""

    mean: np.ndarray
    scale: float

    @classmethod
    def own(cls, n_features: int) -> "_Units":
        """Return units that leave data unchanged."""
        return cls(np.zeros(n_features), 1.0)

    @classmethod
    def of(cls, x: Tensor) -> "_Units":
        """Mean of each feature and one scale for all features, over observed entries.

        A feature that was never observed has mean 0; data that never vary have scale 1.
        """
        values = x.double()
        mean = values.nanmean(0).nan_to_num(0.0)
        spread = (values - mean)[~values.isnan()]
        largest = spread.abs().max().item() if len(spread) else 0.0
        if not largest > 0:
            return cls(mean.numpy(), 1.0)
        # In units of the largest deviation, because its square may overflow or vanish.
        scale = largest * (spread / largest).square().mean().sqrt().item()
        return cls(mean.numpy(), scale)

    def converted(self, x: Tensor) -> Tensor:
        """Convert data for the decoder, in their float type."""
        return ((x.double() - torch.tensor(self.mean)) / self.scale).to(x.dtype)

    def restored(self, output: Tensor) -> Tensor:
        """Convert outputs of the decoder back to data."""
        return (output.double() * self.scale + torch.tensor(self.mean)).to(output.dtype)


def _encode(decoder: Any, x: Tensor, **options: Any) -> Encoding:
    """Encode; omit the mask if nothing is missing, which is faster and gives the same codes."""
    return (encode_observed if x.isnan().any() else encode)(decoder, x, **options)
