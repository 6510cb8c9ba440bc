"""`python -m gfe_core train`: train a decoder; the options are the fields of a `Config`."""

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

    They are checked when a config is made from them, so that a value out of range raises the
    error of the config and not one of the parser.
    """

    learning_rate: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None

    def __post_init__(self) -> None:
        """Skip the checks of a config."""

    def config(self) -> Config:
        """Return a `Config` for the paper's image sets with loss "auto", else an `OwnConfig`."""
        options = asdict(self)
        if self.data in SETS and self.loss == "auto":
            del options["loss"]
            return Config(**options)
        return OwnConfig(**options)


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train a decoder; the same command continues after an interrupt.

    Several processes share each batch and take the same step:

    torchrun --standalone --nproc-per-node=N -m gfe_core train ...

    Args:
        folder: folder for run.json, checkpoint.pt and, at the end, model.pt; a run that it already
            holds is continued. `gfe.load` and `encode` read model.pt.
        config: JSON file with the options below, such as the run.json of another run. An option
            given here wins over the file; an option given in neither has its default.
        device: device to compute on: "cpu", or "cuda", which gives each process one GPU.
        training: Two runs with equal options on one machine end at equal weights.
    """

    folder: Path
    config: tyro.conf.DisallowNone[Path | None] = None
    device: str = "cpu"
    training: Annotated[Options, tyro.conf.OmitArgPrefixes] = Options()

    @classmethod
    def parse(cls, words: Sequence[str], *, prog: str) -> "Train":
        """Parse the command; a config file, if given, replaces the defaults of the options."""
        typed = super().parse(words, prog=prog)
        if typed.config is None:
            return typed
        OwnConfig.read(typed.config)  # refuses a field out of range before it becomes a default
        of_file = Options(**OwnConfig.load(typed.config))
        return tyro.cli(cls, args=words, prog=prog, default=replace(typed, training=of_file))

    def run(self) -> int:
        """Train, and print the path of run.json."""
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
