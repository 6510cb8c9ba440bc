"""One picture, from Pillow to numbers: upright, as shares of white, grey or in colour.

Shapes: `channels` 1 for grey or 3 for red, green and blue; `height` and `width` in pixels.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageColor, ImageOps
from torch.nn import functional as F

from gfe_core import checks
from gfe_core.data.values import require

_WHITE = {"1": 1.0, "L": 255.0, "LA": 255.0, **dict.fromkeys(("I;16", "I;16B", "I;16L"), 65535.0)}
"""The grey modes of Pillow, each with its largest value."""
_AS_THEY_ARE = ("I", "F")
"""Modes without a value for white; their numbers are unchanged."""
_OF_16_BITS = ("PPM", "PNG")
"""Formats whose mode I has 16 bits; Pillow scales the largest value of any PGM to 65,535."""
_COLOUR = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "HSV", "RGBX", "RGBa")
"""Modes that Pillow converts to red, green and blue."""
_MIXED = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey: ITU-R BT.601, as Pillow's own mode L."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Options for reading pictures.

    Args:
        colour: whether pictures have three channels or one (grey is 0.299 red + 0.587 green +
            0.114 blue); None gives three if any picture of the set has colours.
        size: (height, width) to which every picture is resized, by averaging if it shrinks; None
            keeps the sizes, which must then be equal.
        background: colour behind transparent pixels, such as "white" or "#808080".
    """

    colour: bool | None = None
    size: tuple[int, int] | None = None
    background: str | None = None

    def __post_init__(self) -> None:
        checks.as_python(self, checks.flag, "colour", or_none=True)
        if self.size is not None:
            wanted = f"`size` must be (height, width), got {self.size!r}."
            checks.require(isinstance(self.size, (tuple, list)), wanted, TypeError)
            object.__setattr__(self, "size", checks.sizes("size", self.size, n=2))
        if self.background is not None:
            checks.text("background", self.background)
            try:
                ImageColor.getrgb(self.background)
            except ValueError as error:
                raise ValueError(
                    f"`background` must be a colour such as 'white' or '#808080', got "
                    f"{self.background!r}."
                ) from error


def has_colour(image: Image.Image) -> bool:
    """Whether a picture's mode or palette has colours; no pixel is read."""
    if image.mode != "P" or image.palette is None:
        return image.mode in _COLOUR
    raw = np.frombuffer(bytes(image.palette.palette), np.uint8)
    kind = image.palette.rawmode or image.palette.mode
    if kind == "RGB;L":
        raw = raw.reshape(3, -1).T.ravel()
    width = {"RGB": 3, "RGB;L": 3, "BGRX": 4}.get(kind, 0)
    if width == 0 or len(raw) % width:
        return True
    colours = raw.reshape(-1, width)[:, :3]
    return bool((colours != colours[:, :1]).any())


def has_white(image: Image.Image) -> bool:
    """Whether the numbers of a picture are shares of white; no pixel is read."""
    return _white(image) is not None


def _white(image: Image.Image) -> float | None:
    """Return the value of white; None if the numbers of this mode are unchanged."""
    if image.mode == "I" and image.format in _OF_16_BITS:
        return 65535.0
    return None if image.mode in _AS_THEY_ARE else _WHITE.get(image.mode, 255.0)


def read_pixels(image: Image.Image, form: Picture) -> Float[np.ndarray, "channels height width"]:
    """Return an open picture as numbers, in the orientation that its camera recorded.

    Pillow converts palettes, CMYK, YCbCr and HSV to red, green and blue, without colour profiles.
    The numbers of modes I and F, 32-bit integers and floats, are unchanged; the 16-bit values of a
    PGM or PNG, which Pillow opens in mode I, are shares of white.

    Raises:
        UnfitError: the picture has another mode or several pages, or has transparent pixels and no
            background is given.
    """
    n_pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    require(
        n_pages == 1,
        f"it holds {n_pages} pages. Save each as a file, or all as one .npy array",
    )
    known = (*_WHITE, *_AS_THEY_ARE, *_COLOUR)
    require(
        image.mode in known,
        f"it is of mode {image.mode!r}. Save a copy in grey or RGB, in another folder",
    )
    coloured, white = has_colour(image), _white(image)
    image = _opaque(upright(image), form.background)
    if image.mode not in _WHITE and image.mode not in _AS_THEY_ARE:
        image = image.convert("RGB" if coloured else "L")
    pixels = _channels(image, form.colour)
    if image.mode != "RGB" and white is not None:
        pixels /= np.float32(_WHITE.get(image.mode, white))
    return pixels if form.size is None else _resized(pixels, form.size)


def upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its camera recorded; damaged metadata leave it as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image.getexif()
        except Exception:  # damaged metadata fail in too many ways to list
            return image
        return ImageOps.exif_transpose(image)


def _opaque(image: Image.Image, background: str | None) -> Image.Image:
    """Put a picture with transparent pixels on a background."""
    if not image.has_transparency_data or image.mode.startswith("I"):
        return image
    layered = image.convert("RGBA")
    if layered.getchannel("A").getextrema() != (255, 255):
        require(
            background is not None,
            "it is transparent in places, and what is behind them is not known. Pass "
            "`background='white'`, or another colour",
        )
        below = Image.new("RGBA", layered.size, ImageColor.getrgb(str(background)))
        layered = Image.alpha_composite(below, layered)
    return layered.convert("L") if image.mode in _WHITE else layered.convert("RGB")


def _channels(
    image: Image.Image, colour: bool | None
) -> Float[np.ndarray, "channels height width"]:
    """Return the numbers of an opaque picture, channels first; shares of white if it is RGB."""
    if image.mode == "RGB":
        rgb = np.asarray(image, np.float32).transpose(2, 0, 1) / np.float32(255)
        if colour is not False:
            return rgb
        return np.tensordot(np.array(_MIXED, np.float32), rgb, 1)[None]
    grey = np.asarray(image).astype(np.float32)[None]
    return np.repeat(grey, 3, axis=0) if colour else grey


def _resized(
    pixels: Float[np.ndarray, "channels height width"], size: tuple[int, int]
) -> Float[np.ndarray, "channels rows columns"]:
    """Resize a picture; pixels are averaged if it shrinks."""
    if pixels.shape[1:] == tuple(size):
        return pixels
    batch = torch.from_numpy(np.ascontiguousarray(pixels))[None]
    resized = F.interpolate(batch, size=tuple(size), mode="bilinear", antialias=True)
    return resized[0].numpy()
