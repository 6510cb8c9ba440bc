"""Decoders that are known, from their layers, to decode each code independently of the others."""

from typing import Any, TypeVar

from torch import nn

from gfe_core import checks

Kind = TypeVar("Kind", bound=type[nn.Module])

_PLAIN: set[type] = {
    *(nn.Sequential, nn.ModuleList, nn.Identity),
    *(nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Upsample, nn.ZeroPad2d),
    *(nn.Flatten, nn.Unflatten),
    *(nn.ELU, nn.Tanh, nn.ReLU, nn.SiLU),
}
"""Modules of which the kit's decoders are built, and these decoders themselves."""


def keeps_rows_apart(decoder: Kind) -> Kind:
    """Mark a class of decoders as plain, but not its subclasses, which may mix rows."""
    _PLAIN.add(decoder)
    return decoder


def is_plain(decoder: Any) -> bool:
    """Whether a decoder consists of plain modules alone, with nothing attached.

    Attachments are hooks, a `forward` of the instance and parts that are not modules. Subclasses
    of plain modules and layers of other types are not plain.
    """
    return isinstance(decoder, nn.Module) and all(map(_is_bare, decoder.modules()))


def still(decoder: Any) -> Any:
    """Return a decoder without its intended random draws (`VariationalDecoder`)."""
    return decoder.at_mean() if checks.draws(decoder) else decoder


def _is_bare(module: nn.Module) -> bool:
    members = vars(module)
    hooked = any(value for name, value in members.items() if name.endswith("_hooks"))
    return type(module) in _PLAIN and not hooked and not any(map(callable, members.values()))
