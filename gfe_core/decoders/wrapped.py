"""Decoders made from any callable: a module, a function, a traced or compiled module."""

import dis
import inspect
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from gfe_core import arguments, checks
from gfe_core.arguments import in_own_words
from gfe_core.decoders.graph import leaves_below
from gfe_core.decoders.plain import keeps_rows_apart
from gfe_core.decoders.state import Kept
from gfe_core.types import Codes, Context, Data, plain

_DEPTH = 6
"""Depth to which nested objects are searched for modules."""
_MOST = 10_000
"""Number of objects that are searched for modules."""
_LEAVES = (int, float, complex, str, bytes, Tensor, type(None))
"""Types of values that hold no modules."""
_OF_EVERY_MODULE = {*vars(nn.Module())} - {"_forward_hooks", "_forward_pre_hooks"}
"""Attributes of a module that hold nothing but its registered parts and torch's own functions."""


class Wrapped(nn.Module):
    """A decoder that `wrap` made from a callable.

    `held` lists the modules that a function uses, so that optimizers, files and checks find their
    weights.

    Args:
        module: callable that maps codes (batch, latent) to data (batch, *data).
        latent_dim: size of a code.
        data_shape: shape of one sample.
    """

    def __init__(
        self, module: Callable[..., Tensor], latent_dim: int, data_shape: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.module = module
        self.held = nn.ModuleList(_modules_of(module))
        self.latent_dim = latent_dim
        self.data_shape = data_shape

    @property
    def __signature__(self) -> inspect.Signature:
        """Signature of the module, which shows whether it takes a context."""
        return arguments.signature(self.module)

    def forward(self, z: Codes, context: Context | None = None) -> Data:
        """Return the module's output after a check of its shape."""
        output = self.module(z) if context is None else self.module(z, context)
        checks.output(output, (len(z), *self.data_shape), z, "module")
        return output


@keeps_rows_apart
class Flattened(nn.Module):
    """A decoder of images or other arrays whose output is flattened to rows of features."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        shape = tuple(decoder.data_shape)
        self.decoder = decoder
        self.latent_dim: int = decoder.latent_dim
        self.data_shape = (math.prod(shape),)
        self.image_shape = getattr(decoder, "image_shape", None) or _image_of(shape)

    def forward(self, z: Codes) -> Data:
        """Return the decoder's output as rows."""
        return self.decoder(z).flatten(1)


def flattened(decoder: Any) -> Any:
    """Return a decoder whose samples are rows of features: the decoder itself or a wrapper."""
    return decoder if len(decoder.data_shape) == 1 else Flattened(decoder)


def _image_of(shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape in which to show samples: (height, width) or (3, height, width), or None."""
    grey = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    return grey if len(grey) == 2 or (len(grey) == 3 and grey[0] == 3) else None


@in_own_words
def wrap(
    module: Callable[..., Tensor], *, latent_dim: int, data_shape: int | Sequence[int]
) -> Wrapped:
    """Make a decoder from any callable: a module, a function, a traced or compiled module.

    The module is held, not copied: training the decoder trains it. For a function, a method or a
    partial, the decoder holds the modules in its closure, its object or its arguments, including
    those in lists, dicts and objects there. The module is tried at two codes of zeros, unless it
    has dropout or batch normalisation in training mode. A function without weights has an unknown
    dtype, and may be checked only when it is used.

    Args:
        module: callable that maps codes (batch, latent) to data (batch, *data), rows independent of
            each other. If it expects codes of another shape, call it in a function:
            `lambda z: net(z[:, :, None, None])`. A conditional module takes (z, context).
        latent_dim: size of a code, >= 1.
        data_shape: shape of one sample: (features,), (height, width), (channels, height, width).

    Raises:
        TypeError: `module` cannot be called, returns no tensor, or uses weights not found in it.
        ValueError: a size is below 1, the trial fails, or the output has another shape.

    Example:
        >>> import gfe_core as gfe
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 12), torch.nn.Unflatten(1, (3, 4)))
        >>> decoder = wrap(net, latent_dim=2, data_shape=(3, 4))
        >>> gfe.encode(decoder, torch.rand(5, 3, 4)).z.shape
        torch.Size([5, 2])
    """
    kind = type(module).__name__
    is_class = isinstance(module, type)
    checks.require(
        callable(module) and not is_class,
        f"`module` must be a module or a function of codes, got "
        f"{f'the class {module.__name__}: pass an instance' if is_class else kind}.",
        TypeError,
    )
    checks.at_least_one("latent_dim", latent_dim)
    axes: Any = plain(data_shape)
    shape = checks.sizes("data_shape", [axes] if isinstance(axes, int) else axes)
    single = "`data_shape` must have at least one axis, got (). A single number is written `(1,)`."
    checks.require(len(shape) > 0, single)
    decoder = Wrapped(module, latent_dim, shape)
    _try(decoder)
    return decoder


def _modules_of(function: Any) -> list[nn.Module]:
    """Return the modules that a function reaches through its closure, globals and arguments.

    The trial of `wrap` refuses weights that are held in other ways or deeper.
    """
    return [] if isinstance(function, nn.Module) else [*_modules_in(function)]


def modules_used_by(*values: Any) -> list[nn.Module]:
    """Return the modules that callables and objects reach, as far as `wrap` would find them.

    The modules inside a module are included, registered or not.
    """
    modules: dict[int, nn.Module] = {}
    waiting = [*values, *(value.__call__ for value in values if callable(value))]
    while waiting:
        found = [part for module in _modules_in(*waiting) for part in module.modules()]
        new = {id(module): module for module in found if id(module) not in modules}
        modules |= new
        waiting = [value for module in new.values() for value in _unregistered(module)]
    return list(modules.values())


def _unregistered(module: nn.Module) -> list[Any]:
    """Return what a module holds without registering it, and its `forward` if it is a user's."""
    held = [value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE]
    own = not type(module).__module__.startswith("torch.")
    return [*held, module.forward] if own else held


def _modules_in(*values: Any) -> Iterator[nn.Module]:
    """Yield the modules among values and in what these hold, but not those inside a module."""
    seen: dict[int, Any] = {}  # holds the objects, so that their ids stay unique
    waiting = deque((value, 0) for value in values)
    while waiting and len(seen) < _MOST:
        part, depth = waiting.popleft()
        if id(part) in seen or depth > _DEPTH:
            continue
        seen[id(part)] = part
        if isinstance(part, nn.Module):
            yield part
        else:
            waiting += [
                (inner, depth + 1) for inner in parts_of(part) if not isinstance(inner, _LEAVES)
            ]


def parts_of(value: Any) -> list[Any]:
    """Return the contents of a function, a method, a partial, a collection or an object."""
    if inspect.isfunction(value):
        return _reached(value)
    if inspect.ismethod(value):
        return [value.__self__, value.__func__]
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return list(value)
    closed = isinstance(value, (type, ModuleType, Tensor))
    return [] if closed else list(getattr(value, "__dict__", {}).values())


def _reached(function: FunctionType) -> list[Any]:
    """Return the objects that a function uses, without functions of other Python modules."""
    values: list[Any] = list(function.__defaults__ or ())
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # an empty cell: a name that was never set
            values.append(cell.cell_contents)
    instructions = dis.get_instructions(function)
    names = {step.argval for step in instructions if step.opname == "LOAD_GLOBAL"}
    scope = function.__globals__
    values += [scope[name] for name in sorted(names) if name in scope]
    values.append(getattr(function, "_torchdynamo_orig_callable", None))
    return [
        value
        for value in values
        if not inspect.isfunction(value) or value.__module__ == function.__module__
    ]


def _uncompiled(module: Any) -> Any:
    """Return the argument of torch.compile, or the module itself if it is not compiled."""
    original = getattr(module, "_orig_mod", None)
    return original or getattr(module, "_torchdynamo_orig_callable", module)


def _try(decoder: Wrapped) -> None:
    """Call the module once on zeros, if that changes nothing, and check its output."""
    if _has_training_layers(decoder) or arguments.needed_beside_codes(decoder.module):
        return
    original = _uncompiled(decoder.module)  # a trial need not compile it
    parameter = next(decoder.parameters(), None)
    shape = (2, decoder.latent_dim)
    z = torch.zeros(shape) if parameter is None else parameter.new_zeros(shape)
    kept = Kept(decoder)
    try:
        with torch.enable_grad():
            output = original(z)
    except Exception as error:  # a user's module may raise any error
        if parameter is None:  # it may need another dtype or device than that of the zeros
            return
        raise ValueError(
            f"`module` failed at codes of shape {tuple(z.shape)}: {error} If it expects codes of "
            "another shape, call it in a function, such as `lambda z: net(z[:, :, None, None])`."
        ) from error
    finally:
        kept.restore()
    checks.output(output, (2, *decoder.data_shape), z, "module")
    held = {id(one) for one in decoder.parameters()}
    hidden = [tuple(leaf.shape) for leaf in leaves_below(output) if id(leaf) not in held]
    checks.require(
        not hidden,
        f"`module` uses weights that were not found in it, of shapes {str(hidden[:3])[1:-1]}: they "
        "would be neither trained nor saved. Put them into a module, `nn.ModuleList([...])` or "
        "`nn.ParameterList([...])` held by a `torch.nn.Module` with a `forward(self, z)`; or, if "
        "they should stay constant, `.requires_grad_(False)`.",
        TypeError,
    )


def _has_training_layers(module: nn.Module) -> bool:
    """Whether a call would change statistics or draw random numbers, as far as layers show it."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd, nn.RReLU)
    return any(part.training and isinstance(part, kinds) for part in module.modules())
