"""`python -m gfe_core evaluate`: judge a trained decoder on images that it has never seen."""

import json
from dataclasses import dataclass
from pathlib import Path

from gfe_core.cli.command import Command


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Judge a trained decoder on the test images.

    Args:
        folder: folder of a run, as `train` wrote it; the result is added to its run.json.
    """

    folder: Path

    def run(self) -> int:
        """Judge, and print the run with its test energies as JSON."""
        from gfe_core.experiments.runner import runs

        print(json.dumps(runs.evaluate(self.folder), indent=2))
        return 0
