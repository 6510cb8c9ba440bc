"""How far a training is, for commands that train."""

import sys

from gfe_core.training import Report


def tell(report: Report) -> None:
    """A callback of `fit`: one line on stderr after every 50th batch and after the last."""
    if report.step % 50 == 0 or report.step == report.n_steps:
        line = (
            f"batch {report.step}/{report.n_steps}, energy {report.energy:.4f}, "
            f"{report.seconds:.0f} s"
        )
        print(line, file=sys.stderr)
