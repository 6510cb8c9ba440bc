"""How gradients flow through the codes that `encode` returns.

`Detached`, the default, passes no gradient through. The exact alternatives are in `exact`.
"""

from dataclasses import dataclass
from typing import ClassVar

from gfe_core.adjoints.inputs import Inputs
from gfe_core.energy import Energy
from gfe_core.solvers import Solver
from gfe_core.solvers.recording import Recorder
from gfe_core.types import Codes, Encoding, Flow


@dataclass(frozen=True)
class Solution:
    """The record of an encoding that an adjoint needs to differentiate it.

    Args:
        inputs: tensors that require a gradient and on which the codes depend.
        energy: energy with the caller's own decoder.
        flow, solver: flow and solver, as passed to `encode`.
        encoding: codes without a graph, statuses and times.
        record: every accepted state, if the adjoint replays the steps.
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

    The derivative of E(z, theta) in theta is the partial derivative at the code z.

    It is exact if the flow has reached a minimum and the outer loss is the energy itself: there
    grad_z E = 0, so the dependence of z on the weights does not matter (envelope theorem). Before
    the minimum the error is proportional to |grad_z E|. For another outer loss L the error is
    <dL/dz, dz/dtheta>, which does not vanish at the minimum.

    Source: Flouris et al. 2024 (arXiv 2412.00864), equation 12.
    """

    replays: ClassVar[bool] = False
    differentiates: ClassVar[bool] = False

    def check(self, decoder: object, flow: object, solver: object) -> None:
        """Accept every combination."""

    def attach(self, decoder: object, solution: Solution) -> Codes:
        """Return the code without a graph."""
        return solution.encoding.z
