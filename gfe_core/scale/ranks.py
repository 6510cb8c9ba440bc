"""Which of several processes this one is: `torchrun` says so in the environment."""

import os
from dataclasses import dataclass

import torch

from gfe_core import checks


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One of several processes that share a piece of work.

    Args:
        number: of this process, from 0.
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
        checks.at_least_one("n", self.n)
        inside = 0 <= self.number < self.n
        checks.require(inside, f"`number` must be from 0 to {self.n - 1}, got {self.number}.")

    @classmethod
    def here(cls) -> "Rank":
        """Return that of this process: as `torchrun` started it, otherwise the only one."""
        number, n, local = (
            int(os.environ.get(name, default))
            for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
        )
        return cls(number=number, n=n, local=local)

    def share(self, n_pieces: int) -> range:
        """Return the numbers of the pieces that are this one's: r, r + N, r + 2 N and so on."""
        return range(self.number, n_pieces, self.n)

    def device(self, name: str) -> torch.device:
        """Return the device to compute on.

        Args:
            name: as torch writes it; "cuda" without a number is one for each process of a machine.

        Raises:
            ValueError: torch knows no such device, or there is none here.
        """
        try:
            device = torch.device(name)
            if device.type == "cuda" and device.index is None and self.n > 1:
                device = torch.device("cuda", self.local)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"`device` {name!r} cannot be used here: {str(error).splitlines()[0]} Write "
                "`--device cpu`, or run where that device is."
            ) from error
        checks.require(
            device.type != "meta",
            "`device` 'meta' holds shapes without numbers, of which no codes are found. Write "
            '`device="cpu"`.',
        )
        return device
