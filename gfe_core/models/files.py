"""Models: a trained decoder with everything that its codes need, in one file.

    fit  ->  save  ->  a file  ->  load  ->  Model(decoder, loss, ...)  ->  encode

A model file is for using a decoder; a checkpoint (`gfe.save_checkpoint`) is for continuing its
training.
"""

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gfe_core import arguments, checks
from gfe_core.data.dataset import DataSet
from gfe_core.data.files import read_tensors, write_tensors
from gfe_core.data.samples import (
    Samples,
    features_of,
    images_for,
    in_shape_of,
    known_features,
    known_image_shape,
    rows_of,
    weight_of,
)
from gfe_core.data.values import RESOLVED
from gfe_core.decoders import (
    ConvDecoder,
    FlatDecoder,
    InvertibleDecoder,
    LinearDecoder,
    MLPDecoder,
    SirenDecoder,
    TransposedConvDecoder,
    Wrapped,
    wrap,
)
from gfe_core.decoders.probes import gap, probe
from gfe_core.energy import Bernoulli, Gaussian, Poisson
from gfe_core.energy import probes as energy_probes
from gfe_core.types import AnyLoss, Data, Decoder, Loss

_FORMAT = "gfe_core model"
_VERSION = 1
_DECODERS: dict[str, Callable[..., FlatDecoder]] = {
    kind.__name__: kind
    for kind in (
        MLPDecoder,
        LinearDecoder,
        InvertibleDecoder,
        ConvDecoder,
        TransposedConvDecoder,
        SirenDecoder,
    )
}
_LOSSES: dict[str, Callable[..., Loss]] = {
    kind.__name__: kind for kind in (Bernoulli, Gaussian, Poisson)
}
_HOOKS = {
    "_forward_hooks": "a forward hook",
    "_forward_pre_hooks": "a forward pre-hook",
    "_backward_hooks": "a backward hook",
    "_backward_pre_hooks": "a backward pre-hook",
}
"""Attributes in which torch keeps the hooks of a module, and the names of the hooks."""

_UNTRIED = (
    "`{name}` could not be tried when it was saved, because it draws at random or refuses the "
    "probe's numbers: `load` cannot tell whether it is built with the constants it has now. Note "
    "them, such as in `card=`, and build it with them."
)
"""What `save` warns of where a probe is empty."""


@dataclass(frozen=True, eq=False)
class Model:
    """A decoder with everything that is needed to encode with it; made by `load`.

    Args:
        decoder: decoder in evaluation mode, on the CPU.
        loss: loss with which the decoder was trained.
        data_shape: shape of one sample.
        card: description of the model: data, settings, command, energies.
        scaling: "mean" and "scale" of the data in their own units, float64; None if not given.
        classes: names of the classes; None if not given.
        names: names of the features, in their order; None if not given.

    Example:
        >>> import tempfile
        >>> import gfe_core as gfe
        >>> path = Path(tempfile.mkdtemp(), "model.pt")
        >>> decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
        >>> _ = save(path, decoder, loss=gfe.Gaussian(), scaling={"mean": 20.0, "scale": 5.0})
        >>> model = load(path)
        >>> x = torch.tensor([[20.0, 25.0, 15.0]])
        >>> model.scaled(x)
        tensor([[ 0.,  1., -1.]])
        >>> gfe.encode(model.decoder, model.scaled(x), loss=model.loss).z.shape
        torch.Size([1, 2])
    """

    decoder: Decoder
    loss: AnyLoss
    data_shape: tuple[int, ...]
    card: Mapping[str, Any] = field(default_factory=dict)
    scaling: Mapping[str, Tensor] | None = None
    classes: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None

    def scaled(self, x: Samples) -> Data:
        """Convert data from their own units to those of the decoder: (x - mean) / scale.

        The result is computed in float64, so that float64 data may lie far from 0, and then rounded
        once to the float type of the decoder. Without a scaling, data are only converted to that
        type.

        Args:
            x: a tensor, an array, a frame or a `DataSet`, whose rows are reshaped to the decoder's
                samples; NaN stays NaN.

        Raises:
            TypeError: the data are not floats.
            ValueError: the shape of the data does not match the scaling, or the features have other
                names or another order than those of the model.
        """
        checks.same_names("x", features_of(x), self.names)
        images_for(self.decoder, known_image_shape(x))
        weight = weight_of(self.decoder)
        rows = _floats(x, weight)
        table = isinstance(x, DataSet) or features_of(x) is not None
        if table and rows.dim() == 2:
            rows = in_shape_of(self.decoder, rows)
        if self.scaling is not None:
            mean, scale = self._units_for(rows)
            rows = (rows.double() - mean) / scale
        elif weight is None:
            return rows
        return rows.to(torch.get_default_dtype() if weight is None else weight.dtype)

    def unscaled(self, x: Samples) -> Data:
        """Convert reconstructions to the units of the data: x * scale + mean.

        The result has the float type of x, or float64 if that type has too few digits for the scale
        relative to the mean.

        Args:
            x: reconstructions, such as `gfe.reconstruct` returns; a tensor, an array or a frame.

        Raises:
            TypeError: the reconstructions are not floats.
            ValueError: their shape does not match the scaling, or their features have other names
                or another order than those of the model.
        """
        checks.same_names("x", features_of(x), self.names)
        rows = _floats(x, weight_of(self.decoder))
        if self.scaling is None:
            return rows
        mean, scale = self._units_for(rows)
        step = torch.finfo(rows.dtype).eps * mean.abs()
        dtype = rows.dtype if bool((step <= RESOLVED * scale).all()) else torch.float64
        return (rows.double() * scale + mean).to(dtype)

    def _units_for(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and scale, in float64, on the device of the data, after a check of shapes."""
        assert self.scaling is not None
        mean, scale = (self.scaling[name].to(x.device, torch.float64) for name in ("mean", "scale"))
        shape = torch.broadcast_shapes(mean.shape, scale.shape)
        fits = all(n in (1, size) for n, size in zip(shape[::-1], x.shape[::-1], strict=False))
        listed = ", ".join(map(str, self.data_shape))
        remedy = (
            f"Reshape the samples: `x.reshape(-1, {listed})`."
            if math.prod(x.shape[1:]) == math.prod(self.data_shape)
            else "Pass samples of this shape, or load the model of yours."
        )
        checks.require(
            fits and len(shape) <= x.dim(),
            f"`x` must have shape (batch, {listed}) for the scaling of this model, got "
            f"{tuple(x.shape)}. {remedy}",
        )
        return mean, scale

    def __repr__(self) -> str:
        name = type(self.decoder).__name__
        size = f"latent_dim={self.decoder.latent_dim}, data_shape={self.data_shape}"
        more = [f"card: {', '.join(self.card)}"] if self.card else []
        more += ["scaled"] if self.scaling is not None else []
        more += [f"{len(self.classes)} classes"] if self.classes is not None else []
        return f"Model({name}({size}), {self.loss!r}{''.join(f'; {word}' for word in more)})"


@arguments.in_own_words
def save(
    path: str | os.PathLike[str],
    decoder: nn.Module,
    *,
    loss: Loss | None = None,
    scaling: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Write a decoder, its loss and a description of its data to one file.

    The file holds tensors and plain values: reading it executes no code. The kit's own decoders are
    described by their arguments, so that `load(path)` builds them. Of other modules only the
    weights are kept, and `load` needs a function that builds the module. The file is written next
    to the target and then moved into place.

    Args:
        path: path of the file.
        decoder: decoder to save; layers with a training mode must be in evaluation mode. For a
            compiled decoder, the module that was compiled is saved.
        loss: loss with which it was trained, `Bernoulli()` by default; saved by name and fields.
        scaling: {"mean": ..., "scale": ...}, the conversion (x - mean) / scale of the data before
            training: one number each, or one for each feature, also in a series; defaults are 0
            and 1.
        classes: names of the classes to which labels refer.
        names: names of the features, one for each number of a sample in their order, such as
            `data.features` of a table; by default those of a loaded decoder. The decoder that
            `load` returns then refuses tables with other columns, or in another order.
        card: information for readers, as a dict of plain values: data, settings, command,
            energies.

    Returns:
        The path written.

    Warns:
        UserWarning: decoder or loss could not be tried at fixed numbers (with a context of ones
            where they take one), so that `load` cannot tell other constants from those of now.

    Raises:
        TypeError: the decoder is not a module, the loss is invalid, or a value of the card is not
            plain.
        ValueError: scaling or names do not match the data, or the decoder differs from the one that
            its arguments build (a layer was replaced, a hook added): pass it through `wrap`.
        OSError: the file cannot be written; the message names the path, and a full disk as the
            cause.

    Example:
        >>> import tempfile
        >>> import gfe_core as gfe
        >>> decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=4)
        >>> path = save(Path(tempfile.mkdtemp(), "model.pt"), decoder, card={"data": "digits"})
        >>> load(path).card
        {'data': 'digits'}
    """
    checks.path("path", path)
    checks.require(
        isinstance(decoder, nn.Module),
        f"`decoder` must be a torch.nn.Module, got {type(decoder).__name__}: only modules have "
        "weights to save. Make it one: `gfe.wrap(decoder, latent_dim=..., data_shape=...)`.",
        TypeError,
    )
    arguments.loss_or_none(loss)
    original: Any = getattr(decoder, "_orig_mod", decoder)
    checks.decoder_ready(original)
    used_loss = loss or Bernoulli()
    data_shape = tuple(int(n) for n in original.data_shape)
    names = known_features(original) if names is None else names
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "decoder": _description(original),
        "latent_dim": int(original.latent_dim),
        "data_shape": data_shape,
        "weights": _weights(original),
        "probe": probe(original),
        "loss": _loss_description(used_loss),
        "loss_probe": {} if _is_kit(used_loss) else energy_probes.probe(used_loss, original),
        "scaling": None if scaling is None else _scaling(scaling, data_shape, names),
        "classes": None if classes is None else _class_names(classes),
        "names": None if names is None else _feature_names(names, data_shape),
        "card": _plain_card({} if card is None else card),
    }
    _check_description(original, content)
    untried = ["decoder"] * (not content["probe"])
    untried += ["loss"] * (not content["loss_probe"] and not _is_kit(used_loss))
    for name in untried:
        warnings.warn(_UNTRIED.format(name=name), stacklevel=3)
    write_tensors(path, content)
    return Path(path)


@arguments.in_own_words
def load(
    path: str | os.PathLike[str],
    *,
    decoder: Callable[[], Any] | None = None,
    loss: Callable[..., Loss] | None = None,
) -> Model:
    """Read a model that `save` wrote; no code in the file is executed.

    Args:
        path: path of the file.
        decoder: class or function without arguments that builds the module whose weights the file
            holds, such as `lambda: MyNet(width=64)`. Needed for modules that are not the kit's.
        loss: class of a loss that is not the kit's. It is called with the fields of the saved loss
            if that was a dataclass of plain values and tensors, and otherwise without arguments.

    Returns:
        The model, all of whose weights can be trained. With the same versions on the same machine,
        codes are equal to the bit.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: `decoder` does not build a module.
        ValueError: the file is damaged or not a model; `decoder` or `loss` is needed; or the module
            that `decoder` builds has other weights, or computes other outputs than the saved one.

    Example:
        >>> import tempfile
        >>> import gfe_core as gfe
        >>> def build():
        ...     return gfe.wrap(torch.nn.Linear(2, 3), latent_dim=2, data_shape=(3,))
        >>> path = save(Path(tempfile.mkdtemp(), "mine.pt"), build(), loss=gfe.Gaussian())
        >>> load(path, decoder=build)
        Model(Wrapped(latent_dim=2, data_shape=(3,)), Gaussian(reduction='mean', variance=1.0))
    """
    checks.path("path", path)
    content = _read(path)
    built = _build(content, decoder, path)
    _load_weights(built, content["weights"], path)
    built.eval()
    _compare_with_probe(built, content["probe"], path)
    names = tuple(content["names"]) if content.get("names") else None  # older files have none
    if names is not None:
        built.feature_names = names  # so that it refuses other tables, as the model does
    return Model(
        decoder=built,
        loss=_same_loss(_build_loss(content["loss"], loss, path), content, path),
        data_shape=tuple(content["data_shape"]),
        card=content["card"],
        scaling=content["scaling"],
        classes=None if content["classes"] is None else tuple(content["classes"]),
        names=names,
    )


# data


def _floats(x: Any, weight: Tensor | None) -> Tensor:
    """Return data as a tensor; arrays and frames in float64, on the device of the decoder."""
    device = None if weight is None else weight.device
    rows = rows_of(x, like=torch.empty(0, dtype=torch.float64, device=device))
    if not (isinstance(rows, Tensor) and rows.is_floating_point()):
        scaled = " Divide grey values by 255." if isinstance(rows, Tensor) else ""
        raise TypeError(
            f"`x` must hold floats in a tensor, an array or a frame, got {checks.described(x)}. "
            f"{checks.into_samples(x, 'x')}{scaled}"
        )
    return rows


# decoders


def _description(decoder: nn.Module) -> dict[str, Any]:
    """Describe a decoder: the arguments for one of the kit, the name for others."""
    name = type(decoder).__name__
    if _DECODERS.get(name) is not type(decoder):
        return {"name": name, "arguments": None, "wrapped": isinstance(decoder, Wrapped)}
    assert isinstance(decoder, FlatDecoder)
    described = {"name": name, "arguments": _plain(decoder.arguments, "decoder.arguments")}
    if isinstance(decoder, SirenDecoder):  # it may be evaluated at other places than its own
        shape = decoder.image_shape
        described["coordinates"] = decoder.coordinates.detach().cpu().clone()
        described["image_shape"] = None if shape is None else tuple(shape)
    return described


def _of_the_kit(described: dict[str, Any]) -> FlatDecoder:
    """Build a decoder of the kit from its description, without its weights."""
    with torch.random.fork_rng(devices=[]):  # loading must not change the next random draws
        built = _DECODERS[described["name"]](**described["arguments"])
    if isinstance(built, SirenDecoder):
        shape = described["image_shape"]
        return built.at(described["coordinates"], image_shape=shape)
    return built


def _weights(decoder: nn.Module) -> dict[str, Tensor]:
    weights = dict(decoder.state_dict())
    other = [name for name, value in weights.items() if not isinstance(value, Tensor)]
    checks.require(
        not other,
        f"`decoder` has a state that is not a tensor: {', '.join(other)}. Register it as a buffer.",
        TypeError,
    )
    return {_plain_name(name): value.detach().cpu() for name, value in weights.items()}


def _plain_name(weight: str) -> str:
    """Return the name of a weight without the prefix that torch.compile adds."""
    return weight.replace("_orig_mod.", "")


def _check_description(decoder: nn.Module, content: dict[str, Any]) -> None:
    """Refuse a decoder of the kit that differs from the one its arguments build."""
    if content["decoder"]["arguments"] is None:
        return
    name = content["decoder"]["name"]
    problem = f"`decoder` is a {name}, but its arguments and weights do not build it again"
    remedy = (
        "Remove hooks that only observe (`handle.remove()`). Changes of the outputs turn it into "
        "another module: `gfe.save(path, gfe.wrap(decoder, latent_dim=..., "
        "data_shape=...))`, loaded with `decoder=`, a function that builds it."
    )
    twin = _of_the_kit(content["decoder"])
    try:
        _load_weights(twin, content["weights"], "to be written")
        _compare_with_probe(twin, content["probe"], "to be written")
    except ValueError as error:
        changed = _changed(decoder, twin) or "a layer, parametrisation or constant was changed"
        raise ValueError(f"{problem}: {changed}. {remedy}") from error
    changed = _changed(decoder, twin)
    checks.require(not changed, f"{problem}: {changed}. {remedy}")


def _changed(decoder: nn.Module, twin: nn.Module) -> str:
    """Describe a module that differs from that of a newly built twin, or has a hook; else "".

    Outputs at a few codes do not show this: a hook may clamp other outputs, and ReLU6 equals ReLU
    up to 6.
    """
    ours, theirs = _modules(decoder), _modules(twin)
    for place in sorted({*ours, *theirs}):
        one, other = ours.get(place), theirs.get(place)
        if type(one) is not type(other):
            return f"`{place}` is {_called(one)} in place of {_called(other)}"
        if "forward" in vars(one):
            return f"`{place}` has a `forward` of its own"
    for place, module in decoder.named_modules():
        for kept, hook in _HOOKS.items():
            if getattr(module, kept, None):
                return f"`{place or 'decoder'}` has {hook}"
    return ""


def _modules(decoder: nn.Module) -> dict[str, nn.Module]:
    """Return the modules of a decoder by their names, without torch.compile's wrappers."""
    return {
        _plain_name(f"{place}.").rstrip(".") or "decoder": module
        for place, module in decoder.named_modules()
    }


def _called(module: nn.Module | None) -> str:
    return "nothing" if module is None else type(module).__name__


def _build(content: dict[str, Any], factory: Callable[[], Any] | None, path: Any) -> Any:
    described = content["decoder"]
    name = described["name"]
    if factory is None:
        checks.require(
            described["arguments"] is not None,
            f"`path` {path} holds the weights of {name}, which is not a decoder of the kit. Pass a "
            "function that builds one: `gfe.load(path, decoder=lambda: ...)`.",
        )
        return _of_the_kit(described)
    instance = isinstance(factory, nn.Module)
    checks.require(
        callable(factory) and not instance,
        "`decoder` must be a function that builds the module, got "
        f"{'a module' if instance else type(factory).__name__}. Pass `lambda: ...` around it.",
        TypeError,
    )
    checks.require(
        arguments.takes(factory) or isinstance(factory, type),
        "`decoder` must be a function without arguments that builds the module. Write `lambda: "
        "MyNet(width=64)`.",
        TypeError,
    )
    try:
        built: Any = factory()
    except TypeError as error:
        raise TypeError(
            f"`decoder` failed to build the module: {error}. Write `lambda: MyNet(width=64)`."
        ) from error
    if described.get("wrapped") and not isinstance(built, Wrapped):
        built = wrap(built, latent_dim=content["latent_dim"], data_shape=content["data_shape"])
    checks.require(
        isinstance(built, nn.Module),
        f"`decoder` must build a torch.nn.Module, got {type(built).__name__}.",
        TypeError,
    )
    checks.decoder_ready(built.eval())
    ours = (built.latent_dim, tuple(built.data_shape))
    theirs = (content["latent_dim"], tuple(content["data_shape"]))
    checks.require(
        ours == theirs,
        f"`decoder` builds a module of latent_dim and data_shape {ours}, but `path` {path} holds "
        f"one of {theirs}. Build it with the sizes it was saved with.",
    )
    return built


def _load_weights(decoder: nn.Module, weights: dict[str, Tensor], path: Any) -> None:
    """Load weights, each in the dtype of the file."""
    own = decoder.state_dict(keep_vars=True)
    ours = {_plain_name(name): tuple(value.shape) for name, value in own.items()}
    theirs = {name: tuple(value.shape) for name, value in weights.items()}
    if ours != theirs:
        differing = next(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
        raise ValueError(
            f"`decoder` does not fit `path` {path}: `{differing}` is "
            f"{ours.get(differing, 'absent')} here and {theirs.get(differing, 'absent')} in the "
            "file. Build it as it was saved."
        )
    for name, value in own.items():
        value.data = value.data.to(weights[_plain_name(name)].dtype)
    decoder.load_state_dict({name: weights[_plain_name(name)] for name in own})


def _compare_with_probe(decoder: Any, kept: dict[str, Tensor], path: Any) -> None:
    """Refuse a decoder whose outputs differ from those of the saved one."""
    if not kept:
        return
    difference, rounding = gap(decoder, kept)
    differing = ~(difference <= rounding)
    if differing.any():
        worst = int(torch.where(differing)[0][0])
        raise ValueError(
            f"`decoder` has the weights of `path` {path} but computes something else: at a code "
            f"of length {kept['z'][worst].norm().item():.3g} its outputs differ by "
            f"{difference[worst].item():.3g} from those that were saved. Build it as it was "
            "saved: the same layers, activations and constants."
        )


# losses, scaling, classes, card


def _loss_description(loss: Loss) -> dict[str, Any]:
    """Return the name and the fields of a loss."""
    checks.require(
        isinstance(loss, Loss) and not isinstance(loss, type),
        f"`loss` must be a loss, such as `gfe.Bernoulli()`, got {loss!r}.",
        TypeError,
    )
    values = {}
    if is_dataclass(loss):
        values = {one.name: getattr(loss, one.name) for one in fields(loss) if one.init}
    try:
        values = _plain(values, "loss", tensors=True)
    except TypeError:  # a function or a loss within a loss: the caller of `load` builds it
        values = {}
    return {"name": type(loss).__name__, "fields": values, "kit": _is_kit(loss)}


def _same_loss(loss: Any, content: dict[str, Any], path: Any) -> Any:
    """Refuse a loss whose energies differ from those of the saved one."""
    kept = content.get("loss_probe")  # absent in older files
    name = type(loss).__name__
    checks.require(
        not kept or energy_probes.agrees(loss, kept),
        f"`loss` builds a {name} whose energies differ from those of the one saved in `path` "
        f"{path}: its settings are not in the file. Pass a function that builds it with them: "
        f"`gfe.load(path, loss=lambda **_: {name}(...))`.",
    )
    return loss


def _is_kit(loss: Any) -> bool:
    return _LOSSES.get(type(loss).__name__) is type(loss)


def _build_loss(described: dict[str, Any], factory: Callable[..., Loss] | None, path: Any) -> Loss:
    name = described["name"]
    if factory is not None:
        builds = isinstance(factory, type) or not hasattr(factory, "per_sample")
        checks.require(
            callable(factory) and builds,
            f"`loss` must be the class of the loss, got {factory!r}. Pass `loss={name}`.",
            TypeError,
        )
        try:
            built = factory(**described["fields"])
        except TypeError as error:
            raise TypeError(
                f"`loss` must build a {name} from the fields {list(described['fields'])}: {error}."
            ) from error
        got = type(built).__name__
        checks.require(
            got == name, f"`loss` must build a {name}, as was saved in `path` {path}, got a {got}."
        )
        return built
    checks.require(
        described["kit"] and name in _LOSSES,
        f"`path` {path} was saved with the loss {name}, which is not one of the kit. Pass its "
        f"class: `gfe.load(path, loss={name})`.",
    )
    return _LOSSES[name](**described["fields"])


def _scaling(
    scaling: Mapping[str, Any], data_shape: tuple[int, ...], names: Sequence[str] | None
) -> dict[str, Tensor]:
    """Return mean and scale as tensors that broadcast to one sample, in the order of the names."""
    checks.require(
        isinstance(scaling, Mapping) and set(scaling) <= {"mean", "scale"},
        '`scaling` must be {"mean": ..., "scale": ...}, got '
        f"{list(scaling) if isinstance(scaling, Mapping) else type(scaling).__name__}.",
        TypeError,
    )
    given = {
        name: checks.unlabelled(f"scaling[{name!r}]", value, names)
        for name, value in scaling.items()
    }
    numbers = {"mean": 0.0, "scale": 1.0} | given
    result = {name: _real_numbers(name, value) for name, value in numbers.items()}
    for name, value in result.items():
        shape = tuple(value.shape)
        try:
            fits = torch.broadcast_shapes(shape, data_shape) == torch.Size(data_shape)
        except RuntimeError:
            fits = False
        wanted = f"`scaling` {name!r} must be a number or fit the shape of a sample, {data_shape}"
        checks.require(fits, f"{wanted}, got shape {shape}.")
        checks.require(bool(value.isfinite().all()), f"`scaling` {name!r} must be finite.")
    constant = "A feature that never varies has scale 0: use 1 for it."
    checks.require(
        bool((result["scale"] > 0).all()), f"`scaling` 'scale' must be positive. {constant}"
    )
    return result


def _real_numbers(name: str, value: Any) -> Tensor:
    """A part of a scaling as a tensor of its own."""
    wanted = f"`scaling` {name!r} must be a number, or numbers in a list, an array or a tensor"
    remedy = "Leave it out where there is none." if value is None else "Pass it as floats."
    refused = f"{wanted}, got {checks.described(value)}. {remedy}"
    checks.require("complex" not in str(getattr(value, "dtype", "")), refused, TypeError)
    try:
        return torch.as_tensor(value, dtype=torch.float64).detach().cpu().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(refused) from error


def _class_names(classes: Sequence[str]) -> list[str]:
    names = list(classes)
    checks.require(
        bool(names) and all(isinstance(name, str) for name in names),
        f"`classes` must be names, such as ['cat', 'dog'], got {classes!r}.",
        TypeError,
    )
    return [str(name) for name in names]


def _feature_names(names: Sequence[str], data_shape: tuple[int, ...]) -> list[str]:
    n = math.prod(data_shape)
    checks.sequence("names", names)
    texts = [str(name) for name in names]
    checks.require(
        len(texts) == n and len({*texts}) == n,
        f"`names` must be one name for each of the {n} features, all different, got {len(texts)}, "
        f"of which {len({*texts})} differ.",
    )
    return texts


def _plain_card(card: Mapping[str, Any]) -> dict[str, Any]:
    return _plain(card, "card")


def _plain(value: Any, place: str, *, tensors: bool = False) -> Any:
    """Convert numbers, strings, lists and dicts to Python's own types; refuse all other values.

    The error names the place of the value. Numbers of numpy and tensors without axes become
    numbers; tuples stay tuples.
    """
    if tensors and isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        for key in value:
            checks.require(
                isinstance(key, str),
                f"`{place}` must have strings as keys, got {key!r}.",
                TypeError,
            )
        return {
            str(key): _plain(inner, f"{place}[{key!r}]", tensors=tensors)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        inner = [_plain(one, f"{place}[{i}]", tensors=tensors) for i, one in enumerate(value)]
        return inner if isinstance(value, list) else tuple(inner)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return _plain(value.item(), place)
    raise TypeError(
        f"`{place}` must be plain (a number, string, list or dict), got {type(value).__name__}. "
        "Convert it: `.tolist()` for arrays and tensors, `str(...)` for anything else."
    )


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    if not Path(path).exists():
        raise FileNotFoundError(
            f"`path` {path} does not exist. Save a model first: `gfe.save(path, decoder)`."
        )
    content = read_tensors(path, kind="model", remedy="Save it again, or restore a copy.")
    if isinstance(content, dict) and content.get("format") == 1 and "decoder" in content:
        raise ValueError(
            f"`path` {path} is a checkpoint of training. Build the decoder and load it with "
            "`gfe.load_checkpoint(path, decoder=decoder)`; `gfe.save` then makes a model of it."
        )
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(
            f"`path` {path} is not a model of gfe_core. Pass a file written by `gfe.save`."
        )
    if content["version"] > _VERSION:
        raise ValueError(
            f"`path` {path} was written by a newer gfe_core (version {content['version']} of the "
            f"format, this one reads {_VERSION}). Update gfe_core."
        )
    return content
