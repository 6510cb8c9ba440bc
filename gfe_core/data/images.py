"""Folders of pictures: all in one folder, or in sub-folders for classes, for splits, or for both.

Pictures are read by Pillow; their files are never written.

Shapes: `n` pictures; `channels` 1 or 3; `height` and `width` in pixels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from gfe_core import checks
from gfe_core.data.dataset import DataError
from gfe_core.data.in_memory import Parts
from gfe_core.data.pixels import Picture, has_colour, has_white, read_pixels
from gfe_core.data.sources import Source, require, unfit
from gfe_core.data.values import UnfitError, finite

SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".tif",
    ".tiff",
    ".webp",
    ".gif",
    ".pgm",
    ".ppm",
    ".pbm",
)
"""Suffixes of pictures that are read, also in capitals; other files in a folder do not count."""
TAKES = ("size", "colour", "background")
"""Options that `load` takes for a folder of pictures."""

_UNREAD = (
    ".heic",
    ".heif",
    ".avif",
    ".jp2",
    ".svg",
    ".dng",
    ".nef",
    ".cr2",
    ".arw",
    ".dcm",
    ".fits",
    ".exr",
    ".psd",
)
"""Suffixes of pictures that are refused, because skipping them silently would lose samples."""
_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of sub-folders that are splits, in upper or lower case."""

T = TypeVar("T")


def open_folder(path: Path, label: str | None, options: Mapping[str, Any]) -> Source:
    """Return the pictures of a folder; only those asked for are decoded.

    Args:
        path: path of the folder. Links are followed; hidden files do not count.
        label: must be None, because sub-folders are the classes.
        options: `size`, `colour` and `background`, as in `Picture`.

    Raises:
        ValueError: label is given, or an option does not fit.
        DataError: there are no pictures, the layout of the folder is ambiguous, or a picture cannot
            be used.
    """
    checks.require(
        label is None,
        f"`label` is the column of a table or an array with a name, got {label!r} for {path}. "
        "Leave it out: sub-folders are classes.",
    )
    form = Picture(**{name: _as_tuple(value) for name, value in options.items()})
    files = sorted(_pictures(path), key=lambda file: file.relative_to(path).parts)
    wanted = f"it must hold images ({', '.join(SUFFIXES)}), or sub-folders of images"
    require(len(files) > 0, path, f"{wanted}: not both, not neither. There are none")
    parts = [file.relative_to(path).parts for file in files]
    splits = _splits_of(path, parts)
    inside = [part[1:] for part in parts] if splits else parts
    classes, y = _classes_of(path, inside, wanted)
    kinds = [_opened(file, lambda image: (has_colour(image), has_white(image))) for file in files]
    _one_scale(files, [white for _, white in kinds])
    if form.colour is None:
        form = replace(form, colour=any(colour for colour, _ in kinds))

    def read(rows: Sequence[int]) -> Parts:
        pixels = _read([files[row] for row in rows], files[0], form)
        try:
            x = finite(torch.from_numpy(pixels.reshape(len(rows), -1)))
        except UnfitError as error:
            raise unfit(path, error) from error
        return Parts(
            x=x,
            y=None if y is None else y[list(rows)],
            image_shape=pixels.shape[2:] if pixels.shape[1] == 1 else pixels.shape[1:],
            names=tuple("/".join(parts[row]) for row in rows),
            classes=classes or None,
        )

    return Source(n=len(files), read=read, splits=splits)


def beside_splits(folder: Path) -> bool:
    """Whether a folder is one split of a set: by its name, and beside a folder of another split."""
    split = _split_called(folder.resolve().name)
    siblings = (entry for entry in folder.resolve().parent.iterdir() if entry.is_dir())
    others = {_split_called(sibling.name) for sibling in siblings}
    return split is not None and len(others - {None, split}) > 0


def _split_called(name: str) -> str | None:
    """Return the split that a folder's name stands for, or None."""
    return next((split for split, names in _SPLITS.items() if name.lower() in names), None)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _pictures(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the pictures below a folder; a link back to a folder above is not followed."""
    real = folder.resolve()
    if real in above:
        return
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        kind = entry.suffix.lower()
        if entry.is_dir():
            yield from _pictures(entry, (*above, real))
            continue
        require(
            kind not in _UNREAD,
            entry,
            f"pictures of kind {kind} are not read. Save copies in another folder, as .png or .tif",
        )
        if kind in SUFFIXES:
            broken = entry.is_symlink() and not entry.exists()
            require(not broken, entry, "it is a link to a file that is not there. Remove the link")
            yield entry


def _splits_of(path: Path, parts: list[tuple[str, ...]]) -> dict[str, list[int]]:
    """Return the rows of each split if all sub-folders are splits and no file lies beside them."""
    folders = {part[0] for part in parts if len(part) > 1}
    named = {name: split for name in folders if (split := _split_called(name)) is not None}
    others = sorted({part[0] for part in parts} - named.keys())
    both = {"train", "test"} <= set(named.values())
    shown = ", ".join(others[:3])
    require(
        not both or not others,
        path,
        f"it holds folders of splits ({', '.join(sorted(named))}) beside others ({shown}). Pass "
        "the path of one of them, with `split='all'`",
    )
    if not named or others:
        return {}
    twice = len(set(named.values())) < len(named)
    require(not twice, path, f"two of its folders are one split: {', '.join(sorted(named))}")
    return {
        split: [row for row, part in enumerate(parts) if named[part[0]] == split]
        for split in _SPLITS
        if split in named.values()
    }


def _classes_of(
    path: Path, parts: list[tuple[str, ...]], wanted: str
) -> tuple[tuple[str, ...], torch.Tensor | None]:
    """Return the classes, which are the first sub-folders, sorted; loose pictures have none."""
    loose = [len(part) == 1 for part in parts]
    part = "To read a part of it, pass that path with `split='all'`"
    require(all(loose) or not any(loose), path, f"{wanted}: not both, not neither. {part}")
    if all(loose):
        return (), None
    classes = sorted({part[0] for part in parts})
    deeper = len(classes) == 1 and all(len(part) > 2 for part in parts)
    require(
        not deeper,
        path,
        f"all of its pictures lie in sub-folders of {classes[0]!r}. Pass that path: "
        f"{str(path / classes[0])!r}",
    )
    return tuple(classes), torch.tensor([classes.index(part[0]) for part in parts])


def _one_scale(files: list[Path], white: list[bool]) -> None:
    """Refuse a mixture of pictures that hold shares of white and pictures that hold values."""
    if any(white) and not all(white):
        plain, other = files[white.index(False)], files[white.index(True)]
        raise unfit(
            plain,
            "its numbers have 32 bits and are taken as they are, but those of "
            f"{other.name} are shares of white. Put them in folders of their own",
        )


def _read(files: list[Path], first: Path, form: Picture) -> np.ndarray:
    """Decode pictures, all of which must have the size of the first one of the folder."""
    shape = _opened(first, lambda image: read_pixels(image, form)).shape
    pixels = np.empty((len(files), *shape), np.float32)
    for i, file in enumerate(files):
        picture = _opened(file, lambda image: read_pixels(image, form))
        has, wanted = (f"{size[2]} x {size[1]}" for size in (picture.shape, shape))
        require(
            picture.shape == shape,
            file,
            f"its size is {has} pixels, that of {first.name} {wanted}. Bring all to one size while "
            f"they are read: `size={shape[1:]}`",
        )
        pixels[i] = picture
    return pixels


def _opened(file: Path, look: Callable[[Image.Image], T]) -> T:
    """Open one picture and apply a function to it; an error names a damaged file."""
    try:
        with Image.open(file) as image:
            return look(image)
    except UnfitError as error:
        raise unfit(file, error) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise unfit(
            file,
            f"it declares more pixels than Pillow accepts as safe ({error}). Move it to "
            "another folder, or cut it into smaller pictures there",
        ) from error
    except DataError:
        raise
    except Exception as error:  # each format fails in its own way
        raise unfit(
            file,
            f"it is damaged or no image ({type(error).__name__}). Replace it by a whole copy, or "
            "move it to another folder",
        ) from error
