"""`python -m gfe_core reproduce`: a table or figure from jobs that are kept."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from gfe_core.cli.command import Command
from gfe_core.experiments import NAMES

if TYPE_CHECKING:
    Name = str
else:
    Name = tyro.extras.literal_type_from_choices(NAMES)


@dataclass(frozen=True, kw_only=True)
class Reproduce(Command):
    """Make a table or figure of the paper, or of the experiments added to it.

    Args:
        experiment: which table or figure; data/results/README.md shows them all.
        processes: number of jobs that run at the same time, each with one thread; at least 1.
        folder: where finished jobs are kept, so that the same command goes on from them; the
            default is data/runs.
    """

    experiment: tyro.conf.Positional[Name]
    processes: int = 1
    folder: tyro.conf.DisallowNone[Path | None] = None

    def run(self) -> int:
        """Do the jobs that are missing, and print the table."""
        from gfe_core.experiments import experiment
        from gfe_core.experiments.runner import jobs

        wanted = experiment(self.experiment)
        content = jobs.reproduce(wanted, folder=self.folder, processes=self.processes, tell=_tell)
        print(wanted.table(content))
        return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
