"""The order in which training sees samples: the same for the same seed, and it can be resumed."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gfe_core import checks, threads
from gfe_core.data.contexts import check_context, rows_of
from gfe_core.types import Context


class Batches:
    """The samples in batches; one iteration is one pass over all of them, each exactly once.

    The order is a function of (seed, epoch) alone. The position (`epoch`, `index` of the next
    batch) moves on as a batch is handed out: a saved position goes on with the next batch, and so
    does an iteration that was left early.

    Args:
        x: at least one sample, along the first axis.
        context: what else is known of each sample, one row a sample: a tensor or several by name.
            Batches are then pairs (x, context) of the same samples.
        size: samples in a batch, >= 1; the last batch of an epoch may be smaller.
        seed: of the order, >= 0.
        shuffle: False keeps the order of x.

    Raises:
        TypeError: x is not a tensor, or the context neither tensor nor tensors by name.
        ValueError: x is empty, the context has other rows, size is below 1 or seed below 0.

    Example:
        >>> batches = Batches(torch.arange(5.0), size=2, seed=0)
        >>> [len(batch) for batch in batches], batches.epoch
        ([2, 2, 1], 1)
        >>> pairs = Batches(torch.arange(5.0), context=torch.arange(5), size=2)
        >>> all(torch.equal(x, context.float()) for x, context in pairs)
        True
    """

    def __init__(
        self,
        x: Float[Tensor, "n *data"],
        *,
        size: int,
        context: Context | None = None,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"`x` must be a torch.Tensor, got {type(x).__name__}. Pass the samples: `data.x`."
            )
        if x.dim() == 0 or len(x) == 0:
            raise ValueError(
                f"`x` must hold at least one sample along its first axis, got shape "
                f"{tuple(x.shape)}."
            )
        wanted = "`size` must be at least 1 and `seed` at least 0"
        checks.require(size >= 1 and seed >= 0, f"{wanted}, got size={size} and seed={seed}.")
        check_context(context, x)
        self.x = x
        self.context = context
        self.size = size
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = self.index = 0

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.size)

    def __iter__(self) -> Iterator[Any]:
        order = self._order().to(self.x.device)
        while self.index < len(self):
            start = self.index * self.size
            self.index += 1
            # To copy some rows is no work for two.
            with threads.suited():
                rows = order[start : start + self.size]
                x = self.x[rows]
                context = rows_of(self.context, rows)
            yield x if context is None else (x, context)
        self.epoch = self.epoch + 1
        self.index = 0

    def _order(self) -> Int[Tensor, "n"]:
        if not self.shuffle:
            return torch.arange(len(self.x))
        # torch keeps only 32 bits of a seed: numpy mixes (seed, epoch) into them
        mixed = int(np.random.SeedSequence((self.seed, self.epoch)).generate_state(1)[0])
        return torch.randperm(len(self.x), generator=torch.Generator().manual_seed(mixed))

    def state_dict(self) -> dict[str, int]:
        """Return the position, and what it must be used with, as plain integers."""
        order = {
            "n": len(self.x),
            "size": self.size,
            "seed": self.seed,
            "shuffle": int(self.shuffle),
        }
        return order | {"epoch": self.epoch, "index": self.index}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a saved position.

        A ValueError refuses that of batches with other n, size, seed or shuffle.
        """
        mine = self.state_dict()
        fits = state.keys() == mine.keys() and all(
            state[key] == mine[key] for key in ("n", "size", "seed", "shuffle")
        )
        checks.require(
            fits, f"`state` {state} belongs to other batches than {mine}: build them as they were."
        )
        self.epoch = state["epoch"]
        self.index = state["index"]
