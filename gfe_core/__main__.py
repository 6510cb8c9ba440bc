"""The command line: `python -m gfe_core doctor | decoders`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gfe_core import doctor
from gfe_core.training import Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `python -m gfe_core`; None takes them from the command line.

    Returns:
        The exit status: 0 when all is well.
    """
    parser = argparse.ArgumentParser(prog="python -m gfe_core", description="Gradient Flow Encoding, to learn from.")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    commands.add_parser("doctor", help="check that this machine is ready, with a remedy for what is not")
    decoders = commands.add_parser("decoders", help="train the MNIST decoders of data/checkpoints")
    decoders.add_argument("--passes", type=int, choices=(1, 6), help="passes over the images; both by default")
    decoders.add_argument("--folder", type=Path, default=Path("data/checkpoints"), help="where the files go")
    chosen = parser.parse_args(arguments)
    if chosen.command is None:
        parser.print_help()
        return 0
    if chosen.command == "decoders":
        return _decoders([chosen.passes] if chosen.passes else [1, 6], chosen.folder)
    return _doctor()


def _decoders(passes: list[int], folder: Path) -> int:
    from gfe_core.experiments import mnist_decoders

    for n in passes:
        print(mnist_decoders.train(n, folder, callback=_tell))
    return 0


def _tell(report: Report) -> None:
    if report.step % 50 == 0:
        line = f"batch {report.step}/{report.n_steps}, energy {report.energy:.4f}, {report.seconds:.0f} s"
        print(line, file=sys.stderr)


def _doctor() -> int:
    checks = doctor.report()
    for check in checks:
        print(check)
    broken = sum(not check.ok for check in checks)
    print(f"{broken} to fix." if broken else "Ready.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
