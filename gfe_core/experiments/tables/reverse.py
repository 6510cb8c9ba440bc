"""The reverse network of `reproduce learnt`: its training on a frozen decoder, and its steps.

The picture of a code is f(z), the mean that the decoder draws: grey values. The reverse network g
maps pictures to codes. A step moves the picture a fraction of the way to the image, and g says how
the code has to change. If the Jacobian of g is a left inverse of the picture's, this is a step of
Gauss and Newton up to first order, without a matrix and without a gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.func import jvp

import gfe_core as gfe
from gfe_core import encoders
from gfe_core.types import Codes, Data, PerSample

Map = Callable[[Tensor], Tensor]
"""Function from codes to pictures, or from pictures to codes."""
Loss = gfe.Bernoulli | gfe.Gaussian
"""Loss whose slope in the decoder's output is proportional to the picture minus the sample."""

ARMIJO = 1e-4
"""Required fraction of the predicted decrease."""
SMALLEST = 2.0**-10
"""Fraction, relative to the first one, below which a search gives up."""
PASSES = 3
"""Passes of an attempt, in forward-equivalents: twice the reverse network, once the decoder."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The training of a reverse network, and its first step.

    Args:
        n_codes: number of training images whose codes the flow finds, at least 1.
        updates: number of updates at a one-cycle rate, at least 1.
        size: number of codes in an update, at least 1.
        rate: highest learning rate of Adam, above 0.
        noise: standard deviation of the noise on codes, in units of that of the codes.
        penalty: weight of the composition penalty, at least 0.
        fraction: largest fraction of the way to the image that a step takes, above 0.
    """

    n_codes: int
    updates: int
    size: int
    rate: float
    noise: float
    penalty: float
    fraction: float


def picture_of(decoder: nn.Module, loss: Loss) -> Map:
    """Return the function from codes to pictures."""
    return lambda z: loss.mean(decoder(z))


def composition(
    picture: Map, reverse: Map, z: Codes, v: Codes, residual: Data | float = 0.0
) -> tuple[Codes, PerSample]:
    """Return g(f(z) + r), and the penalty |J_g J_f v - v|^2 / n there, with n latents.

    The penalty is 0 for a left inverse and, for normal directions of variance 1, about 1 for a
    network without a slope. Its gradient reaches the reverse network only.

    Args:
        picture: function f from codes to pictures.
        reverse: reverse network g.
        z: codes.
        v: directions, one for each code.
        residual: difference r between what g is given and the picture.

    Source: Kachhadiya 2026 (arXiv 2605.13068), the Jacobian composition penalty.
    """
    with torch.no_grad():
        drawn, tangent = jvp(picture, (z,), (v,))[:2]
    code, pulled = jvp(reverse, (drawn + residual,), (tangent,))[:2]
    return code, (pulled - v).square().mean(1)


def fit_reverse(
    decoder: gfe.MLPDecoder, x: Data, codes: Codes, setting: Setting, *, seed: int
) -> nn.Module:
    """Train a reverse network on the frozen decoder until g(f(z)) = z and J_g J_f = I.

    Codes are drawn between the origin and those of the flow, where a search will meet them, with
    normal noise. The picture of each gets a random fraction of the image's residual at rest,
    x - f(z). This teaches g to ignore what no code can draw; otherwise the minimum of the energy
    would not be a fixed point of its steps.

    Args:
        decoder: decoder of the pictures; it is not changed.
        x: images, one for each code.
        codes: codes at rest that the flow found for the images.
        setting: settings of the training.
        seed: seed of the initial weights and of all draws.
    """
    generator = torch.Generator().manual_seed(seed)
    reverse = encoders.Autoencoder.mirror(decoder, generator=generator).layers
    optimizer = torch.optim.Adam(reverse.parameters(), lr=setting.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, setting.rate, total_steps=setting.updates + 1
    )
    picture = picture_of(decoder, gfe.Bernoulli())
    with torch.no_grad():
        residual = x - picture(codes)
    spread = codes.std(0)
    for _ in range(setting.updates):
        rows = torch.randint(len(codes), (setting.size,), generator=generator)
        way, share = torch.rand(2, setting.size, 1, generator=generator)
        noise, v = torch.randn(2, setting.size, codes.shape[1], generator=generator)
        z = way * codes[rows] + setting.noise * spread * noise
        code, penalty = composition(picture, reverse, z, v, share * residual[rows])
        miss = (code - z).square().mean() / spread.square().mean()
        optimizer.zero_grad()
        (miss + setting.penalty * penalty.mean()).backward()
        optimizer.step()
        schedule.step()
    return reverse


def composition_error(
    decoder: nn.Module, reverse: Map, z: Codes, loss: Loss, *, seed: int
) -> float:
    """Return the mean composition penalty at codes, for normal directions."""
    v = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        penalty = composition(picture_of(decoder, loss), reverse, z, v)[1]
    return penalty.double().mean().item()


@dataclass
class State:
    """The state of a search by a reverse network, one row for each sample.

    Args:
        z: codes.
        output: decoder's output at the codes.
        energy: energy of the codes.
        fraction: fraction of the way to the image that the next trial takes.
        work: forward-equivalents so far.
        stalled: whether a sample has given up, because no fraction lowered its energy.
    """

    z: Codes
    output: Data
    energy: PerSample
    fraction: PerSample
    work: Int[Tensor, "batch"]
    stalled: Bool[Tensor, "batch"]


@dataclass(frozen=True)
class Steps:
    """z <- z + g(p + a (x - p)) - g(p) with p = f(z), for each sample with its own fraction a.

    The energy must fall by a part of the decrease that its slope in the decoder's output predicts
    for the output of the trial: Armijo's test, without a gradient in z. The loss is convex in the
    output, so that a trial without a predicted decrease is always rejected. A rejected trial halves
    a, and an accepted one doubles it, up to `fraction`.

    Args:
        decoder: decoder of the codes.
        reverse: reverse network g.
        loss: loss of the energy, a mean over features.
        fraction: largest fraction, with which a search begins, above 0.

    Source: Kachhadiya 2026 (arXiv 2605.13068), the step; the test is ours.
    """

    decoder: nn.Module
    reverse: Map
    loss: Loss
    fraction: float

    @torch.no_grad()
    def begin(self, x: Data, z: Codes) -> State:
        """Decode the start."""
        output = self.decoder(z)
        energy = self.loss.per_sample(output, x)
        ones = torch.ones(len(x), dtype=torch.long)
        return State(
            z.clone(), output, energy, torch.full_like(energy, self.fraction), ones, ones == 0
        )

    @torch.no_grad()
    def attempt(self, x: Data, state: State) -> None:
        """Make one trial for every sample that has not stalled, and change the state in place."""
        rows = (~state.stalled).nonzero()[:, 0]
        parts = (state.z, state.output, state.energy, state.fraction)
        z, output, energy, a = (part[rows] for part in parts)
        drawn = self.loss.mean(output)
        residual = x[rows] - drawn
        trial = z + self.reverse(drawn + a[:, None] * residual) - self.reverse(drawn)
        moved = self.decoder(trial)
        value = self.loss.per_sample(moved, x[rows])
        promised = (residual * (moved - output)).mean(1)
        accepted = (value < energy) & (energy - value >= ARMIJO * promised)
        a = torch.where(accepted, (2 * a).clamp(max=self.fraction), a / 2)
        state.z[rows] = torch.where(accepted[:, None], trial, z)
        state.output[rows] = torch.where(accepted[:, None], moved, output)
        state.energy[rows] = torch.where(accepted, value, energy)
        state.fraction[rows] = a
        state.stalled[rows] = a < SMALLEST * self.fraction
        state.work[rows] += PASSES
