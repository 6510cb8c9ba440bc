"""Questions and exercises of the notebooks, one module for each notebook."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from gfe_core.widgets.lessons.kinds import Exercise, Question

MODULES = (
    "start_here",
    "gradient_flow",
    "how_the_decoder_learns",
    "stiffness",
    "adaptive_minimise_distance",
    "the_race",
    "nesterov",
    "adjoint",
    "against_an_autoencoder",
    "latent_space",
    "missing_data_and_doubt",
    "your_own_data",
    "gradient_origin_networks",
    "implicit_decoders",
    "shrinking_bottlenecks",
)


def _merged(kind: str) -> dict:
    """Join the dictionaries of all modules; a name may occur in only one of them."""
    every: dict = {}
    for name in MODULES:
        own = getattr(import_module(f"{__name__}.{name}"), kind)
        if twice := every.keys() & own.keys():
            raise ValueError(f"{name} repeats {', '.join(sorted(twice))}.")
        every |= own
    return every


QUESTIONS: Mapping[str, Question] = MappingProxyType(_merged("QUESTIONS"))
EXERCISES: Mapping[str, Exercise] = MappingProxyType(_merged("EXERCISES"))
