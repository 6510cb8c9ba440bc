"""`python -m gfe_core reproduce`: a table or figure from jobs that are kept."""

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
        experiment: which table or figure; data/results/README.md shows them all.
        processes: number of jobs that run at the same time, each with one thread; at least 1.
        folder: where finished jobs are kept, so that the same command goes on from them; the
            default is data/runs.
        only: name of one cell, to run it alone and print its figures beside those that are shipped;
            no table is written. A name that is unknown is answered with the list of all.
        seed: the seed of that one cell, at least 0; without it all committed seeds run. A seed that
            is not committed is kept in a folder of its own, other_seeds, and enters no table.
    """

    experiment: tyro.conf.Positional[Name]
    processes: int = 1
    folder: tyro.conf.DisallowNone[Path | None] = None
    only: tyro.conf.DisallowNone[str | None] = None
    seed: tyro.conf.DisallowNone[int | None] = None

    def run(self) -> int:
        """Do the jobs that are missing, and print the table or the figures of one cell."""
        from gfe_core.experiments import experiment, one_cell
        from gfe_core.experiments.runner import jobs

        wanted = experiment(self.experiment)
        options: dict[str, Any] = {
            "folder": self.folder,
            "processes": self.processes,
            "tell": _tell,
        }
        if self.only is not None:
            found = one_cell.reproduce_cell(wanted, self.only, seed=self.seed, **options)
            print(one_cell.figures(wanted, found))
            return 0
        checks.require(
            self.seed is None,
            f"`seed` {self.seed} needs a cell, as a table has seeds of its own. Add `--only CELL`.",
        )
        print(wanted.table(jobs.reproduce(wanted, **options)))
        return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
