"""Sets that torchvision downloads, and where the kit keeps them."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from gfe_core.data.dataset import DataError
from gfe_core.data.places import checkout


def data_folder() -> Path:
    """Return the folder of image sets.

    It is `GFE_DATA_DIR` if that is set, else data/ of the repository, else data/ of the current
    folder.
    """
    if chosen := os.environ.get("GFE_DATA_DIR"):
        return Path(chosen).expanduser()
    return (checkout() or Path.cwd()) / "data"


def missing_torchvision(name: str, error: ModuleNotFoundError) -> DataError:
    """Return the error for a set that torchvision reads, if a library for that is missing."""
    library = str(error.name).split(".")[0]
    what = '"gfe_core[data]"' if library == "torchvision" else library
    return DataError(
        f"Loading {name!r} needs {library}, which is not installed: `pip install {what}`. "
        "`load('mnist-sample')` needs nothing more."
    )


def download(name: str, parts: str, fetch: Callable[[Path], object]) -> None:
    """Download a set into a temporary folder, and move only complete files to their place.

    An interrupt therefore leaves no incomplete file behind.

    Args:
        name: name that the set is loaded by.
        parts: pattern of the paths of its files, below `data_folder()`.
        fetch: function that downloads and unpacks the set below a folder, in torchvision's layout.

    Raises:
        DataError: the set cannot be downloaded.
    """
    folder = data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, suffix=".part") as part:
            fetch(Path(part))
            for file in Path(part).glob(parts):
                target = folder / file.relative_to(part)
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.is_dir():
                    file.replace(target)
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
