"""How a gradient reaches the decoder's parameters through the code it helped to find."""

from dataclasses import dataclass

from gfe_core.types import Codes


@dataclass(frozen=True, kw_only=True)
class Detached:
    """Treat the code as a constant: d/dtheta E(z, theta) = partial E / partial theta at the code found.

    Exact where the flow has arrived and the loss outside is the loss inside: there grad_z E = 0, so that how z moves
    with the weights does not matter (envelope theorem). Elsewhere wrong by a term proportional to |grad_z E|.

    Source: Flouris et al. 2024 (arXiv 2412.00864), equation 12.
    """

    def attach(self, z: Codes) -> Codes:
        """Return the code without a graph."""
        return z.detach()
