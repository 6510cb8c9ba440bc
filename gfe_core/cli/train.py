"""`python -m gfe_core train`: one training, whose options are the fields of a `Config`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from gfe_core.cli.command import Command
from gfe_core.cli.progress import tell
from gfe_core.experiments.runner.config import Config


@dataclass(frozen=True, kw_only=True)
class Options(Config):
    """The fields of a `Config` as they were typed.

    They are checked where a `Config` is made of them, so that a value out of range is answered by
    the sentence of `Config` and not by the parser.
    """

    def __post_init__(self) -> None:
        """Check nothing yet."""


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train a decoder; the same command goes on after an interrupt.

    Args:
        folder: where run.json and checkpoint.pt are written; a folder that holds them goes on.
        config: a JSON file with the options below, such as the run.json of another run. Options
            given here win over the file; what neither gives has its default.
        training: Two trainings with equal options on one machine end at equal weights.
    """

    folder: Path
    config: tyro.conf.DisallowNone[Path | None] = None
    training: Annotated[Options, tyro.conf.OmitArgPrefixes] = Options()

    @classmethod
    def parse(cls, words: Sequence[str], *, prog: str) -> "Train":
        """Make the command; a file of options replaces their defaults, and is read first."""
        typed = super().parse(words, prog=prog)
        if typed.config is None:
            return typed
        of_file = Options(**asdict(Config.read(typed.config)))
        return tyro.cli(cls, args=words, prog=prog, default=replace(typed, training=of_file))

    def run(self) -> int:
        """Train, and print where the run is described."""
        from gfe_core.experiments.runner import runs

        runs.train(Config(**asdict(self.training)), self.folder, callbacks=[tell])
        print(self.folder / "run.json")
        return 0
