"""Sets that torchvision downloads, and where the kit keeps them."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from gfe_core.data.dataset import DataError
from gfe_core.data.places import checkout


def data_folder() -> Path:
    """Return where image sets lie.

    `GFE_DATA_DIR` if set, else data/ of the repository, else of the current folder.
    """
    if chosen := os.environ.get("GFE_DATA_DIR"):
        return Path(chosen).expanduser()
    return (checkout() or Path.cwd()) / "data"


def missing_torchvision(name: str, error: ModuleNotFoundError) -> DataError:
    """Return the error for a set that torchvision reads where a library of it is not installed."""
    library = str(error.name).split(".")[0]
    what = '"gfe_core[data]"' if library == "torchvision" else library
    return DataError(
        f"Loading {name!r} needs {library}, which is not installed: `pip install {what}`. "
        "`load('mnist-sample')` needs nothing more."
    )


def download(name: str, parts: str, fetch: Callable[[Path], object]) -> None:
    """Download a set beside its place, and move there only what is complete.

    An interrupt leaves nothing to trust.

    Args:
        name: that the set is loaded by.
        parts: what belongs to it, as a pattern of paths below `data_folder()`.
        fetch: downloads and unpacks the set below a folder, in torchvision's layout.

    Raises:
        DataError: it cannot be had.
    """
    folder = data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, suffix=".part") as part:
            fetch(Path(part))
            for found in Path(part).glob(parts):
                target = folder / found.relative_to(part)
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.is_dir():
                    found.replace(target)
    except ModuleNotFoundError as error:
        raise missing_torchvision(name, error) from error
    except Exception as error:  # servers, proxies, disks and binaries fail in too many ways to list
        place = (
            "set by GFE_DATA_DIR"
            if os.environ.get("GFE_DATA_DIR")
            else "data/, as GFE_DATA_DIR is not set"
        )
        where = Path(parts).parent
        raise DataError(
            f"{name!r} is not in {folder / where} ({place}), and downloading it with torchvision "
            f"failed: {' '.join(str(error).split())}. Load it again with a network, or set "
            f"GFE_DATA_DIR to a folder that holds {where}; if torchvision itself is broken, "
            "`python -m gfe_core doctor` says how to fix it. `load('mnist-sample')` needs no "
            "network."
        ) from error
