"""Samples as pictures: bytes that views draw, and PNG files for pages that show them."""

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def pictures_of(pixels: Tensor, image_shape: tuple[int, ...]) -> np.ndarray:
    """Return values in [0, 1] as the pictures that views draw.

    Args:
        pixels: values (..., features), grey, or the three colours one after the other.
        image_shape: shape of an image, (height, width), or (3, height, width) in colour.

    Returns:
        uint8 (..., height, width), or (..., height, width, 3): red, green and blue of a pixel stand
        together, as in image files.
    """
    scaled = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    pictures = scaled.reshape(*pixels.shape[:-1], *image_shape)
    return (pictures.movedim(-3, -1) if len(image_shape) == 3 else pictures).numpy()


def png_of(picture: np.ndarray, scale: int = 1) -> bytes:
    """Return a picture as a PNG, each pixel as a square of `scale` x `scale`."""
    buffer = io.BytesIO()
    large = Image.fromarray(picture.repeat(scale, 0).repeat(scale, 1))
    large.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def smaller(png: bytes) -> bytes:
    """Return a PNG as lossless WebP, the same pixels in about four fifths of the bytes."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).save(buffer, format="WEBP", lossless=True)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    """Return bytes as text, as notebooks and pages hold them."""
    return base64.b64encode(data).decode("ascii")
