"""Many samples, some at a time: memory stays flat, progress is shown, an interrupt keeps the rest.

Codes do not depend on how samples are split: to the bit for decoders of the kit, to rounding for
others.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from typing import Any

import torch

from gfe_core.types import Codes, Encoding, Statistics, Status

SIZE = 1000
"""Samples found at once where progress is to be shown and no size was given."""


def in_chunks(
    find: Callable[[slice], Encoding], n: int, size: int, *, progress: bool = False
) -> list[Encoding]:
    """Find codes of so many samples after so many, and return the parts that were finished.

    Args:
        find: rows -> their encoding.
        n: number of samples; none at all are one empty part.
        size: samples at once, >= 1.
        progress: whether a bar counts the samples, on stderr or in the notebook.

    Raises:
        KeyboardInterrupt: it came before the first part was finished.
    """
    parts: list[Encoding] = []
    try:
        with _bar(n, progress) as bar:
            for rows in chunk_rows(n, size):
                parts.append(find(rows))
                if bar is not None:
                    bar.update(len(parts[-1]))
    except KeyboardInterrupt:
        if not parts:
            raise
        reached = sum(map(len, parts))
        warnings.warn(
            f"Interrupted: {reached} of {n} samples have codes, the others are NOT_REACHED.",
            stacklevel=3,
        )
    return parts


def not_reached(start: Codes, like: Encoding) -> Encoding:
    """Return the encoding of samples whose turn never came: their start, and nothing else known."""
    unknown = start.new_full((len(start),), math.nan)
    zeros = torch.zeros(len(start), dtype=torch.long, device=start.device)
    return Encoding(
        z=start,
        energy=unknown,
        grad_norm=unknown,
        t=unknown,
        status=torch.full_like(zeros, int(Status.NOT_REACHED)),
        statistics=Statistics(**{field.name: zeros for field in fields(Statistics)}),
        loss=like.loss,
    )


def chunk_rows(n: int, size: int) -> Iterator[slice]:
    """Yield the rows of so many samples after so many; none at all are one empty chunk."""
    for start in range(0, max(n, 1), size):
        yield slice(start, start + size)


def _bar(n: int, progress: bool) -> AbstractContextManager[Any]:
    """Return a bar of tqdm, or nothing."""
    if not progress:
        return nullcontext()
    # here, because a notebook's bar brings widgets along
    from tqdm.auto import tqdm

    return tqdm(total=n, unit="sample", desc="encode")
