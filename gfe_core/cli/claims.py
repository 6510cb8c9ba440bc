"""`python -m gfe_core claims`: judge the claims of the sources by the committed results."""

from dataclasses import dataclass

from gfe_core.cli.command import Command


@dataclass(frozen=True, kw_only=True)
class Claims(Command):
    """Judge the claims of the sources by the results; write CLAIMS.md and the tables."""

    def run(self) -> int:
        """Write the pages, and print their names."""
        from gfe_core.data.files import write_text
        from gfe_core.experiments.pages import pages

        for path, text in pages().items():
            write_text(path, text)
            print(path)
        return 0
