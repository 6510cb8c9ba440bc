"""Padding rows, so that a code does not depend on how many other samples are still flowing.

Matrix kernels for small batches round differently: without padding, the last bits of a code would
change when another sample of its batch finishes. A decoder that sets `row_multiple` is called with
a multiple of that number of rows. The kit's own decoders set it. A user's decoder, which may be
expensive, is called with the given rows only, and its codes are independent of the batch up to
rounding.
"""

import torch
from torch import Tensor

from gfe_core.types import Decoder


def row_multiple(decoder: Decoder) -> int:
    """Return the number of which the rows in every call of this decoder are a multiple."""
    return getattr(decoder, "row_multiple", 1)


def padded(rows: Tensor, multiple: int) -> Tensor:
    """Append zero rows up to the next multiple: codes at the origin, or zero weights."""
    missing = -len(rows) % multiple
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows


def repeated(rows: Tensor, multiple: int) -> Tensor:
    """Repeat the first row up to the next multiple, because a loss may refuse zeros as data."""
    missing = -len(rows) % multiple
    more = rows[:1].detach().expand(missing, *rows.shape[1:])
    return torch.cat([rows, more]) if missing else rows
