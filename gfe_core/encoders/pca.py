"""Principal components: a linear decoder whose codes are found without a search.

PCA without components gives the mean image; logistic PCA is `fit` with a `LinearDecoder`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gfe_core import arguments, checks
from gfe_core.data.samples import Samples, rows_of
from gfe_core.encoders.single_look import accepted, one_look
from gfe_core.energy import Bernoulli
from gfe_core.types import AnyLoss, Codes, Encoding


class PCA(nn.Module):
    """Principal components as a decoder: the logits of mean + z W, clipped to lie inside (0, 1).

    Args:
        x: images to fit, grey values in [0, 1].
        latent_dim: number of components; with 0 the decoder is the mean image.
        clip: margin in (0, 0.5): grey values of the output are kept in [clip, 1 - clip]. Without
            it, a pixel that was always black in x would cost infinitely many nats.

    Raises:
        ValueError: there are more components than samples or features, clip is outside (0, 0.5),
            or values are not finite.

    Source: Pearson 1901; Jolliffe 2002, Principal Component Analysis.
    """

    mean: Tensor
    components: Tensor

    @arguments.in_own_words
    def __init__(self, x: Samples, *, latent_dim: int, clip: float = 0.01) -> None:
        super().__init__()
        x = checks.table(rows_of(x))
        latent_dim = checks.whole("latent_dim", latent_dim)
        checks.require(
            len(x) > 0, f"`x` must hold at least one sample, got shape {tuple(x.shape)}."
        )
        n_bad = int((~x.isfinite().all(1)).sum())
        checks.require(
            not n_bad,
            f"`x` has NaN or infinity in {n_bad} samples. Leave them out: "
            "`x[x.isfinite().all(1)]`.",
        )
        n = min(x.shape)
        wanted = (
            f"`latent_dim` must be between 0 and {n} for {len(x)} samples of {x.shape[1]} features"
        )
        checks.require(0 <= latent_dim <= n, f"{wanted}, got {latent_dim}. Pass fewer components.")
        clip = checks.number("clip", clip)
        checks.require(0 < clip < 0.5, f"`clip` must lie strictly between 0 and 0.5, got {clip}.")
        mean = x.double().mean(0)
        directions = (
            torch.linalg.svd(x.double() - mean, full_matrices=False).Vh
            if latent_dim
            else x[:0].double()
        )
        self.register_buffer("mean", mean.to(x.dtype))
        self.register_buffer("components", directions[:latent_dim].to(x.dtype))
        self.latent_dim = latent_dim
        self.clip = clip
        self.data_shape = (x.shape[1],)

    def forward(self, z: Codes) -> Float[Tensor, "batch features"]:
        """Return the logits of codes."""
        return (self.mean + z @ self.components).clamp(self.clip, 1 - self.clip).logit()


@arguments.in_own_words
def project(decoder: PCA, x: Samples, *, loss: AnyLoss | None = None) -> Encoding:
    """Encode by the orthogonal projection z = (x - mean) W', the least-squares code of PCA."""
    fits = isinstance(decoder, PCA)
    wanted = "`decoder` must be a `PCA`, whose codes are projections"
    remedy = "Write `encoders.PCA(x, latent_dim=...)`, or encode by the flow, `gfe.encode`."
    checks.require(fits, f"{wanted}, got {checks.described(decoder)}. {remedy}", TypeError)
    loss = loss or Bernoulli()
    x = accepted(decoder, x, loss)
    return one_look(decoder, x, (x - decoder.mean) @ decoder.components.T, loss)
