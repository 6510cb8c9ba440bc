"""Validate values at the public boundary.

Each message says what was expected, what was passed and what to do. Numerical failure is not
checked here; it is recorded in the `Status` of the sample.
"""

import inspect
import math
import operator
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.data
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from gfe_core.types import BESIDE_CODES, Accelerated, Descent, code_names, plain

_CODE = re.compile(r"z_\d+")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?")


def require(fits: bool, message: str, error: type[Exception] = ValueError) -> None:
    """Raise an error with this message unless `fits` is true."""
    if not fits:
        raise error(message)


def number(name: str, value: Any) -> float:
    """Return a real number as Python's own; words, flags, None, arrays and functions are refused.

    Numbers of numpy and torch are other than Python's: they overflow, and JSON has none of them.
    """
    flag = isinstance(value, bool) or getattr(value, "dtype", None) == torch.bool
    real = isinstance(value, Real) or (isinstance(value, Tensor) and value.dim() == 0)
    if flag or not real:
        written = isinstance(value, str) and _NUMBER.fullmatch(value)
        line = f" Write `{name}={value}`." if written else ""
        raise TypeError(f"`{name}` must be a number, got {described(value)}.{line}")
    own = plain(value)
    return own if isinstance(own, int) else float(own)


def as_python(
    owner: Any, check: Callable[[str, Any], Any], *names: str, or_none: bool = False
) -> None:
    """Check fields of a frozen dataclass, and store the numbers that the check returns.

    Args:
        owner: dataclass that holds the fields.
        check: check of one value by its name, such as `at_least_one`.
        names: names of the fields.
        or_none: whether the fields may be None.
    """
    for name in names:
        value = getattr(owner, name)
        if value is not None or not or_none:
            object.__setattr__(owner, name, check(name, value))


def sizes(name: str, value: Any, *, n: int | None = None) -> tuple[int, ...]:
    """Return widths, channels or a shape as a tuple of ints, each at least 1.

    Args:
        name: name of the argument.
        value: value that was passed.
        n: required number of entries; any number by default.
    """
    wanted = f"`{name}` must be {n or 'a sequence of'} whole numbers"
    sequence(name, value)
    require(n in (None, len(value)), f"{wanted}, got {described(value)}.")
    return tuple(at_least_one(name, one) for one in value)


def image_shape(value: Any, name: str = "image_shape") -> tuple[int, ...]:
    """Return the shape of an image as ints: (height, width), or (3, height, width) in colour."""
    shape = sizes(name, value)
    fits = len(shape) == 2 or (len(shape) == 3 and shape[0] == 3)
    wanted = f"`{name}` must be (height, width) of grey images, or (3, height, width) in colour"
    require(fits, f"{wanted}, got {shape}.")
    return shape


def generator(name: str, value: Any, *, needed: bool = False) -> None:
    """Refuse anything but a torch.Generator, such as a seed; allow None unless `needed`."""
    seed = value if isinstance(value, int) and not isinstance(value, bool) else 0
    line = f"`{name}=torch.Generator().manual_seed({seed})`"
    fits = isinstance(value, torch.Generator) or (value is None and not needed)
    wanted = f"`{name}` must be a torch.Generator"
    require(fits, f"{wanted}, got {described(value)}. Write {line}.", TypeError)


def path(name: str, value: Any) -> None:
    """Refuse anything but the path of a file."""
    fits = isinstance(value, (str, os.PathLike)) and str(value) != ""
    wanted = f"`{name}` must be the path of a file, a string or a `pathlib.Path`"
    require(fits, f"{wanted}, got {described(value)}.", TypeError)


def flag(name: str, value: Any) -> bool:
    """Return True or False, also numpy's, as Python's own; anything else is refused."""
    fits = isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")
    require(fits, f"`{name}` must be True or False, got {described(value)}.", TypeError)
    return bool(value)


def text(name: str, value: Any) -> None:
    """Refuse anything but a string."""
    fits = isinstance(value, str)
    require(fits, f"`{name}` must be a string, got {described(value)}.", TypeError)


def mapping(name: str, value: Any) -> None:
    """Refuse anything but a mapping."""
    fits = isinstance(value, Mapping)
    require(fits, f"`{name}` must be a dict with names, got {described(value)}.", TypeError)


def sequence(name: str, value: Any) -> None:
    """Refuse anything but a list or another sequence; strings and dicts are refused."""
    several = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    fits = several and not isinstance(value, (str, bytes, Mapping, type))
    fits = fits and getattr(value, "ndim", 1) > 0
    line = f" Write `{name}=({value},)`." if isinstance(value, (int, float)) else ""
    require(fits, f"`{name}` must be a list, got {described(value)}.{line}", TypeError)


def array(name: str, value: Any) -> None:
    """Refuse anything that cannot be read as an array of numbers."""
    fits = hasattr(value, "__array__") and not isinstance(value, type)
    require(fits, f"`{name}` must be a torch.Tensor, got {described(value)}.", TypeError)


def described(value: Any) -> str:
    """Describe briefly what a caller passed."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if inspect.isroutine(value):
        return f"the function {value.__name__}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{type(value).__name__} of shape {(*shape,)}"
    text = repr(value) if _is_brief(value) else ""
    brief = 0 < len(text) <= 40 and "object at" not in text
    return text if brief else type(value).__name__


def _is_brief(value: Any) -> bool:
    """Whether it holds no module, no array and no long list, which take long to put into words.

    Checks describe what they are given before they know whether it is refused.
    """
    if isinstance(value, Mapping):
        return len(value) <= 10 and all(map(_is_brief, value.values()))
    if isinstance(value, (list, tuple, set)):
        return len(value) <= 10 and all(map(_is_brief, value))
    if is_dataclass(value):
        return all(_is_brief(getattr(value, field.name, None)) for field in fields(value))
    return not isinstance(value, nn.Module) and not hasattr(value, "shape")


def finite_positive(name: str, value: float) -> float:
    """Return a positive finite number as Python's own; anything else is refused."""
    value = number(name, value)
    require(
        math.isfinite(value) and value > 0,
        f"`{name}` must be a positive finite number, got {value}.",
    )
    return value


def fraction(name: str, value: float) -> float:
    """Return a number in the open interval (0, 1) as Python's own; anything else is refused."""
    value = number(name, value)
    require(0 < value < 1, f"`{name}` must lie strictly between 0 and 1, got {value}.")
    return value


def above_one(name: str, value: float) -> float:
    """Return a finite number above 1 as Python's own; anything else is refused."""
    value = number(name, value)
    require(1 < value < math.inf, f"`{name}` must be above 1 and finite, got {value}.")
    return value


def whole(name: str, value: Any) -> int:
    """Return a whole number as an int; numpy's integers are accepted, flags and 2.0 are refused."""
    index = None
    if not isinstance(value, bool):
        with suppress(TypeError):
            index = operator.index(value)
    if index is None:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        remedy = f" Write `{name}={value:.0f}`." if number and value % 1 == 0 else ""
        if isinstance(value, tuple) and value and all(isinstance(one, int) for one in value):
            remedy = f" Write `{name}={math.prod(value)}`."
        got = described(value)
        raise TypeError(f"`{name}` must be a whole number, got {got}.{remedy}")
    return index


def at_least_one(name: str, value: int) -> int:
    """Return a whole number of at least one as an int; anything else is refused."""
    value = whole(name, value)
    require(value >= 1, f"`{name}` must be at least 1, got {value}.")
    return value


def at_least_zero(name: str, value: int) -> int:
    """Return a whole number of at least zero as an int; anything else is refused."""
    value = whole(name, value)
    require(value >= 0, f"`{name}` must be at least 0, got {value}.")
    return value


def own(name: str, value: Any) -> Any:
    """Return a copy of a tensor or an array, which its owner may change later; others as they are.

    A tensor that requires a gradient is returned as it is, as it is meant to change.
    """
    if isinstance(value, Tensor):
        return value if value.requires_grad else value.clone()
    return value.copy() if isinstance(value, np.ndarray) else value


def outside_transforms(who: str, remedy: str) -> None:
    """Refuse a call within `torch.func`, in which autograd cannot be used."""
    require(
        not torch._C._are_functorch_transforms_active(),  # as `torch.autograd` itself asks
        f"{who} cannot be used within `torch.func` (`grad`, `vmap`, `jacrev` and others), where "
        f"autograd computes no gradients. {remedy}",
        RuntimeError,
    )


def one_of(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a word that is not among the choices."""
    known = isinstance(value, str) and value in choices
    require(known, f"`{name}` must be {' or '.join(map(repr, choices))}, got {value!r}.")


def is_decoder(decoder: Any) -> None:
    """Refuse anything but a decoder, such as data, a class or a module without sizes."""
    takes = "`decoder` must be a decoder, a module or function from codes to data"
    is_class = isinstance(decoder, type)
    called = decoder.__name__ if is_class else type(decoder).__name__
    made = f"{takes}, got the class {called}. Pass an instance: `{called}(...)`."
    require(not is_class, made, TypeError)
    inner = getattr(decoder, "decoder", None)
    if hasattr(decoder, "scaled") and inner is not None:
        line = "encode(model.decoder, model.scaled(x), loss=model.loss)"
        raise TypeError(f"{takes}, got a {called}, which holds one: `gfe.{line}`.")
    order = "The decoder comes first and the data second: `encode(decoder, x)`."
    require(callable(decoder), f"{takes}, got {described(decoder)}. {order}", TypeError)
    meanings = {
        "latent_dim": "an int, the size of a code",
        "data_shape": "a tuple, the shape of one sample",
    }
    for name, meaning in meanings.items():
        missing = f"`decoder` must have `{name}` ({meaning}); {called} has none."
        remedy = (
            "Set it as an attribute, or use `gfe.wrap(decoder, latent_dim=..., data_shape=...)`."
        )
        require(hasattr(decoder, name), f"{missing} {remedy}", TypeError)
    whole("decoder.latent_dim", decoder.latent_dim)
    shape = decoder.data_shape
    require(
        isinstance(shape, Sequence)
        and len(shape) > 0
        and all(hasattr(n, "__index__") for n in shape),
        f"`decoder.data_shape` must be {meanings['data_shape']}, got {described(shape)}. "
        f"One axis is written `(n,)`, that of a single number `(1,)`.",
        TypeError,
    )


def returns_rows(decoder: Any) -> None:
    """Refuse anything but a decoder of rows of features, to which further outputs can be joined."""
    is_decoder(decoder)
    shape = tuple(decoder.data_shape)
    flat = "torch.nn.Sequential(decoder, torch.nn.Flatten())"
    if not isinstance(decoder, nn.Module):
        flat = "lambda z: decoder(z).flatten(1)"
    line = f"gfe.wrap({flat}, latent_dim={decoder.latent_dim}, data_shape=({math.prod(shape)},))"
    require(
        len(shape) == 1,
        "`decoder` must return rows of features, to which outputs are joined, got samples of "
        f"shape {shape}. Pass `{line}`, and `x.flatten(1)` as data.",
    )


def decoder_ready(decoder: Any) -> None:
    """Refuse decoders that `encode` cannot use."""
    is_decoder(decoder)
    held = (*decoder.parameters(), *decoder.buffers()) if isinstance(decoder, nn.Module) else ()
    remedy = "Encode with a copy made outside of it: `copy.deepcopy(decoder)`."
    require(
        not any(tensor.is_inference() for tensor in held),
        f"`decoder` was made in inference mode, whose tensors have no gradients. {remedy}",
    )
    remedy = "Give it some: `decoder.to_empty(device='cpu')`, and then load its weights."
    require(
        not any(tensor.is_meta for tensor in held),
        f"`decoder` is on the device 'meta': its weights have shapes and no numbers. {remedy}",
    )
    keeps_samples_apart(decoder)


def keeps_samples_apart(decoder: Any) -> None:
    """Refuse decoders whose output for a sample depends on other samples or on chance."""
    is_decoder(decoder)
    for name, module in decoder.named_modules() if isinstance(decoder, nn.Module) else ():
        without_statistics = isinstance(module, _BatchNorm) and module.running_mean is None
        if without_statistics or (
            module.training and isinstance(module, (_BatchNorm, _DropoutNd, nn.RReLU))
        ):
            mode = "without running statistics" if without_statistics else "in training mode"
            raise ValueError(
                f"`decoder` has {type(module).__name__} (`{name}`) {mode}: a sample's energy "
                "and its reconstruction would depend on the rest of the batch or on chance. Call "
                "`decoder.eval()` first, or use GroupNorm."
            )


def summed(name: str, loss: Any, why: str) -> None:
    """Refuse a loss that is a mean over features where a sum is needed.

    Args:
        name: name of the argument.
        loss: loss that was passed.
        why: what it could not be as a mean, such as "to be a log-likelihood".
    """
    wanted = f"`{name}` must be a sum over features {why}, got {loss}. Use `reduction='sum'`."
    require(getattr(loss, "reduction", "sum") == "sum", wanted)


def draws(part: Any) -> bool:
    """Whether a decoder draws at random by intention, and can do without (`VariationalDecoder`)."""
    return getattr(part, "draws", False) is True and hasattr(part, "at_mean")


def draws_nothing(decoder: Any) -> None:
    """Refuse decoders that draw at random in each call."""
    name = next((name for name, part in _parts_of(decoder) if draws(part)), None)
    remedy = f"Pass `{name}.at_mean()`, which has the same weights and decodes the mean"
    if name != "decoder":
        remedy = f"Build the decoder around `{name}.at_mean()`, which has the same weights"
    line = "encoder=lambda decoder, x: gfe.encode(decoder.at_mean(), x, loss=...)"
    require(
        name is None,
        f"`{name}` draws at random in each call, so that a flow would follow other noise at each "
        f"step and no result could be repeated. {remedy}. `fit` trains on the draws with `{line}`.",
    )


def gates_given(decoder: Any, z0: Any, n_starts: int, penalty: Any = None) -> None:
    """Refuse what would set the gates that a code holds (`Gated`): the flow keeps them.

    At the origin all gates are shut, the gates of further starts would be random numbers, and a
    penalty on whole codes would move them.
    """
    gated = any(getattr(part, "code_holds_gates", False) is True for _, part in _parts_of(decoder))
    given = "narrowing.encode_at(decoder, x, decoder.hard(x), loss=...)"
    require(
        not gated or z0 is not None,
        "`decoder` has gates, which are part of its codes. At the origin, where the flow starts by "
        "default, all gates are shut, and each code would stay there. Pass the gates, "
        f"`{given}`, or the decoder of the open latents alone, `decoder.narrowed()`.",
    )
    require(
        not gated or n_starts == 1,
        f"`n_starts` must be 1 for a decoder with gates, got {n_starts}: further starts would draw "
        "the gates too. Leave it out, or pass `decoder.narrowed()`.",
    )
    require(
        not gated or penalty is None or getattr(penalty, "keeps_gates", False) is True,
        "`penalty` (or a prior) acts on whole codes, which hold the gates of `decoder`, and may "
        "move them. Use `narrowing.encode_at(decoder, x, nu, penalty=...)`, or the decoder "
        "of the open latents alone, `decoder.narrowed()`.",
    )


def _parts_of(decoder: Any) -> list[tuple[str, Any]]:
    """Return a decoder and the modules in it, each with its name."""
    inner = decoder.named_modules() if isinstance(decoder, nn.Module) else [("", decoder)]
    return [(f"decoder.{name}" if name else "decoder", part) for name, part in inner]


def data_for(decoder: Any, x: Any, name: str = "x") -> None:
    """Refuse data that cannot be compared with the output of this decoder."""
    if not isinstance(x, Tensor):
        remedy = into_samples(x, name, len(decoder.data_shape))
        raise TypeError(f"`{name}` must be a torch.Tensor, got {type(x).__name__}. {remedy}")
    joined = f"Join its samples, if they have one shape: `torch.stack([*{name}])`."
    require(not x.is_nested, f"`{name}` must be dense, got a nested tensor. {joined}", TypeError)
    dense = x.layout == torch.strided
    remedy = f"Convert it: `{name}.to_dense()`."
    require(dense, f"`{name}` must be dense, got a tensor of {x.layout}. {remedy}", TypeError)
    remedy = f"Convert it: `{name}.float()` (and divide grey values by 255)."
    remedy = into_samples(x, name) if x.is_complex() else remedy
    require(
        x.is_floating_point(),
        f"`{name}` must have a float dtype, got {x.dtype}. {remedy}",
        TypeError,
    )
    expected = tuple(decoder.data_shape)
    wanted = (
        f"`{name}` must have shape (batch, {_listed(expected)}) for this decoder, got "
        f"{tuple(x.shape)}."
    )
    fits = x.dim() > 0 and tuple(x.shape[1:]) == expected
    require(fits, f"{wanted} {_shape_remedy(x, expected, name)}")
    parameter = next(iter(decoder.parameters()), None) if isinstance(decoder, nn.Module) else None
    dtype, device = (
        (x.dtype, x.device) if parameter is None else (parameter.dtype, parameter.device)
    )
    remedy = f"Convert one: `{name}.to({dtype})` or `decoder.to({x.dtype})`."
    require(
        x.dtype == dtype, f"`{name}` is {x.dtype} but the decoder is {dtype}. {remedy}", TypeError
    )
    remedy = f"Move one: `{name}.to('{device}')`."
    require(
        x.device == device, f"`{name}` is on {x.device} but the decoder is on {device}. {remedy}"
    )


def into_samples(x: Any, name: str, n_axes: int | None = None) -> str:
    """Say how something that is no tensor becomes a tensor of samples.

    It may convert the value in a trial, so it is called only for a value that is refused.

    Args:
        x: value that was passed.
        name: name of the argument.
        n_axes: number of axes of a sample, if it is known.
    """
    if isinstance(x, (str, Path)):
        return f"Load it: `gfe.data.load({name})`."
    if isinstance(x, Tensor) and x.is_complex():
        return f"Pass real numbers: `{name}.real` and `{name}.imag`, or `{name}.abs()`."
    if isinstance(x, torch.utils.data.Dataset):
        return f"Pass a loader of it: `torch.utils.data.DataLoader({name}, batch_size=500)`."
    if hasattr(x, "toarray"):  # scipy's sparse arrays
        return f"Convert it: `{name}.toarray()`."
    if isinstance(x, Mapping):
        key = next((key for key, value in x.items() if hasattr(value, "shape")), None)
        return "Pass the samples alone" + (f": `{name}[{key!r}]`." if key is not None else ".")
    return _parts_remedy(x, n_axes, name) or _converted(x, name)


def _parts_remedy(x: Any, n_axes: int | None, name: str) -> str:
    """Say what to do with several tensors; return "" for anything else."""
    if isinstance(x, Iterator):
        lines = f"`torch.stack([*{name}])`, or `torch.cat([*{name}])` if it yields batches"
        return f"Collect its tensors: {lines}."
    parts = [*x] if isinstance(x, (list, tuple)) else []
    firsts = [one[0] if isinstance(one, (list, tuple)) and one else one for one in parts]
    if not parts or not all(isinstance(one, Tensor) for one in firsts):
        return ""
    if firsts[0] is not parts[0]:  # samples, each beside its label
        return f"Join its samples: `torch.stack([one[0] for one in {name}])`."
    if n_axes is not None and parts[0].dim() > n_axes:  # samples, and their labels or others
        return f"Pass the samples alone: `{name}[0]`."
    return f"Join its samples: `torch.stack([*{name}])`."


def _converted(x: Any, name: str) -> str:
    """Return the line by which torch reads a value, or say what can be passed."""
    with suppress(Exception):
        torch.as_tensor(x, dtype=torch.float32)
        return f"Convert it: `torch.as_tensor({name}, dtype=torch.float32)`."
    return "Pass samples in a tensor, an array or a frame, one row for each."


def same_names(name: str, got: Sequence[str] | None, known: Sequence[str] | None) -> None:
    """Refuse data whose features differ from those of a model, or are in another order.

    If either has no names, nothing is compared.

    Args:
        name: name of the argument.
        got: names of the features of the data.
        known: names of the features that the model was trained on.
    """
    if got is None or known is None or tuple(got) == tuple(known):
        return
    counted = tuple(map(str, range(len(known))))  # the default column names of a frame
    if {*got} != {*known} and counted in (tuple(got), tuple(known)):
        return
    missing = [one for one in known if one not in got]
    more = [one for one in got if one not in known]
    if missing or more:
        differs = [f"it is missing {_some(missing)}"] * bool(missing) + [
            f"it has {_some(more)} in addition"
        ] * bool(more)
        problem = (
            f"`{name}` has other features than the model was trained on: {' and '.join(differs)}"
        )
    else:
        problem = f"`{name}` has the features of the model in another order"
    line = f"`frame[{[*map(str, known)][:6]!r}]`" if len(known) <= 6 else "`frame[[*model.names]]`"
    first = "Rename or add the missing columns, then select" if missing else "Select"
    raise ValueError(f"{problem}. {first} the columns of the model in their order: {line}.")


def labels_of(value: Any) -> tuple[str, ...] | None:
    """Return the labels of the columns of a frame, or of the numbers of a series, if it has any."""
    labelled = hasattr(value, "to_numpy")
    labels = getattr(value, "columns", getattr(value, "index", None)) if labelled else None
    return None if labels is None or callable(labels) else tuple(map(str, labels))


def unlabelled(name: str, value: Any, known: Sequence[str] | None = None) -> Any:
    """Return the numbers of a series, a frame or an array as an array that torch can read.

    Anything else is returned unchanged. The array is a copy: others may be read-only or reversed.

    Args:
        name: name of the argument.
        value: value that was passed, one number for each feature or latent if it is a series.
        known: names of these features in their order, if they are known.

    Raises:
        ValueError: the labels are the known names in another order, or others; or they count the
            numbers in another order.
    """
    labels = labels_of(value)
    if labels is None:
        return value.copy() if isinstance(value, np.ndarray) else value
    same_names(name, labels, known)
    counted = tuple(map(str, range(len(labels))))
    require(
        labels == counted or {*labels} != {*counted},
        f"`{name}` has labels that count its numbers in another order: {_some(labels)}. Sort it, "
        f"`{name}.sort_index()`, or pass its numbers as they stand, `{name}.to_numpy()`.",
    )
    numbers = value.to_numpy()
    return np.array(numbers) if numbers.dtype.kind in "biuf" else value


def code_order(name: str, got: Sequence[str] | None, n: int | None = None) -> None:
    """Refuse columns that the kit names, unless they are the latents of a code in their order.

    Other names say nothing of latents, and nothing is checked.

    Args:
        name: name of the argument.
        got: names of its columns, or None.
        n: number of latents; by default the number of columns that are named as latents.
    """
    if got is None:
        return
    latents = [one for one in got if _CODE.fullmatch(one)]
    if not latents and {*got}.isdisjoint(BESIDE_CODES):
        return
    n = len(latents) if n is None else n
    listed = repr(code_names(n)) if 0 < n <= 6 else f'[f"z_{{i}}" for i in range({n or "..."})]'
    require(
        n > 0 and [*got] == code_names(n),
        f"`{name}` must hold the latents of codes, in their order, got the columns {_some(got)}. "
        f"Select them: `{name}[{listed}]`. Columns with another meaning are passed as numbers: "
        f"`{name}.to_numpy()`.",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")


def _shape_remedy(x: Tensor, expected: tuple[int, ...], name: str) -> str:
    if tuple(x.shape) == expected:
        return f"Add a batch axis: `{name}[None]`."
    if x.dim() > 1 and math.prod(x.shape[1:]) == math.prod(expected):
        return f"Reshape it: `{name}.reshape(len({name}), {_listed(expected)})`."
    return "Pass the data that the decoder was built for, or build a decoder for this data."


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def start_for(decoder: Any, x: Tensor, z0: Tensor | None, name: str = "z0") -> Tensor:
    """Return the start codes: the origin, or `z0` after a check."""
    shape = (len(x), decoder.latent_dim)
    if z0 is None:
        return x.new_zeros(shape)
    _tensor_of(shape, x.dtype, z0, f"`{name}` must be a tensor of shape {shape} and type {x.dtype}")
    return z0.detach()


def codes(z: Any, name: str = "z") -> Tensor:
    """Return a table of codes, and refuse anything else."""
    fits = isinstance(z, Tensor) and z.is_floating_point() and z.dim() == 2
    wanted = f"`{name}` must be codes, a tensor of floats of shape (n, latent)"
    line = " Pass its codes: `enc.z`." if isinstance(getattr(z, "z", None), Tensor) else ""
    require(fits, f"{wanted}, got {described(z)}.{line}", TypeError)
    return z


def table(x: Any, name: str = "x") -> Tensor:
    """Return a table of samples, and refuse anything else."""
    fits = isinstance(x, Tensor) and x.is_floating_point() and x.dim() == 2
    wanted = f"`{name}` must be samples of floats, shape (n, features)"
    line = f" Flatten it: `{name}.flatten(1)`." if getattr(x, "ndim", 0) > 2 else ""
    require(fits, f"{wanted}, got {described(x)}.{line}", TypeError)
    return x


def box_for(decoder: Any, x: Tensor, bounds: Any) -> tuple[Tensor, Tensor] | None:
    """Check the bounds; return the lower and upper bounds of codes, each of shape (latent,)."""
    if bounds is None:
        return None
    latent = int(decoder.latent_dim)
    wanted = (
        f"`bounds` must be (lower, upper), each a number or {latent} numbers, one for each "
        "latent, with lower < upper"
    )
    if isinstance(bounds, (tuple, list)):
        for i, bound in enumerate(bounds):
            code_order(f"bounds[{i}]", labels_of(bound), latent)
        bounds = tuple(unlabelled(f"bounds[{i}]", bound) for i, bound in enumerate(bounds))
    try:
        lower, upper = (
            torch.as_tensor(bound, dtype=x.dtype, device=x.device).detach().expand(latent)
            for bound in bounds
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{wanted}, got {bounds!r}.") from error
    require(bool((lower < upper).all()), f"{wanted}, got {bounds!r}.")
    return lower, upper


def start_inside(start: Tensor, z0: Tensor | None, box: tuple[Tensor, Tensor]) -> Tensor:
    """Return start codes in a box: the point nearest to the origin, or `z0` if it lies inside.

    A `z0` outside the box is refused.
    """
    inside = start.clamp(*box)
    fits = z0 is None or bool((inside == start).all())
    remedy = "Move it inside: `z0.clamp(lower, upper)`."
    require(fits, f"`z0` must lie within `bounds`. {remedy}")
    return inside


def keeps_bounds(solver: Any, flow: Any, adjoint: Any) -> None:
    """Refuse bounds if the solver, flow or adjoint would leave the box."""
    remedy = "Leave `solver`, `flow` and `adjoint` out, or leave out `bounds`."
    fits = getattr(solver, "keeps_bounds", False) and getattr(flow, "order", 1) == 1
    require(
        fits and not adjoint.differentiates,
        "`bounds` are kept by projected gradient descent: `AMD` on a flow of first order, with "
        f"`Detached()` codes; got {type(solver).__name__} on {type(flow).__name__} with "
        f"{type(adjoint).__name__}. {remedy}",
    )


def observed(x: Tensor, mask: Tensor | None) -> None:
    """Refuse a mask that is not a boolean tensor of the shape of x."""
    if mask is not None:
        wanted = (
            f"`mask` must be a bool tensor of shape {tuple(x.shape)}, True where `x` is observed"
        )
        _tensor_of(tuple(x.shape), torch.bool, mask, wanted)


def _tensor_of(shape: tuple[int, ...], dtype: torch.dtype, value: Any, wanted: str) -> None:
    """Refuse anything but a tensor of this shape and type."""
    got = (
        f"{tuple(value.shape)}, {value.dtype}"
        if isinstance(value, Tensor)
        else type(value).__name__
    )
    require(got == f"{shape}, {dtype}", f"{wanted}, got {got}.")


def budget(t1: float, max_steps: int | None, on_failure: str) -> None:
    """Refuse an invalid end time, step budget or failure rule."""
    number("t1", t1)
    require(t1 > 0, f"`t1` must be positive (math.inf for no end), got {t1}.")
    if max_steps is not None:
        at_least_one("max_steps", max_steps)
    one_of("on_failure", on_failure, ("mark", "raise"))


def has_times(solver: Any, save_at: Any) -> None:
    """Refuse requests for states at given times if the solver has no time."""
    if getattr(save_at, "at", None) is not None and not solver.has_time:
        raise ValueError(
            f"`save_at` asks for states at times, but {solver} has no flow time: its steps are not "
            "times of the flow. Keep all states, `SaveAt.steps()`, or use a solver with time "
            "(`AMD(trial='carry')`, `Euler`, `RK4`, `Dopri5`)."
        )


def has_end(solver: Any, t1: float) -> None:
    """Refuse a finite end time if the solver has no time."""
    if math.isfinite(t1) and not solver.has_time:
        raise ValueError(
            f"`t1` is {t1}, but {solver} has no flow time: it ends where the stop rule holds. "
            "Leave `t1` out, or use a solver with time (`AMD(trial='carry')`, `Euler`, `RK4`)."
        )


def members(
    name: str,
    value: Any,
    protocol: type,
    who: str,
    remedy: str,
    error: type[Exception] = TypeError,
) -> None:
    """Refuse an object without the members of a protocol, and name its missing and present members.

    Args:
        name: name of the caller's argument, such as "flow".
        value: object that was passed.
        protocol: protocol that can be checked at run time.
        who: part that needs the object, such as "`AMD`".
        remedy: advice that ends the message.
        error: exception to raise for missing members.
    """
    if isinstance(value, type):
        raise TypeError(
            f"`{name}` must be an object, got the class {value!r}. Call it: `{name}=...()`."
        )
    wanted = sorted(_members(protocol))
    missing = [member for member in wanted if not hasattr(value, member)]
    has = [member for member in wanted if member not in missing]
    needs = f"{who} needs a `{name}` with {_quoted(missing)}; {type(value).__name__} has "
    only = f"only {_quoted(has)}" if has else "none of them"
    require(not missing, f"{needs}{only}. {remedy}", error)


@cache
def _members(protocol: type) -> set[str]:
    """Return the public members that a protocol and its parents require."""
    bases = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False)]
    named = [
        name for base in bases for name in (*vars(base), *vars(base).get("__annotations__", ()))
    ]
    return {name for name in named if not name.startswith("_")}


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def descent(solver: str, flow: Any) -> None:
    """Refuse flows that are not a `Descent`: those without `order`, `alpha` and `force`."""
    members("flow", flow, Descent, f"`{solver}`", "Add them, or use `Euler` or `RK4`.")


def accelerated(solver: str, flow: Any) -> None:
    """Refuse flows without friction and momentum."""
    descent(solver, flow)
    remedy = "Pass `flow=NesterovFlow()`, or use `Euler` or `GaussNewton`, which need no velocity."
    members("flow", flow, Accelerated, f"`{solver}`", remedy, ValueError)


def first_order(solver: str, flow: Any) -> None:
    """Refuse flows with momentum for minimisers that do not use momentum."""
    descent(solver, flow)
    remedy = "Use `GradientFlow()`, or `AMD()`, `RK4` or `SemiImplicit` for a flow with momentum."
    require(flow.order == 1, f"`{solver}` has no momentum, but `flow` is {flow}. {remedy}")


def output(output: Any, shape: tuple[int, ...], like: Tensor, name: str = "decoder") -> None:
    """Refuse a decoder's output of another type, shape, dtype or device than its codes require.

    Args:
        output: value that the decoder returned.
        shape: shape (batch, *data) that the loss reads.
        like: codes, with the required dtype and device.
        name: name of the caller's argument.
    """
    wanted = f"`{name}` must return shape (batch, *data_shape) = {shape} for {shape[0]} codes"
    if not isinstance(output, Tensor):
        raise TypeError(f"{wanted}, as a tensor, got {_kind(output)}. {_tensor_in(output)}")
    if tuple(output.shape) != shape:
        raise ValueError(f"{wanted}, got {tuple(output.shape)}. {_output_remedy(output, shape)}")
    whole = not output.is_floating_point()
    remedy = (
        "Whole numbers have no gradient: leave out rounding (`round`, `argmax`, `long`)."
        if whole
        else "Convert it: `output.to(z.dtype)`."
    )
    got = f"`{name}` must return {like.dtype} for codes of {like.dtype}, got {output.dtype}."
    require(output.dtype == like.dtype, f"{got} {remedy}", TypeError)
    remedy = f"Move one: `output.to(z.device)`, or `decoder.to('{like.device}')`."
    got = f"`{name}` must return a tensor on {like.device}, where the codes are"
    require(output.device == like.device, f"{got}, got one on {output.device}. {remedy}")


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _tensor_in(output: Any) -> str:
    """Say how to get the tensor out of what a decoder returned."""
    named = next(
        (n for n in ("sample", "logits", "mean", "loc") if isinstance(_member(output, n), Tensor)),
        None,
    )
    if output is None:
        return "End its `forward` with `return output`."
    if type(output).__module__ == "numpy":
        return "Compute it with torch: numpy has no gradient in z."
    if named:
        return f"Pick the tensor in a function: `lambda z: net(z).{named}`."
    if isinstance(output, Mapping):
        key = next((k for k, value in output.items() if isinstance(value, Tensor)), "key")
        return f"Pick the tensor in a function: `lambda z: net(z)[{key!r}]`."
    return "Pick the tensor in a function: `lambda z: net(z)[0]`."


def _member(output: Any, name: str) -> Any:
    try:
        return getattr(output, name, None)
    except (NotImplementedError, RuntimeError):  # a distribution without a mean
        return None


def _output_remedy(output: Tensor, shape: tuple[int, ...]) -> str:
    """Say how an output gets the shape of the data."""
    rows = len(output) if output.dim() else 0
    if rows != shape[0] and tuple(output.shape[1:]) == shape[1:]:
        return (
            f"It returns {rows} rows whatever the number of codes. If it holds one row for each "
            "sample, pass it as `context=`: it then stays with its sample."
        )
    if output.numel() == math.prod(shape):
        return (
            f"Reshape it in a function, `lambda z: net(z).reshape(len(z), {_listed(shape[1:])})`, "
            "or give its own shape as `data_shape` and reshape the data."
        )
    return (
        "Give the shape of one sample as `data_shape`; the first axis counts the codes. If the "
        "loss reads an output of another shape than the data, say so: "
        f"`decoder.raw_shape = {tuple(output.shape[1:])}`."
    )


def one_a_sample(value: Any, n: int, like: Tensor, name: str, remedy: str) -> None:
    """Refuse anything but one number for each sample from a loss or a penalty.

    Args:
        value: value that was returned.
        n: number of samples.
        like: tensor with the required dtype and device.
        name: name of the caller's argument.
        remedy: advice to give if the function returned one number for all samples.
    """
    wanted = f"`{name}` must return one number for each sample, a tensor of shape ({n},)"
    if not isinstance(value, Tensor):
        raise TypeError(f"{wanted}, got {_kind(value)}. {remedy}")
    if tuple(value.shape) != (n,):
        if value.dim() > 1 and len(value) == n:
            flat = tuple(value.shape) == (n, 1)
            reduced = "sum" if name == "penalty" else "mean"
            remedy = (
                "Drop the last axis: `.squeeze(1)`."
                if flat
                else f"Reduce it over all axes but the first: `.flatten(1).{reduced}(1)`."
            )
        elif value.dim() == 1 and name != "loss.floor":
            remedy = (
                "The first axis counts the samples that are still flowing. If it holds one row for "
                "each sample, take it as a parameter `context` and pass `context=`."
            )
        raise ValueError(f"{wanted}, got {tuple(value.shape)}. {remedy}")
    got = f"{value.dtype} on {value.device}"
    fits = value.dtype == like.dtype and value.device == like.device
    remedy = f"Convert it: `.to({like.dtype})`, `.to('{like.device}')`."
    require(fits, f"{wanted}, {like.dtype} on {like.device}, got {got}. {remedy}", TypeError)
