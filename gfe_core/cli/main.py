"""The command line: parse a command, run it, and print its errors.

`python -m gfe_core` and the script `gfe` call `main`.
"""

import contextlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import tyro

from gfe_core.cli.bundled import Bundled
from gfe_core.cli.claims import Claims
from gfe_core.cli.command import Command
from gfe_core.cli.decoders import Decoders
from gfe_core.cli.doctor import Doctor
from gfe_core.cli.encode import Encode
from gfe_core.cli.evaluate import Evaluate
from gfe_core.cli.handouts import Handouts
from gfe_core.cli.lab import Lab
from gfe_core.cli.reproduce import Reproduce
from gfe_core.cli.site import Site
from gfe_core.cli.train import Train

COMMANDS: dict[str, type[Command]] = {
    "doctor": Doctor,
    "lab": Lab,
    "train": Train,
    "encode": Encode,
    "evaluate": Evaluate,
    "reproduce": Reproduce,
    "claims": Claims,
    "decoders": Decoders,
    "bundled": Bundled,
    "site": Site,
    "handouts": Handouts,
}
"""Commands by name, in the order in which the help lists them."""

_DESCRIPTION = "Gradient Flow Encoding, for teaching and exploring."
_GOES_ON = "Interrupted; finished work is kept. Run the same command again to continue."


_ABOUT_FILES = re.compile(
    r"`(label|size|channels|key|decimal|sep|header|encoding|skiprows)\b(?!` must be at least)"
)
"""Matches an option of `gfe.data.load` in the error message of a file reader.

The `size` that must be at least 1 is that of a batch.
"""
_IN_PYTHON = (
    "Commands take no such options. Load the data in Python, `data = gfe.data.load(path, ...)`, "
    "save them, `numpy.save('x.npy', data.x.numpy())`, and pass x.npy to the command."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words after `python -m gfe_core`; None takes them from the command line.

    Returns:
        The exit status: 0 for success, 1 if something has to be fixed, 130 after an interrupt.

    Raises:
        SystemExit: with status 0 after `--help`, with status 2 for an unknown command or option.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        with contextlib.suppress(SystemExit):
            _parse(["--help"])
        return 0
    try:
        return _parse(words).run()
    except (TypeError, ValueError, RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        if _ABOUT_FILES.search(str(error)):
            print(_IN_PYTHON, file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or _GOES_ON, file=sys.stderr)
        return 130


def _parse(words: Sequence[str]) -> Command:
    """Parse the command that the first word names; other first words go to the joint parser."""
    program = "gfe" if Path(sys.argv[0]).stem == "gfe" else "python -m gfe_core"
    if words[0] in COMMANDS:
        return COMMANDS[words[0]].parse(words[1:], prog=f"{program} {words[0]}")
    return tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog=program, description=_DESCRIPTION, args=words
    )


if __name__ == "__main__":
    sys.exit(main())
