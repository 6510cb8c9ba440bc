"""Quality of samples: precision and recall.

Precision asks whether each sample lies near the data, recall whether the data lie near samples.
"""

import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor


def quality(drawn: Tensor, real: Tensor, *, n_components: int = 30, k: int = 3) -> dict[str, float]:
    """Compute improved precision and recall, in the principal components of the real images.

    A sample is precise if, for at least one real image, it lies within the distance of that image
    to its k-th nearest neighbour; recall exchanges the roles.

    Args:
        drawn: samples, the same number as real images.
        real: real images.
        n_components: number of principal components in which distances are taken.
        k: rank of the neighbour, >= 1.

    Source: Kynkaanniemi et al. 2019 (arXiv 1904.06991), who take distances between features of a
        network.
    """
    pca = PCA(min(n_components, *real.shape), random_state=0).fit(real.numpy())
    real_points, drawn_points = (torch.from_numpy(pca.transform(x.numpy())) for x in (real, drawn))
    return {
        "precision": _covered(drawn_points, real_points, k),
        "recall": _covered(real_points, drawn_points, k),
    }


def _covered(points: Tensor, support: Tensor, k: int) -> float:
    """Return the fraction of points inside at least one ball around the support's points."""
    radius = (
        NearestNeighbors(n_neighbors=k + 1)
        .fit(support.numpy())
        .kneighbors(support.numpy())[0][:, -1]
    )
    return (torch.cdist(points, support) <= torch.from_numpy(radius)).any(1).double().mean().item()
