"""Folders of the kit's own files: in the repository, or in a package installed from a wheel.

`setup.py` puts the notebooks and the result files into the wheel, below gfe_core/shipped.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_IN_CHECKOUT = {"notebooks": "notebooks", "results": "data/results"}


def checkout() -> Path | None:
    """Return the repository that holds this package; None where the package was installed alone."""
    folder = _PACKAGE.parent
    known = ("pyproject.toml", *_IN_CHECKOUT.values())
    return folder if all((folder / name).exists() for name in known) else None


def shipped(name: str) -> Path:
    """Return the folder of files that come with the kit: "notebooks" or "results"."""
    repository = checkout()
    return repository / _IN_CHECKOUT[name] if repository else _PACKAGE / "shipped" / name
