"""How good samples are.

Whether each lies where data lie (precision) and whether data lie where samples do (recall).
"""

import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor


def quality(drawn: Tensor, real: Tensor, *, n_components: int = 30, k: int = 3) -> dict[str, float]:
    """Improved precision and recall, in the principal components of the real images.

    A sample is precise if it lies within the distance of some real image to its k-th nearest;
    recall changes the roles.

    Args:
        drawn: samples, as many as real images.
        real: images.
        n_components: principal components in which distances are taken.
        k: which neighbour.

    Source: Kynkaanniemi et al. 2019 (arXiv 1904.06991), who take distances between features of a
        network.
    """
    pca = PCA(min(n_components, *real.shape), random_state=0).fit(real.numpy())
    there, here = (torch.from_numpy(pca.transform(x.numpy())) for x in (real, drawn))
    return {"precision": _covered(here, there, k), "recall": _covered(there, here, k)}


def _covered(points: Tensor, support: Tensor, k: int) -> float:
    """Share of points inside the ball of some point of the support, to its k-th neighbour."""
    radius = (
        NearestNeighbors(n_neighbors=k + 1)
        .fit(support.numpy())
        .kneighbors(support.numpy())[0][:, -1]
    )
    return (torch.cdist(points, support) <= torch.from_numpy(radius)).any(1).double().mean().item()
