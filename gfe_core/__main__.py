"""The command line: `python -m gfe_core doctor`."""

import argparse
import sys
from collections.abc import Sequence

from gfe_core import doctor


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
    if parser.parse_args(arguments).command is None:
        parser.print_help()
        return 0
    return _doctor()


def _doctor() -> int:
    checks = doctor.report()
    for check in checks:
        print(check)
    broken = sum(not check.ok for check in checks)
    print(f"{broken} to fix." if broken else "Ready.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
