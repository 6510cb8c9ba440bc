"""Flat maps of many points: principal components, and t-SNE at several perplexities.

Shape vocabulary: n points with any number of features become (n, 2), centred and scaled into
[-1, 1].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Layouts:
    """The maps of one set of points.

    Attributes:
        pca: positions along the first two principal components.
        tsne: positions by t-SNE, one layout for each perplexity.
    """

    pca: Float[np.ndarray, "n two"]
    tsne: Float[np.ndarray, "perplexities n two"]


_COLLAPSED = 1e-6
"""Width below which a layout of t-SNE has collapsed; other layouts are tens of units wide."""
_NEAR_ONE = (1e-3, 1e3)
"""Range of spreads that need no scaling."""


def fitting(perplexities: Sequence[float], n: int) -> tuple[float, ...]:
    """Return the perplexities for which n points have enough neighbours."""
    return tuple(one for one in perplexities if one < n)


def layouts_of(
    points: Float[np.ndarray, "n features"], perplexities: Sequence[float], *, seed: int = 0
) -> Layouts:
    """Lay points out by PCA and by t-SNE, each layout started from the one before it.

    t-SNE begins with the largest perplexity, at the principal components. That layout is coarse,
    and every smaller perplexity refines it, so that a map changes gradually into the next one.

    Args:
        points: points to map; if all are the same, all positions are 0.
        perplexities: perplexities, increasing, each less than n: roughly the number of neighbours
            that each point takes into account.
        seed: seed of PCA and of t-SNE.

    Returns:
        The layouts, in the order of `perplexities`.

    Raises:
        ValueError: a perplexity is not in (0, n), or they do not increase.

    Example:
        >>> import numpy as np
        >>> layouts_of(np.eye(12), [2, 5]).tsne.shape
        (2, 12, 2)

    Source: van der Maaten and Hinton 2008, Visualizing data using t-SNE; starting from principal
        components: Kobak and Berens 2019 (Nature Communications 10, 5416).
    """
    if list(perplexities) != sorted(set(perplexities)) or not all(
        0 < one < len(points) for one in perplexities
    ):
        raise ValueError(
            f"`perplexities` must increase within (0, {len(points)}), got {list(perplexities)}."
        )
    # imported here, because the imports take a second that only a map should cost
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n = len(points)
    apart = _apart(points)
    if apart is None:  # t-SNE divides by the spread
        return Layouts(
            np.zeros((n, 2), np.float32), np.zeros((len(perplexities), n, 2), np.float32)
        )
    flat = PCA(min(2, *apart.shape), random_state=seed).fit_transform(apart)
    pca = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    frames = []
    start = 1e-4 * pca / pca[:, 0].std()
    with threadpool_limits(1, user_api="openmp"):  # sums in another order would give another map
        for perplexity in reversed(perplexities):
            tsne = TSNE(perplexity=perplexity, init=start, max_iter=500, random_state=seed)  # pyright: ignore
            start = tsne.fit_transform(apart)
            if np.ptp(start) < _COLLAPSED:  # nothing drives groups of equal points apart
                start = pca
            start = turned(start, toward=frames[0] if frames else pca)
            frames.insert(0, in_view(start))
    return Layouts(in_view(pca), np.stack(frames) if frames else np.empty((0, n, 2), np.float32))


def _apart(points: Float[np.ndarray, "n features"]) -> Float[np.ndarray, "n features"] | None:
    """Return points in a unit in which t-SNE can tell them apart, or None if all are the same.

    Very small and very large numbers are scaled by a power of two, which rounds nothing.
    """
    spread = float(np.abs(points - points[:1]).max(initial=0.0))
    rounding = 8 * np.finfo(points.dtype).eps * float(np.abs(points).max(initial=0.0))
    if spread <= rounding:
        return None
    if _NEAR_ONE[0] <= spread <= _NEAR_ONE[1]:
        return points
    return (points.astype(float) * 2.0 ** -math.floor(math.log2(spread))).astype(points.dtype)


def in_view(layout: Float[np.ndarray, "n two"]) -> Float[np.ndarray, "n two"]:
    """Centre a layout and scale its longer side into [-1, 1]."""
    low = layout.min(0)
    high = layout.max(0)
    return ((layout - (low + high) / 2) / max(float((high - low).max()) / 2, 1e-12)).astype(
        np.float32
    )


def turned(
    layout: Float[np.ndarray, "n two"], *, toward: Float[np.ndarray, "n two"]
) -> Float[np.ndarray, "n two"]:
    """Rotate and reflect a layout so that it lies as close to another as possible.

    The orientation of a layout has no meaning.
    """
    left, _, right = np.linalg.svd((layout - layout.mean(0)).T @ (toward - toward.mean(0)))
    return ((layout - layout.mean(0)) @ (left @ right)).astype(np.float32)


def nearest(points: Float[np.ndarray, "n features"], k: int) -> Int[np.ndarray, "n k"]:
    """Return the rows of the k nearest other points of each point, nearest first.

    If there are fewer than k, the last one is repeated.
    """
    points = points.astype(float)  # squares of large numbers overflow in float32
    squares = (points**2).sum(1)
    gaps = squares[:, None] + squares[None] - 2 * points @ points.T
    np.fill_diagonal(gaps, np.inf)
    neighbours = gaps.argsort(axis=1)[:, : min(k, len(points) - 1)]
    return np.pad(neighbours, ((0, 0), (0, k - neighbours.shape[1])), mode="edge")
