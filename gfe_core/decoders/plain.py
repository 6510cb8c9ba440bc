"""Which decoders decode each code on its own by how they are built, and need not be asked."""

from typing import Any, TypeVar

from torch import nn

Kind = TypeVar("Kind", bound=type[nn.Module])

_PLAIN: set[type] = {
    *(nn.Sequential, nn.ModuleList, nn.Identity),
    *(nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Upsample, nn.ZeroPad2d),
    *(nn.Flatten, nn.Unflatten),
    *(nn.ELU, nn.Tanh, nn.ReLU, nn.SiLU),
}
"""Modules that the kit's decoders are built of, and these decoders themselves."""


def keeps_rows_apart(decoder: Kind) -> Kind:
    """Mark a class of decoders, but none of its subclasses: what it does to rows is intended."""
    _PLAIN.add(decoder)
    return decoder


def is_plain(decoder: Any) -> bool:
    """Whether a decoder is made of plain modules alone, with nothing attached.

    What may be attached: hooks, a `forward` of the instance, a part that is no module. A subclass
    and an exchanged layer of another kind are not plain, whatever they inherit.
    """
    return isinstance(decoder, nn.Module) and all(map(_is_bare, decoder.modules()))


def still(decoder: Any) -> Any:
    """Return a decoder without the draws that it makes on purpose (`VariationalDecoder`)."""
    draws = getattr(decoder, "draws", False) is True and hasattr(decoder, "at_mean")
    return decoder.at_mean() if draws else decoder


def _is_bare(module: nn.Module) -> bool:
    members = vars(module)
    hooked = any(value for name, value in members.items() if name.endswith("_hooks"))
    return type(module) in _PLAIN and not hooked and not any(map(callable, members.values()))
