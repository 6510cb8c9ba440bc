"""One latent: the flow carries a point of a curve to where the curve is nearest to a data point.

`CurveView` sends the decoder to the browser once; the engine there (kit/flow.js) follows the flow
for every data point and every start that the reader chooses.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import traitlets as t
from torch import Tensor

from gfe_core import checks
from gfe_core.encoding import encode
from gfe_core.energy import Bernoulli, Energy
from gfe_core.solvers import RK4
from gfe_core.types import AnyLoss, Decoder, Encoding, SaveAt
from gfe_core.widgets.kit.bundles import script, style
from gfe_core.widgets.kit.engine import Recipe, Unportable, described, portable
from gfe_core.widgets.kit.explorer import Explorer, own_copy
from gfe_core.widgets.kit.savable import Savable

_WIDEST = 30.0  # codes from minus this to this are examined
_MOVES = 0.05  # codes are shown where the curve's speed exceeds this share of its maximum
_PLANE = 1.6  # smallest half side of the plane
_STEP = 0.5  # dt in units of 1 / lambda_max


class CurveView(Savable):
    """One flow in two panels: the plane with curve and data point, and the energy of the codes."""

    _esm = script("curve")
    _css = style("curve")

    layers = t.List(t.Dict()).tag(sync=True)
    weights = t.Bytes().tag(sync=True)
    loss = t.Dict().tag(sync=True)
    recipe = t.Dict().tag(sync=True)
    codes = t.List(t.Float()).tag(sync=True)
    side = t.List(t.Float()).tag(sync=True)
    point = t.List(t.Float()).tag(sync=True)
    start = t.Float(0.0).tag(sync=True)
    defaults = t.Dict().tag(sync=True)
    frame = t.Int(0).tag(sync=True)
    playing = t.Bool(False).tag(sync=True)
    title = t.Unicode().tag(sync=True)
    alt_text = t.Unicode().tag(sync=True)
    note = t.Unicode().tag(sync=True)


class CurveExplorer(Explorer):
    """Follow the flow of one data point along a curve; the reader can drag the point and the start.

    The codes shown are those at which the curve moves. Farther out, the output of a decoder that
    saturates hardly changes, and a flow that goes there does not end.

    Args:
        decoder: decoder with one latent and two outputs, made of linear layers with ELU, tanh or
            ReLU.
        point: data point shown first, (x, y).
        start: code at which the first flow starts.
        loss: loss of the energy, `Bernoulli()` by default as for `encode`; a curve needs
            `Gaussian()`.
        n_steps: number of RK4 steps of the flow.
        name: name of the explorer.
        title: title above the view.
        playing: whether the flow plays by itself when it is first seen.

    Raises:
        ValueError: the decoder has another number of latents or outputs.
        Unportable: the browser cannot repeat the decoder or the loss.

    Example:
        >>> import gfe_core as gfe
        >>> model = gfe.pretrained("circle")
        >>> explorer = CurveExplorer(model.decoder, (0.4, 0.3), loss=model.loss)
        >>> explorer.follow().z.shape
        torch.Size([1, 1])
    """

    def __init__(
        self,
        decoder: Decoder,
        point: Sequence[float],
        *,
        start: float = 0.0,
        loss: AnyLoss | None = None,
        n_steps: int = 100,
        name: str = "curve",
        title: str = "A point finds its place on a curve",
        playing: bool = False,
    ) -> None:
        checks.is_decoder(decoder)
        fits = decoder.latent_dim == 1 and tuple(decoder.data_shape) == (2,)
        got = f"{decoder.latent_dim} and {tuple(decoder.data_shape)}"
        wanted = "`decoder` must have one latent and two outputs, as a curve in a plane has"
        remedy = '`gfe.pretrained("circle").decoder` is one.'
        checks.require(fits, f"{wanted}, got {got}. {remedy}")
        checks.sequence("point", point)
        checks.require(len(point) == 2, f"`point` must be (x, y), got {point!r}.")
        for name_of, number in (("point", point[0]), ("point", point[1]), ("start", start)):
            checks.number(name_of, number)
            finite = math.isfinite(number)
            checks.require(finite, f"`{name_of}` must be finite, got {number}.")
        n_steps = checks.at_least_one("n_steps", n_steps)
        self.decoder = own_copy(decoder)
        self.loss = loss or Bernoulli()
        z = torch.linspace(-_WIDEST, _WIDEST, 1201)[:, None]
        curve = self.decoder(z).detach()
        speed = curve.diff(dim=0).norm(dim=1)
        moving = z[:-1][speed > _MOVES * speed.max()]
        self.recipe = self._recipe(z, curve, n_steps)
        first: dict[str, Any] = {"point": [float(one) for one in point], "start": float(start)}
        half = max(_PLANE, 1.1 * curve.abs().max().item(), *map(abs, first["point"]))
        alt = (
            "A point moves along a curve to where the curve is nearest to a data point, and its "
            "code moves downhill in the energy."
        )
        self.view = CurveView(
            **_portable(self.decoder, self.loss),
            recipe=described(self.recipe),
            codes=[moving.min().item(), moving.max().item()],
            side=[-half, half],
            defaults=first,
            frame=n_steps,
            playing=playing,
            title=title,
            alt_text=alt,
            **first,
        )
        super().__init__(name, self.view, alt)

    def follow(self) -> Encoding:
        """Follow the flow of the present point from the present start in the kernel."""
        return encode(
            self.decoder,
            torch.tensor([self.view.point]),
            loss=self.loss,
            solver=self.recipe.solver,
            z0=torch.tensor([[self.view.start]]),
            t1=self.recipe.t1,
            max_steps=self.recipe.max_steps,
            save_at=SaveAt.steps(),
        )

    def _recipe(self, z: Tensor, curve: Tensor, n_steps: int) -> Recipe:
        """Return RK4 with steps well within its stability limit at all codes examined.

        When the data point is D(z) itself, the curvature of the energy at z is proportional to the
        squared speed of the curve.
        """
        every = slice(None, None, 20)
        curvature = Energy(self.decoder, curve[every], self.loss).hessian(z[every])
        dt = _STEP / curvature.max().item()
        return Recipe(solver=RK4(n_steps=n_steps), t1=n_steps * dt, max_steps=n_steps)


def _portable(decoder: Decoder, loss: AnyLoss) -> dict[str, Any]:
    """Return what the browser computes with; this view has no kernel to fall back on."""
    try:
        return portable(decoder, loss)
    except Unportable as reason:
        raise Unportable(
            f"`decoder` and `loss` must be ones that the browser can repeat, but {reason}. Use a "
            "`gfe.MLPDecoder` with ELU, tanh or ReLU, and `gfe.Bernoulli()` or `gfe.Gaussian()`."
        ) from None
