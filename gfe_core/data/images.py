"""Folders of pictures: loose, or in sub-folders for classes, for splits, or for both.

Pictures are read by Pillow, and their files never written.

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
"""Kinds of pictures that are read, in capitals too; other files in a folder do not count."""
TAKES = ("size", "colour", "background")
"""What `load` takes for a folder of pictures."""

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
"""Pictures of kinds that are not read: to pass them over without a word would lose samples."""
_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of sub-folders that are splits, in any case of letters."""

T = TypeVar("T")


def open_folder(path: Path, label: str | None, options: Mapping[str, Any]) -> Source:
    """Return the pictures of a folder, of which only those asked for are decoded.

    Args:
        path: of the folder. Links are followed; what is hidden does not count.
        label: none: classes are folders.
        options: `size`, `colour` and `background`, as `Picture` says.

    Raises:
        ValueError: label is given, or an option is unfit.
        DataError: there are no pictures, they lie in several ways, or one cannot be used.
    """
    checks.require(
        label is None,
        f"`label` is the column of a table or an array with a name, got {label!r} for {path}. "
        "Leave it out: sub-folders are classes.",
    )
    how = Picture(**{name: _as_tuple(value) for name, value in options.items()})
    files = sorted(_pictures(path, path), key=lambda file: file.relative_to(path).parts)
    wanted = f"it must hold images ({', '.join(SUFFIXES)}), or sub-folders of images"
    require(len(files) > 0, path, f"{wanted}: not both, not neither. There are none")
    parts = [file.relative_to(path).parts for file in files]
    splits = _splits_of(path, parts)
    inside = [part[1:] for part in parts] if splits else parts
    classes, y = _classes_of(path, inside, wanted)
    kinds = [_opened(file, lambda image: (has_colour(image), has_white(image))) for file in files]
    _one_scale(files, [white for _, white in kinds])
    if how.colour is None:
        how = replace(how, colour=any(colour for colour, _ in kinds))

    def read(rows: Sequence[int]) -> Parts:
        pixels = _read([files[row] for row in rows], files[0], how)
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


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _pictures(folder: Path, top: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Go through the pictures below a folder; a link back to a folder above is not followed."""
    real = folder.resolve()
    if real in above:
        return
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        kind = entry.suffix.lower()
        if entry.is_dir():
            yield from _pictures(entry, top, (*above, real))
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
    """Rows of each split, if the sub-folders are splits: all of them, and nothing beside."""
    named = {
        name: split
        for split, names in _SPLITS.items()
        for name in {part[0] for part in parts if len(part) > 1}
        if name.lower() in names
    }
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
    """Classes are the first folders, sorted; pictures that all lie loose have none."""
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
    """Refuse shares of white beside values that are taken as they are."""
    if any(white) and not all(white):
        plain, other = files[white.index(False)], files[white.index(True)]
        raise unfit(
            plain,
            "its numbers have 32 bits and are taken as they are, but those of "
            f"{other.name} are shares of white. Put them in folders of their own",
        )


def _read(files: list[Path], first: Path, how: Picture) -> np.ndarray:
    """Decode pictures, all of the size of the first of the folder."""
    shape = _opened(first, lambda image: read_pixels(image, how)).shape
    pixels = np.empty((len(files), *shape), np.float32)
    for i, file in enumerate(files):
        one = _opened(file, lambda image: read_pixels(image, how))
        has, wanted = (f"{size[2]} x {size[1]}" for size in (one.shape, shape))
        require(
            one.shape == shape,
            file,
            f"its size is {has} pixels, that of {first.name} {wanted}. Bring all to one size while "
            f"they are read: `size={shape[1:]}`",
        )
        pixels[i] = one
    return pixels


def _opened(file: Path, look: Callable[[Image.Image], T]) -> T:
    """Open one picture and look at it; what is damaged is named."""
    try:
        with Image.open(file) as image:
            return look(image)
    except UnfitError as error:
        raise unfit(file, error) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise unfit(
            file,
            f"it declares more pixels than Pillow takes for honest ({error}). Remove it, or cut "
            "it into smaller pictures in another folder",
        ) from error
    except DataError:
        raise
    except Exception as error:  # each format fails in its own way
        raise unfit(
            file, f"it is damaged or no image ({type(error).__name__}). Replace or remove it"
        ) from error
