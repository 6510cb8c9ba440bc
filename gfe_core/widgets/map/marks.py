"""The mark of each point on a map: its class, or the tenth to which its number belongs."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor

_NAMED = 100
"""Classes from 0 to below this keep their numbers, and so their colours, if others are absent."""
_TENTHS = 10


def marks_of(y: Tensor, classes: Sequence[str] | None = None) -> tuple[list[int], list[str]]:
    """Return the mark of each sample and the names of the marks.

    A mark is drawn as the first letter of its name.

    Args:
        y: classes (n,), or numbers (n,) or (n, parameters), of which only the first column is used.
        classes: names of the classes, if they have any.

    Example:
        >>> import torch
        >>> marks_of(torch.tensor([-1, 4, -1]))
        ([0, 1, 0], ['-1', '4'])
        >>> marks_of(torch.tensor([0.5, 2.5]))
        ([0, 1], ['0: 0.5 to 1.5', '1: 1.5 to 2.5'])
    """
    if classes is not None:
        return y.tolist(), list(classes)
    one = y if y.dim() == 1 else y[:, 0]
    if one.is_floating_point():
        return _tenths(one.double().numpy())
    values = one.unique().tolist()
    if min(values) >= 0 and max(values) < _NAMED:
        values = list(range(max(values) + 1))
    places = {value: place for place, value in enumerate(values)}
    return [places[value] for value in one.tolist()], [str(value) for value in values]


def _tenths(numbers: np.ndarray) -> tuple[list[int], list[str]]:
    """Split numbers into ten groups or fewer of about equal size; others form a group "?"."""
    known = np.isfinite(numbers)
    if not known.any():
        return [0] * len(numbers), ["?: unknown"]
    n = min(_TENTHS, len(np.unique(numbers[known])))
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, n + 1)))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    names = [f"{k}: {a:.3g} to {b:.3g}" for k, (a, b) in enumerate(pairwise(edges))]
    groups = np.searchsorted(edges[1:-1], numbers, side="right")
    if not known.all():
        groups = np.where(known, groups, len(names))
        names.append("?: unknown")
    return groups.tolist(), names
