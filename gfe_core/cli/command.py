"""What a command is: a dataclass whose fields are its options and whose docstring is its help.

A new command is a module of this folder with one such class, named in `main.COMMANDS`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import tyro

Made = TypeVar("Made", bound="Command")


class Command(ABC):
    """Base of all commands, which are frozen keyword-only dataclasses.

    The first line of the docstring is the command's line in the list of commands. Its `Args`
    section is the help of the options.
    """

    @abstractmethod
    def run(self) -> int:
        """Do what the command is for.

        Returns:
            The exit status: 0 when all is well, 1 for something to fix.
        """

    @classmethod
    def parse(cls: type[Made], words: Sequence[str], *, prog: str) -> Made:
        """Make the command from the words after its name.

        Args:
            words: options and their values.
            prog: program and command, as the help names them.

        Raises:
            SystemExit: with status 0 after `--help`, with 2 for words that are no options.
        """
        return tyro.cli(cls, args=words, prog=prog)
