"""The base class of commands: a dataclass whose fields are options and whose docstring is the help.

To add a command, write a module in this folder with one such class and list it in `main.COMMANDS`.
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
        """Run the command.

        Returns:
            The exit status: 0 for success, 1 if something has to be fixed.
        """

    @classmethod
    def parse(cls: type[Made], words: Sequence[str], *, prog: str) -> Made:
        """Parse the words after the command's name.

        Args:
            words: options and their values.
            prog: name of the program and the command in the help.

        Raises:
            SystemExit: with status 0 after `--help`, with status 2 for words that are not options.
        """
        return tyro.cli(cls, args=words, prog=prog)
