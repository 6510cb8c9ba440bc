"""The effect of each latent: pictures along it, and the factors of the data that it follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data.samples import table_of_codes
from gfe_core.encoding import reconstruct
from gfe_core.types import Codes, Loss
from gfe_core.widgets.kit.pictures import pictures_of
from gfe_core.widgets.kit.shown import at_least

_N_GROUPS = 20  # number of groups of equal size for a factor with more values than that
_EDGES = (0.02, 0.98)  # quantiles of the codes between which a latent is moved


@in_own_words
def explained(z: Codes, factors: Float[Tensor, "n factors"]) -> Float[Tensor, "latents factors"]:
    """Return the share of each latent's variance that each factor explains alone, from 0 to 1.

    It is the variance between the means of groups of samples with about the same value of the
    factor, divided by the whole variance: 1 if the latent is a function of the factor, about 0 if
    the mean of the latent does not depend on the factor. The relation need not be linear, and a
    factor may be cyclic or a name. With 20 groups the share by chance is about 19 over the number
    of samples.

    Args:
        z: codes of the samples.
        factors: values of the factors that made the samples.

    Source: Pearson 1905, the correlation ratio.
    """
    z = table_of_codes(z)
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
    """Return 1 where a sample belongs to a group, and 0 elsewhere."""
    values = factor.unique()
    if len(values) > _N_GROUPS:
        cuts = torch.quantile(factor, torch.linspace(0, 1, _N_GROUPS + 1)[1:-1])
        values = torch.arange(_N_GROUPS)
        factor = torch.bucketize(factor.contiguous(), cuts)
    return (factor[:, None] == values).to(torch.float32)


def _between(z: Codes, groups: Float[Tensor, "n groups"]) -> Float[Tensor, "latents"]:
    groups = groups[:, groups.any(0)].to(z)  # equal values may leave a group without samples
    sizes = groups.sum(0)
    means = groups.T @ z / sizes[:, None]
    unit = z.abs().amax(0)  # squares of very small or large codes leave the range of floats
    unit = torch.where(unit > 0, unit, 1.0)
    apart = ((means - z.mean(0)) / unit).square()
    variance = (z / unit).var(0, unbiased=False)
    share = (sizes[:, None] * apart).sum(0) / len(z) / variance
    return torch.where(variance > 0, share, 0.0)


@dataclass(frozen=True, kw_only=True)
class Traversal:
    """The pictures along each latent of one model.

    Args:
        values: values to which each latent is moved, (latents, frames).
        images: pictures, uint8 (bases, latents, frames, height, width), with a last axis of 3 in
            colour; the other latents keep the values of the base.
        own: codes of the bases, (bases, latents).
        shares: shares that `explained` returns, (latents, factors).
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
    """Move each latent of given samples through the range that the codes of all samples take.

    The range is that between the 2 % and the 98 % quantile.

    Args:
        decoder: decoder of the latents.
        z: codes of all samples.
        factors: values of the factors that made the samples.
        bases: rows of z to start from.
        image_shape: shape of an image, (height, width), or (3, height, width) in colour.
        n_frames: number of pictures along a latent.
        loss: loss that turns outputs into grey values.
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
