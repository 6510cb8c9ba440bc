"""`python -m gfe_core bundled`: the MNIST sample and the trained decoders of the package."""

from dataclasses import dataclass
from typing import Literal

import tyro

from gfe_core.cli.command import Command
from gfe_core.cli.progress import tell


@dataclass(frozen=True, kw_only=True)
class Bundled(Command):
    """Make the MNIST sample, or train the decoders that `gfe.pretrained` loads.

    Args:
        what: files to make: the MNIST sample, selected from the full set, or trained decoders.
        data: name of the data set to train one decoder on; by default all decoders of the package
            are trained.
        latent_dim: size of a code; by default 1 for a curve and 8 otherwise. Used only with data.
    """

    what: tyro.conf.Positional[Literal["sample", "decoders"]]
    data: tyro.conf.DisallowNone[str | None] = None
    latent_dim: tyro.conf.DisallowNone[int | None] = None

    def run(self) -> int:
        """Make the files, and print their names."""
        from gfe_core.experiments import bundled

        if self.what == "sample":
            print(bundled.write_sample())
            return 0
        one = [(self.data, self.latent_dim)] if self.data else bundled.IN_THE_PACKAGE
        for data, latent_dim in one:
            print(bundled.train_decoder(data, latent_dim, callback=tell))
        return 0
