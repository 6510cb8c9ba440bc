"""`python -m gfe_core reproduce`: make a table or figure from jobs whose results are kept."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from gfe_core import checks
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
        experiment: name of the table or figure; data/results/README.md shows them all.
        processes: number of jobs that run at the same time, each with one thread; at least 1.
        folder: folder of finished jobs, so that the same command continues with the missing ones;
            the default is data/runs.
        only: name of one cell, which then runs alone; its figures are printed beside the shipped
            ones and no table is written. An unknown name prints the list of all cells.
        seed: seed of that one cell, at least 0; without it all committed seeds run. A job at any
            other seed is kept in a separate folder, other_seeds, and enters no table.
    """

    experiment: tyro.conf.Positional[Name]
    processes: int = 1
    folder: tyro.conf.DisallowNone[Path | None] = None
    only: tyro.conf.DisallowNone[str | None] = None
    seed: tyro.conf.DisallowNone[int | None] = None

    def run(self) -> int:
        """Do the missing jobs, and print the table or the figures of one cell."""
        from gfe_core.experiments import experiment, one_cell
        from gfe_core.experiments.runner import jobs

        wanted = experiment(self.experiment)
        options: dict[str, Any] = {
            "folder": self.folder,
            "processes": self.processes,
            "tell": _tell,
        }
        if self.only is not None:
            records = one_cell.reproduce_cell(wanted, self.only, seed=self.seed, **options)
            print(one_cell.figures(wanted, records))
            return 0
        checks.require(
            self.seed is None,
            f"`seed` {self.seed} needs a cell, because a table has its own seeds. Add "
            "`--only CELL`.",
        )
        print(wanted.table(jobs.reproduce(wanted, **options)))
        return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
