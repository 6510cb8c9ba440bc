"""What each latent does.

Pictures along it, made in advance, and the factors of the data that it follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.samples import rows_of
from gfe_core.encoding import reconstruct
from gfe_core.types import Codes, Loss
from gfe_core.widgets.kit.pictures import pictures_of
from gfe_core.widgets.kit.shown import at_least

_N_GROUPS = 20  # of equal size, of a factor that has more values than that
_EDGES = (0.02, 0.98)  # quantiles of the codes between which a latent is moved


@in_own_words
def explained(z: Codes, factors: Float[Tensor, "n factors"]) -> Float[Tensor, "latents factors"]:
    """Return which share of each latent's variance each factor explains alone.

    1 if it is a function of it, 0 if not.

    The variance between the means of groups of samples with about the same factor, over the whole
    variance. It need not be a straight line: a factor may go round, or be a name. By chance it is
    about 19 over the number of samples.

    Args:
        z: codes of the samples.
        factors: what made them.

    Source: Pearson 1905, the correlation ratio.
    """
    z = checks.codes(rows_of(z, "z"))
    factors = torch.as_tensor(factors)
    factors = factors[:, None] if factors.dim() == 1 else factors
    fits = factors.dim() == 2 and len(factors) == len(z)
    wanted = f"`factors` must have shape ({len(z)}, factors), a row for each code"
    checks.require(fits, f"{wanted}, got {tuple(factors.shape)}.")
    at_least(1, len(z), "z")
    known = bool(z.isfinite().all() and factors.isfinite().all())
    remedy = "Leave these rows out of both."
    checks.require(known, f"`z` and `factors` must be finite, got NaN or infinity. {remedy}")
    columns = [_groups(factor) for factor in factors.T]
    return torch.stack([_between(z, groups) for groups in columns], 1)


def _groups(factor: Float[Tensor, "n"]) -> Float[Tensor, "n groups"]:
    """1 where a sample belongs to a group."""
    values = factor.unique()
    if len(values) > _N_GROUPS:
        cuts = torch.quantile(factor, torch.linspace(0, 1, _N_GROUPS + 1)[1:-1])
        values = torch.arange(_N_GROUPS)
        factor = torch.bucketize(factor.contiguous(), cuts)
    return (factor[:, None] == values).to(torch.float32)


def _between(z: Codes, groups: Float[Tensor, "n groups"]) -> Float[Tensor, "latents"]:
    sizes = groups.sum(0)
    means = groups.T @ z / sizes[:, None]
    spread = (sizes[:, None] * (means - z.mean(0)).square()).sum(0) / len(z)
    return spread / z.var(0, unbiased=False).clamp(min=1e-12)


@dataclass(frozen=True, kw_only=True)
class Traversal:
    """The pictures along each latent of one model.

    Args:
        values: (latents, frames), where each latent is moved to.
        images: uint8 (bases, latents, frames, height, width), with a last axis of 3 in colour; the
            other latents stay those of the base.
        own: (bases, latents), the codes of the bases.
        shares: (latents, factors), of `explained`.
    """

    values: Float[Tensor, "latents frames"]
    images: np.ndarray
    own: Codes
    shares: Float[Tensor, "latents factors"]


def traverse(
    decoder: Any,
    z: Codes,
    factors: Float[Tensor, "n factors"],
    *,
    bases: Sequence[int],
    image_shape: tuple[int, ...],
    n_frames: int,
    loss: Loss,
) -> Traversal:
    """Move each latent of some samples through the range that the codes of all samples take.

    Args:
        decoder: of the latents.
        z: codes of samples.
        factors: that made them.
        bases: rows of z to start from.
        image_shape: (height, width), or (3, height, width) in colour.
        n_frames: pictures along a latent.
        loss: says how outputs become grey values.
    """
    low, high = torch.quantile(z, torch.tensor(_EDGES), dim=0)
    values = low[:, None] + (high - low)[:, None] * torch.linspace(0, 1, n_frames)
    own = z[list(bases)]
    n = z.shape[1]
    codes = own[:, None, None].repeat(1, n, n_frames, 1)
    for j in range(n):
        codes[:, j, :, j] = values[j]
    drawn = reconstruct(decoder, codes.flatten(0, 2), loss).unflatten(0, codes.shape[:3])
    images = pictures_of(drawn, image_shape)
    return Traversal(values=values, images=images, own=own, shares=explained(z, factors))
