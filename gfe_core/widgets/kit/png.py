"""Grey arrays as PNG files, for pages that show them."""

import base64
import io

import numpy as np
from PIL import Image


def png_of(grey: np.ndarray, scale: int = 1) -> bytes:
    """Return uint8 (height, width) as a PNG, each pixel as a square of `scale` x `scale`."""
    buffer = io.BytesIO()
    large = Image.fromarray(grey.repeat(scale, 0).repeat(scale, 1))
    large.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    """Return bytes as text, as notebooks and pages hold them."""
    return base64.b64encode(data).decode("ascii")
