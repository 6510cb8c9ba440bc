"""How a gradient reaches the decoder's parameters through the code it helped to find.

`Detached` lets none through, and is what a default `encode` reads. The exact alternatives are in
`exact`.
"""

from dataclasses import dataclass
from typing import ClassVar

from gfe_core.adjoints.inputs import Inputs
from gfe_core.energy import Energy
from gfe_core.solvers import Solver
from gfe_core.solvers.recording import Recorder
from gfe_core.types import Codes, Encoding, Flow


@dataclass(frozen=True)
class Found:
    """What an adjoint knows of an encoding: what asks for its gradient, and how it was found.

    Args:
        inputs: tensors that require a gradient and on which the codes depend.
        energy: of the caller's own decoder.
        flow, solver: as passed to `encode`.
        encoding: codes without a graph, statuses and times.
        record: every accepted state, where the adjoint replays.
    """

    inputs: Inputs
    energy: Energy
    flow: Flow
    solver: Solver
    encoding: Encoding
    record: Recorder | None


@dataclass(frozen=True, kw_only=True)
class Detached:
    """Treat the code as a constant.

    D/dtheta E(z, theta) = partial E / partial theta at the code found.

    Exact where the flow has arrived and the loss outside is the loss inside: there grad_z E = 0, so
    that how z moves with the weights does not matter (envelope theorem). Elsewhere wrong by a term
    proportional to |grad_z E|.

    Source: Flouris et al. 2024 (arXiv 2412.00864), equation 12.
    """

    replays: ClassVar[bool] = False
    differentiates: ClassVar[bool] = False

    def check(self, decoder: object, flow: object, solver: object) -> None:
        """Every combination will do."""

    def attach(self, decoder: object, found: Found) -> Codes:
        """Return the code without a graph."""
        return found.encoding.z
