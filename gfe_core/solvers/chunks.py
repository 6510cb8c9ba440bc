"""Encoding in chunks of samples: memory is bounded, progress is shown, interrupts keep results.

Codes do not depend on the split into chunks: to the bit for `MLPDecoder` and `LinearDecoder`, up to
rounding for others.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from typing import Any

import torch

from gfe_core.types import Codes, Context, Encoding, Statistics, Status

SIZE = 1000
"""Default number of samples in a chunk when progress is shown."""


def in_chunks(
    find: Callable[[slice], Encoding], n: int, size: int, *, progress: bool = False
) -> list[Encoding]:
    """Find codes in chunks of `size` samples, and return the parts that were finished.

    Args:
        find: function from rows to their encoding.
        n: number of samples; 0 gives one empty part.
        size: number of samples encoded at once, >= 1.
        progress: whether to show a bar that counts samples, on stderr or in the notebook.

    Raises:
        KeyboardInterrupt: the interrupt came before the first part was finished.
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


def not_reached(start: Codes, like: Encoding, context: Context | None = None) -> Encoding:
    """Return the encoding of samples that were not reached: their start, with all else unknown."""
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
        context=context,
    )


def solver_of(solver: Any, rows: slice, n: int) -> Any:
    """Return the solver for a slice of n samples: a grid may hold the steps of each (`of_rows`)."""
    part = getattr(solver, "of_rows", None)
    return solver if part is None else part(rows, n)


def chunk_rows(n: int, size: int) -> Iterator[slice]:
    """Yield the rows of successive chunks of `size` samples; one empty chunk if n is 0."""
    for start in range(0, max(n, 1), size):
        yield slice(start, start + size)


def _bar(n: int, progress: bool) -> AbstractContextManager[Any]:
    """Return a bar of tqdm, or a context without a bar."""
    if not progress:
        return nullcontext()
    # Imported here, because a notebook's bar imports widgets.
    from tqdm.auto import tqdm

    return tqdm(total=n, unit="sample", desc="encode")
