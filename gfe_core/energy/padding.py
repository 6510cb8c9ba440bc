"""Rows added to a batch so that a code does not depend on how many others are still flowing.

Matrix kernels for small batches round differently: without padding, a code would move in its last
bits when another sample of its batch finishes. A decoder that sets `row_multiple` is called with a
multiple of so many rows. The kit's own decoders do; a stranger's, which may be heavy, is called
with the rows asked for and no others, and is independent of the batch to rounding.
"""

import torch
from torch import Tensor

from gfe_core.types import Decoder


def row_multiple(decoder: Decoder) -> int:
    """Return the number of rows that calls of this decoder are a multiple of."""
    return getattr(decoder, "row_multiple", 1)


def padded(rows: Tensor, multiple: int) -> Tensor:
    """Append zero rows up to the next multiple: codes at the origin, or weights of nothing."""
    missing = -len(rows) % multiple
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows


def repeated(rows: Tensor, multiple: int) -> Tensor:
    """Repeat the first row up to the next multiple: a loss may refuse zeros for data."""
    missing = -len(rows) % multiple
    more = rows[:1].detach().expand(missing, *rows.shape[1:])
    return torch.cat([rows, more]) if missing else rows
