"""A small picture of each notebook, for the map in the README: its richest still.

`python tests/notebooks/thumbnails.py` writes all of them; `make refresh` those of the notebooks
that it saves.
"""

import io
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image, ImageOps
from published import opened, pictures

from gfe_core.data.files import replacing

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "thumbnails"
SIZE = (240, 150)
"""Pixels, twice as many each way as are shown."""
_COLOURS = 64


def place(notebook: Path) -> Path:
    """Where the picture of a notebook lies."""
    return FOLDER / f"{notebook.stem}.png"


def thumbnail(notebook: NotebookNode) -> bytes | None:
    """Cut out the upper part of the still that holds the most, as PNG; None if there is none."""
    stills = [png for *_, png in pictures(notebook)]
    if not stills:
        return None
    richest = opened(max(stills, key=len))
    small = ImageOps.fit(richest, SIZE, Image.Resampling.LANCZOS, centering=(0.0, 0.0))
    file = io.BytesIO()
    small.quantize(_COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def write(path: Path, notebook: NotebookNode) -> None:
    """Write the picture of a notebook."""
    picture = thumbnail(notebook)
    if picture is not None:
        FOLDER.mkdir(exist_ok=True)
        with replacing(place(path)) as file:
            file.write(picture)


if __name__ == "__main__":
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        write(path, nbformat.read(path, as_version=4))
