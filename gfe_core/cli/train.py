"""`python -m gfe_core train`: one training, whose options are the fields of a `Config`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from gfe_core.cli.command import Command
from gfe_core.cli.progress import tell
from gfe_core.experiments.runner.config import SETS, Config, OwnConfig
from gfe_core.scale.ranks import Rank


@dataclass(frozen=True, kw_only=True)
class Options(OwnConfig):
    """The fields of a config as they were typed.

    They are checked where a config is made of them, so that a value out of range is answered by
    the sentence of the config and not by the parser.
    """

    learning_rate: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None

    def __post_init__(self) -> None:
        """Check nothing yet."""

    def config(self) -> Config:
        """Make the config; that of the paper's image sets has no loss, as ever."""
        options = asdict(self)
        if self.data in SETS and self.loss == "auto":
            del options["loss"]
            return Config(**options)
        return OwnConfig(**options)


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train a decoder; the same command goes on after an interrupt.

    On several processes, which share each batch and take the same step:

    torchrun --standalone --nproc-per-node=N -m gfe_core train ...

    Args:
        folder: where run.json, checkpoint.pt and, at the end, model.pt are written; a folder that
            holds them goes on. `gfe.load` and `encode` read model.pt.
        config: a JSON file with the options below, such as the run.json of another run. Options
            given here win over the file; what neither gives has its default.
        device: where to compute: "cpu", or "cuda" for one GPU for each process.
        training: Two trainings with equal options on one machine end at equal weights.
    """

    folder: Path
    config: tyro.conf.DisallowNone[Path | None] = None
    device: str = "cpu"
    training: Annotated[Options, tyro.conf.OmitArgPrefixes] = Options()

    @classmethod
    def parse(cls, words: Sequence[str], *, prog: str) -> "Train":
        """Make the command; a file of options replaces their defaults, and is read first."""
        typed = super().parse(words, prog=prog)
        if typed.config is None:
            return typed
        OwnConfig.read(typed.config)  # refuses a field out of range before it becomes a default
        of_file = Options(**OwnConfig.load(typed.config))
        return tyro.cli(cls, args=words, prog=prog, default=replace(typed, training=of_file))

    def run(self) -> int:
        """Train, and print where the run is described."""
        from gfe_core.experiments.runner import runs

        rank = Rank.here()
        first = rank.number == 0
        run = runs.train(
            self.training.config(),
            self.folder,
            callbacks=[tell] if first else [],
            rank=rank,
            device=self.device,
        )
        if first:
            runs.save_model(run, self.folder)
            print(self.folder / "run.json")
        return 0
