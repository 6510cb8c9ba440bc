"""Batches of samples in an order that depends on a seed only, and that can be resumed."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader

from gfe_core import checks, threads
from gfe_core.arguments import in_own_words
from gfe_core.data.contexts import rows_of as context_of
from gfe_core.data.samples import (
    Samples,
    context_for,
    features_of,
    images_for,
    known_features,
    known_image_shape,
    of_batch,
    rows_of,
    samples_for,
    weight_of,
)
from gfe_core.types import Context

_SIZE = 64
"""Number of samples in a batch if data are given in place of batches."""


class Batches:
    """Samples in batches; one iteration is one pass, which yields every sample exactly once.

    The order is a function of (seed, epoch) alone. The position (`epoch`, `index` of the next
    batch) advances when a batch is yielded. Iteration from a saved position, or after a loop that
    was left early, therefore continues with the next batch.

    Args:
        x: samples, at least one, along the first axis. Arrays and frames become float32; a
            `DataSet` gives its samples. The names of the features and the shape of images are kept,
            for decoders that know theirs.
        context: further information about each sample, one row for each: a tensor, an array or a
            frame, or several of these by name. Batches are then pairs (x, context) of the same
            samples.
        size: number of samples in a batch, >= 1; the last batch of an epoch may be smaller.
        seed: seed of the order, >= 0.
        shuffle: whether to shuffle; False keeps the order of x.

    Raises:
        TypeError: x is neither a tensor nor an object that holds one, or the context is neither a
            tensor nor tensors by name.
        ValueError: x is empty, the context has another number of rows, size is below 1 or seed
            below 0.

    Example:
        >>> batches = Batches(torch.arange(5.0), size=2, seed=0)
        >>> [len(batch) for batch in batches], batches.epoch
        ([2, 2, 1], 1)
        >>> pairs = Batches(torch.arange(5.0), context=torch.arange(5), size=2)
        >>> all(torch.equal(x, context.float()) for x, context in pairs)
        True
    """

    @in_own_words
    def __init__(
        self,
        x: Samples,
        *,
        size: int,
        context: Context | None = None,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        rows = rows_of(x)
        if not isinstance(rows, Tensor):
            raise TypeError(
                f"`x` must be a torch.Tensor, got {type(x).__name__}. {checks.into_samples(x, 'x')}"
            )
        if rows.dim() == 0 or len(rows) == 0:
            raise ValueError(
                f"`x` must hold at least one sample along its first axis, got shape "
                f"{tuple(rows.shape)}."
            )
        self.x: Tensor = rows
        self.size = checks.whole("size", size)
        self.seed = checks.whole("seed", seed)
        wanted = "`size` must be at least 1 and `seed` at least 0"
        checks.require(size >= 1 and seed >= 0, f"{wanted}, got size={size} and seed={seed}.")
        self.context = context_for(context, rows, x)
        self.features = features_of(x)
        self.image_shape = known_image_shape(x)
        self.shuffle = bool(shuffle)
        self.epoch = self.index = 0

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.size)

    def __iter__(self) -> Iterator[Any]:
        order = self._order().to(self.x.device)
        while self.index < len(self):
            start = self.index * self.size
            self.index += 1
            # copying rows gains nothing from several threads
            with threads.suited():
                rows = order[start : start + self.size]
                x = self.x[rows]
                context = context_of(self.context, rows)
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
        """Return the position, and the settings that it belongs to, as plain integers."""
        order = {
            "n": len(self.x),
            "size": self.size,
            "seed": self.seed,
            "shuffle": int(self.shuffle),
        }
        return order | {"epoch": self.epoch, "index": self.index}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a saved position.

        Args:
            state: result of `state_dict`.

        Raises:
            ValueError: the position belongs to batches with another n, size, seed or shuffle.
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


class LoaderBatches:
    """The batches of a `DataLoader`, on the device and in the dtype of the decoder.

    Their order is the loader's own and no position is kept, so that a pass that was left early
    starts again.

    Args:
        loader: loader of batches of samples, alone or first beside labels; it must have a length.
        like: weight of the decoder, which gives device and dtype.
    """

    def __init__(self, loader: DataLoader[Any], like: Tensor | None) -> None:
        try:
            self._n = len(loader)
        except TypeError as error:
            raise TypeError(
                "`batches` is a DataLoader of unknown length, so that a pass has no known end. "
                "Give its data set a `__len__`, or pass `gfe.data.Batches(x, size=...)`."
            ) from error
        wanted = "`batches` must hold at least one batch, got a DataLoader without any"
        checks.require(self._n > 0, f"{wanted}. Lower its `batch_size`, or keep the last batch.")
        self._loader = loader
        self._like = like
        self.context = None  # a loader yields none
        self.epoch = self.index = 0

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            self.index += 1
            yield of_batch(batch, "batches", self._like)
        self.epoch = self.epoch + 1
        self.index = 0


def batches_of(decoder: Any, data: Any) -> Batches | LoaderBatches:
    """Convert training data to batches.

    Args:
        decoder: decoder that learns from the data.
        data: `Batches`, which are returned as they are; a `DataLoader`; or samples, which become
            batches of 64 in the order of seed 0.

    Raises:
        TypeError, ValueError: the data do not fit the decoder.
    """
    if isinstance(data, Batches):
        checks.same_names("batches", data.features, known_features(decoder))
        images_for(decoder, data.image_shape, "batches")
    if isinstance(data, (Batches, LoaderBatches)):
        return data
    if isinstance(data, DataLoader):
        return LoaderBatches(data, weight_of(decoder))
    if not isinstance(rows_of(data, "batches"), Tensor):
        lines = "`gfe.data.Batches(x, size=64)`, the samples themselves or a DataLoader"
        remedy = checks.into_samples(data, "batches", len(decoder.data_shape))
        raise TypeError(f"`batches` must be {lines}, got {checks.described(data)}. {remedy}")
    return Batches(samples_for(decoder, data, "batches"), size=_SIZE)
