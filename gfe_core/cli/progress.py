"""Progress of a training, for commands that train."""

import sys

from gfe_core.training import Report


def tell(report: Report) -> None:
    """Print a line to stderr after every 50th batch and after the last; a callback of `fit`."""
    if report.step % 50 == 0 or report.step == report.n_steps:
        line = (
            f"batch {report.step}/{report.n_steps}, energy {report.energy:.4f}, "
            f"{report.seconds:.0f} s"
        )
        print(line, file=sys.stderr)
