"""`python -m gfe_core site`: write the notebooks as static pages with interactive views."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from gfe_core.cli.command import Command


@dataclass(frozen=True, kw_only=True)
class Site(Command):
    """Write the notebooks as static pages, which need neither a kernel nor a network.

    Args:
        named: notebooks to run, all by default. Existing pages of the others stay as they are; a
            missing page is written with still images in place of its views.
        to: folder for the pages.
        notebooks: folder that holds the notebooks.
    """

    named: tyro.conf.Positional[tuple[Path, ...]] = ()
    to: Path = Path("site")
    notebooks: Path = Path("notebooks")

    def run(self) -> int:
        """Write the pages, and print their names and sizes."""
        try:
            from gfe_core.site import build
        except ModuleNotFoundError as missing:
            raise RuntimeError(
                f"Building the pages needs {missing.name}, which is not installed. Run "
                "`pip install -e '.[dev]'` in a checkout."
            ) from missing
        build(self.to, self.notebooks, self.named, say=print)
        return 0
