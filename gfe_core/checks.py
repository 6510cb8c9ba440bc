"""Validation at the public boundary: every error text of the entry verbs lives here.

Each message says what was expected, what came and what to do. Numerical failure is not checked here: it is a
`Status` of the sample.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd


def finite_positive(name: str, value: float) -> None:
    """Refuse zero, negative, infinite and NaN values of a step or rate."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"`{name}` must be a positive finite number, got {value}.")


def fraction(name: str, value: float) -> None:
    """Refuse values outside the open interval (0, 1)."""
    if not 0 < value < 1:
        raise ValueError(f"`{name}` must lie strictly between 0 and 1, got {value}.")


def at_least_one(name: str, value: int) -> None:
    """Refuse a count below one."""
    if value < 1:
        raise ValueError(f"`{name}` must be at least 1, got {value}.")


def decoder_ready(decoder: Any) -> None:
    """Refuse decoders without a known shape and decoders whose samples would see each other."""
    for name, meaning in (
        ("latent_dim", "an int, the size of a code"),
        ("data_shape", "a tuple, the shape of one sample"),
    ):
        if not hasattr(decoder, name):
            raise TypeError(
                f"`decoder` must have `{name}` ({meaning}); {type(decoder).__name__} has none. Set it as an attribute."
            )
    if not isinstance(decoder, nn.Module):
        return
    for name, module in decoder.named_modules():
        without_statistics = isinstance(module, _BatchNorm) and module.running_mean is None
        if without_statistics or (module.training and isinstance(module, (_BatchNorm, _DropoutNd, nn.RReLU))):
            mode = "without running statistics" if without_statistics else "in training mode"
            raise ValueError(
                f"`decoder` has {type(module).__name__} (`{name}`) {mode}: a sample's energy would depend on "
                "the rest of the batch or on chance. Call `decoder.eval()` before encoding, or use GroupNorm."
            )


def data_for(decoder: Any, x: Any, name: str = "x") -> None:
    """Refuse data that this decoder cannot be compared with."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"`{name}` must be a torch.Tensor, got {type(x).__name__}. "
            f"Convert it: `torch.as_tensor({name}, dtype=torch.float32)`."
        )
    if not x.is_floating_point():
        raise TypeError(
            f"`{name}` must have a float dtype, got {x.dtype}. "
            f"Convert it: `{name}.float()` (and divide grey values by 255)."
        )
    expected = tuple(decoder.data_shape)
    if tuple(x.shape[1:]) != expected or x.dim() == 0:
        raise ValueError(
            f"`{name}` must have shape (batch, {_listed(expected)}) for this decoder, got {tuple(x.shape)}. "
            + _shape_remedy(x, expected, name)
        )
    _same_kind(decoder, x, name)


def _shape_remedy(x: Tensor, expected: tuple[int, ...], name: str) -> str:
    if tuple(x.shape) == expected:
        return f"Add a batch axis: `{name}[None]`."
    if x.dim() > 1 and math.prod(x.shape[1:]) == math.prod(expected):
        return f"Reshape it: `{name}.reshape(len({name}), {_listed(expected)})`."
    return "Pass the data that the decoder was built for, or build a decoder for this data."


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def _same_kind(decoder: Any, x: Tensor, name: str) -> None:
    """Refuse another float type or device than the decoder's."""
    parameter = next(iter(decoder.parameters()), None) if isinstance(decoder, nn.Module) else None
    if parameter is None:
        return
    if parameter.dtype != x.dtype:
        raise TypeError(
            f"`{name}` is {x.dtype} but the decoder is {parameter.dtype}. "
            f"Convert one: `{name}.to({parameter.dtype})` or `decoder.to({x.dtype})`."
        )
    if parameter.device != x.device:
        raise ValueError(
            f"`{name}` is on {x.device} but the decoder is on {parameter.device}. "
            f"Move one: `{name}.to('{parameter.device}')`."
        )


def start_for(decoder: Any, x: Tensor, z0: Tensor | None) -> Tensor:
    """Return the start codes: the origin, or `z0` after checking it."""
    shape = (len(x), decoder.latent_dim)
    if z0 is None:
        return x.new_zeros(shape)
    if not isinstance(z0, Tensor) or tuple(z0.shape) != shape or z0.dtype != x.dtype:
        got = f"{tuple(z0.shape)}, {z0.dtype}" if isinstance(z0, Tensor) else type(z0).__name__
        raise ValueError(f"`z0` must be a tensor of shape {shape} and type {x.dtype}, got {got}.")
    return z0.detach()


def observed(x: Tensor, mask: Tensor | None) -> None:
    """Refuse a mask that is not a boolean tensor of the shape of x."""
    if mask is None:
        return
    if not isinstance(mask, Tensor) or mask.shape != x.shape or mask.dtype != torch.bool:
        got = f"{tuple(mask.shape)}, {mask.dtype}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"`mask` must be a bool tensor of shape {tuple(x.shape)}, True where `x` is observed, got {got}."
        )


def budget(t1: float, max_steps: int | None, on_failure: str) -> None:
    """Refuse an end time, a budget or a failure rule that makes no sense."""
    if not t1 > 0:
        raise ValueError(f"`t1` must be positive (math.inf for no end), got {t1}.")
    if max_steps is not None:
        at_least_one("max_steps", max_steps)
    if on_failure not in ("mark", "raise"):
        raise ValueError(f"`on_failure` must be 'mark' or 'raise', got {on_failure!r}.")


def has_end(solver: Any, t1: float) -> None:
    """Refuse a finite end time for solvers without time."""
    if math.isfinite(t1) and not solver.has_time:
        raise ValueError(
            f"`t1` is {t1}, but {solver} has no flow time: it ends where the stop rule holds. "
            "Leave `t1` out, or use a solver with time (`AMD(trial='carry')`, `Euler`, `RK4`)."
        )
