"""`python -m gfe_core decoders`: train the two decoders that solvers are compared on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from gfe_core.cli.command import Command
from gfe_core.cli.progress import tell


@dataclass(frozen=True, kw_only=True)
class Decoders(Command):
    """Train the MNIST decoders of data/checkpoints.

    Args:
        passes: number of passes over the training images, 1 or 6; the default trains both decoders.
        folder: folder for the checkpoints and their card.
    """

    passes: tyro.conf.DisallowNone[Literal[1, 6] | None] = None
    folder: Path = Path("data/checkpoints")

    def run(self) -> int:
        """Train, and print the names of the checkpoints."""
        from gfe_core.experiments import mnist_decoders

        for n_passes in (self.passes,) if self.passes else (1, 6):
            print(mnist_decoders.train(n_passes, self.folder, callback=tell))
        return 0
