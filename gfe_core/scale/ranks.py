"""The rank of this process among several; `torchrun` gives it in environment variables."""

import os
from dataclasses import dataclass

import torch

from gfe_core import checks


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One of several processes that share a piece of work.

    Args:
        number: number of this process, from 0.
        n: number of processes, >= 1.
        local: number of this process on its machine, which chooses its device.

    Example:
        >>> list(Rank(number=1, n=3).share(8))
        [1, 4, 7]
    """

    number: int = 0
    n: int = 1
    local: int = 0

    def __post_init__(self) -> None:
        checks.as_python(self, checks.at_least_one, "n")
        checks.as_python(self, checks.whole, "number", "local")
        inside = 0 <= self.number < self.n
        checks.require(inside, f"`number` must be from 0 to {self.n - 1}, got {self.number}.")

    @classmethod
    def here(cls) -> "Rank":
        """Return the rank of this process, as `torchrun` gives it; without it, the only process."""
        number, n, local = (
            int(os.environ.get(name, default))
            for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
        )
        return cls(number=number, n=n, local=local)

    def share(self, n_pieces: int) -> range:
        """Return the numbers of this process's pieces: r, r + N, r + 2 N and so on."""
        return range(self.number, n_pieces, self.n)

    def device(self, name: str) -> torch.device:
        """Return the device to compute on.

        Args:
            name: name of the device in torch's notation; "cuda" without a number gives each process
                of a machine its own GPU.

        Raises:
            ValueError: torch does not know the device, or this machine does not have it.
        """
        try:
            device = torch.device(name)
            if device.type == "cuda" and device.index is None and self.n > 1:
                device = torch.device("cuda", self.local)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"`device` {name!r} cannot be used here: {str(error).splitlines()[0]} Write "
                '`device="cpu"` (in a terminal `--device cpu`), or run where that device is.'
            ) from error
        checks.require(
            device.type != "meta",
            "`device` 'meta' holds shapes without numbers, of which no codes are found. Write "
            '`device="cpu"`.',
        )
        return device
