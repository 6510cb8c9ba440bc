"""Put the notebooks and the result files into the wheel; pyproject.toml says everything else.

The repository keeps one copy of each, outside the package. `gfe_core.data.places` finds them.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = {"notebooks": ("*.ipynb", "*.md", "LICENSE"), "data/results": ("*.json",)}


class BuildWithNotebooks(build_py):
    """Build the package, and gfe_core/shipped beside its modules."""

    def run(self) -> None:
        """Copy what is shipped after the modules; an editable install finds the repository's."""
        super().run()
        if self.editable_mode:
            return
        for folder, patterns in SHIPPED.items():
            target = Path(self.build_lib, "gfe_core", "shipped", Path(folder).name)
            self.mkpath(str(target))
            for pattern in patterns:
                for file in sorted(Path(folder).glob(pattern)):
                    self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithNotebooks})
