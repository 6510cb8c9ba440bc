"""The strip of thumbnails from which a reader chooses a sample."""

from collections.abc import Sequence
from typing import Any

import anywidget
import traitlets as t

from gfe_core.data import DataSet
from gfe_core.widgets.kit.pictures import pictures_of

_MOST = 40  # largest number of thumbnails
_PARAMETERS = 4  # largest number of parameters in a label
_SIDE = 32  # largest side of a thumbnail, in pixels


class WithThumbnails(anywidget.AnyWidget):
    """A view that has a strip; `thumbnails_of` gives the traits."""

    thumbnails = t.Bytes().tag(sync=True)  # uint8, of thumbnail_shape
    thumbnail_shape = t.List(t.Int(), default_value=[0, 1, 1]).tag(sync=True)
    thumbnail_labels = t.List(t.Unicode()).tag(sync=True)
    thumbnail_rows = t.List(t.Int()).tag(sync=True)  # rows of their samples


def thumbnails_of(samples: DataSet, rows: Sequence[int]) -> dict[str, Any]:
    """Return the traits of a view that shows samples in its strip.

    Args:
        samples: data set of images.
        rows: rows of the samples in the strip.
    """
    assert samples.image_shape is not None
    rows = list(rows)
    every = max(1, -(-max(samples.image_shape[-2:]) // _SIDE))
    images = pictures_of(samples.x[rows].nan_to_num(), samples.image_shape)[:, ::every, ::every]
    return {
        "thumbnails": images.tobytes(),
        "thumbnail_shape": list(images.shape),
        "thumbnail_labels": [label_of(samples, row) for row in rows],
        "thumbnail_rows": rows,
    }


def rows_around(samples: DataSet, sample: int) -> range:
    """Return the rows of a strip: the first ones, or a block with `sample` if it comes later."""
    first = 0 if sample < _MOST else min(sample, len(samples) - _MOST)
    return range(first, min(first + _MOST, len(samples)))


def label_of(samples: DataSet, row: int) -> str:
    """Return the class of a sample, or the parameters that made it, in words."""
    if samples.classes is not None:
        return samples.classes[int(samples.y[row])]
    known = samples.y[row].reshape(-1)
    words = [f"{one:.3g}" for one in known[:_PARAMETERS].tolist()]
    return "label " + ", ".join(words + ["…"] * (len(known) > _PARAMETERS))
