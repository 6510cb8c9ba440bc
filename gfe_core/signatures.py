"""What a stranger's function can be given: its parameters, read and never tried."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from gfe_core import checks

_EMPTY = inspect.Parameter.empty


def takes(function: Any, name: str) -> bool:
    """Whether a function can be given an argument by this name."""
    parameters = _parameters(function)
    kinds = inspect.Parameter
    return parameters is None or any(
        p.kind is kinds.VAR_KEYWORD or (p.name == name and p.kind is not kinds.POSITIONAL_ONLY)
        for p in parameters
    )


def requires(function: Any, name: str) -> bool:
    """Whether a function cannot be called without an argument of this name."""
    return any(p.name == name and p.default is _EMPTY for p in _parameters(function) or ())


def names(function: Any) -> set[str]:
    """Return the names of the parameters, as far as they are known."""
    return {p.name for p in _parameters(function) or ()}


def takes_context(decoder: Any) -> bool:
    """Whether a decoder can be called as decoder(z, context).

    A second parameter with a default other than None is a setting, no context.
    """
    positional = _positional(decoder)
    return positional is None or any(p.default in (_EMPTY, None) for p in positional[1:2])


def needed_beside_codes(decoder: Any) -> list[str]:
    """Return the parameters without a default that follow the codes."""
    return [p.name for p in (_positional(decoder) or ())[1:] if p.default is _EMPTY]


def check_callable(
    function: Callable[..., Any], name: str, arguments: Sequence[str], given: Sequence[str]
) -> None:
    """Refuse a function that cannot be called with these arguments by position.

    Args:
        function: to be called.
        name: argument of the caller.
        arguments: passed by position.
        given: passed by name if the function has such a parameter.
    """
    way = f"({', '.join(arguments)})"
    checks.require(callable(function), f"`{name}` must be callable as {way}.", TypeError)
    positional = _positional(function)
    if positional is None:
        return
    needed = [p for p in positional if p.default is _EMPTY and p.name not in given]
    named = ", ".join(p.name for p in positional)
    checks.require(
        len(positional) >= len(arguments) >= len(needed),
        f"`{name}` must be callable as {way} -> (batch,), and may have parameters named "
        f"{' and '.join(f'`{one}`' for one in given)}; {called(function)} takes ({named}).",
        TypeError,
    )


def called(part: Any) -> str:
    """Return the name by which a function or an object is known."""
    return getattr(part, "__name__", None) or type(part).__name__


def signature(function: Any) -> inspect.Signature:
    """Return the signature of a callable, that of `forward` for a module.

    Raises:
        TypeError, ValueError: nobody knows it.
    """
    by_forward = isinstance(function, nn.Module) and not hasattr(function, "__signature__")
    return inspect.signature(function.forward if by_forward else function)


def _parameters(function: Any) -> list[inspect.Parameter] | None:
    """Parameters of a callable; None where nobody knows."""
    try:
        return list(signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def _positional(function: Any) -> list[inspect.Parameter] | None:
    """What can be passed by position; None for any number."""
    parameters = _parameters(function)
    kinds = inspect.Parameter
    if parameters is None or any(p.kind is kinds.VAR_POSITIONAL for p in parameters):
        return None
    return [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
