"""A sheet for still pictures: lines, dashes, markers, pictures and axes drawn with Pillow.

Everything is drawn twice as large and reduced at the end, which makes lines and letters smooth.
Coordinates are pixels of the finished picture, x to the right and y downwards.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK = "#1d1e22"
SOFT = "#62656d"
RULE = "#dcdde1"
BACKGROUND = "#ffffff"
_FINE = 2
_FONTS = ("DejaVuSans.ttf", "Arial.ttf", "LiberationSans-Regular.ttf")
_PLAIN = {
    "×": "x",
    "−": "-",
    "–": "-",
    "·": ".",
    "…": "...",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "²": "^2",
    "₀": "0",
}
_PLAIN |= {
    "λ": "lambda",
    "α": "alpha",
    "β": "beta",
    "σ": "sigma",
    "τ": "tau",
    "θ": "theta",
    "ε": "eps",
    "∇": "grad ",
}

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom


@functools.cache
def _font(size: int) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, bool]:
    """Return a font and whether it knows Greek and mathematical signs.

    The one inside Pillow does not.
    """
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, size), True
        except OSError:
            continue
    return ImageFont.load_default(size), False


def _outline(shape: int, radius: float) -> np.ndarray:
    """Return the corners (corners, 2) of marker 0 circle, 1 square, 2 triangle or 3 diamond."""
    if shape == 0:
        angle = np.linspace(0.0, 2 * np.pi, 32, endpoint=False)
        return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    corners = (
        [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
        [(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
        [(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
    )[(shape - 1) % 3]
    return radius * np.array(corners)


def _dashes(points: np.ndarray, dash: Sequence[float]) -> Iterable[np.ndarray]:
    """Cut a line (n, 2) into the drawn pieces of a dash pattern that runs on at corners."""
    turn = 0
    left = dash[0]
    on = True
    piece = [points[0]]
    for start, end in itertools.pairwise(points):
        length = float(np.hypot(*(end - start)))
        done = 0.0
        while length - done > left:
            done += left
            piece.append(start + (end - start) * done / length)
            if on:
                yield np.array(piece)
            turn = turn + 1
            on = not on
            piece = [piece[-1]]
            left = dash[turn % len(dash)]
        left -= length - done
        piece.append(end)
    if on:
        yield np.array(piece)


class Sheet:
    """A sheet of `width` x `height` pixels."""

    def __init__(self, width: float, height: float, background: str = BACKGROUND) -> None:
        self.image = Image.new("RGB", (round(width * _FINE), round(height * _FINE)), background)
        self._pen = ImageDraw.Draw(self.image)

    def line(
        self, points: np.ndarray, colour: str, width: float = 1.0, dash: Sequence[float] = ()
    ) -> None:
        """Draw a line through points (n, 2); it is interrupted where they are not finite."""
        points = np.clip(np.asarray(points, dtype=float).reshape(-1, 2), -1e5, 1e5)
        finite = np.asarray(np.isfinite(points).all(axis=1))
        for run in np.split(np.arange(len(points)), np.flatnonzero(np.diff(finite)) + 1):
            if len(run) > 1 and finite[run[0]]:
                for piece in _dashes(points[run], dash) if dash else [points[run]]:
                    corners = [tuple(corner) for corner in piece * _FINE]
                    self._pen.line(
                        corners, fill=colour, width=max(1, round(width * _FINE)), joint="curve"
                    )

    def marker(
        self,
        at: Point,
        shape: int,
        radius: float,
        fill: str,
        rings: Sequence[tuple[float, str]] = (),
    ) -> None:
        """Draw a marker.

        `rings` are (width, colour) outlines from the outermost to the innermost.
        """
        if not all(map(math.isfinite, at)):
            return
        for grow, colour in [*((width / 2, colour) for width, colour in rings), (0.0, fill)]:
            corners = (np.array(at) + _outline(shape, radius + grow)) * _FINE
            self._pen.polygon([tuple(corner) for corner in corners], fill=colour)

    def text(
        self, at: Point, words: str, size: int = 13, colour: str = INK, anchor: str = "la"
    ) -> float:
        """Write words with Pillow's anchor and return their width."""
        font, knows = _font(size * _FINE)
        words = words if knows else "".join(_PLAIN.get(letter, letter) for letter in words)
        self._pen.text((at[0] * _FINE, at[1] * _FINE), words, font=font, fill=colour, anchor=anchor)
        return self._pen.textlength(words, font=font) / _FINE

    def paste(self, picture: "Image.Image | np.ndarray", box: Box, *, smooth: bool = False) -> None:
        """Fill a box with a picture, or uint8 (rows, columns[, 3]).

        Pixels stay square-edged unless `smooth`.
        """
        picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
        left, top, right, bottom = (round(edge * _FINE) for edge in box)
        how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
        self.image.paste(
            picture.convert("RGB").resize((max(right - left, 1), max(bottom - top, 1)), how),
            (left, top),
        )

    def vertical(self, at: Point, words: str, size: int = 12, colour: str = SOFT) -> None:
        """Write words upwards, centred at a point."""
        font, knows = _font(size * _FINE)
        words = words if knows else "".join(_PLAIN.get(letter, letter) for letter in words)
        left, _, right, bottom = (math.ceil(edge) for edge in font.getbbox(words))
        strip = Image.new("L", (right - left + 2, bottom + 4), 0)
        ImageDraw.Draw(strip).text((1 - left, 1), words, font=font, fill=255)
        strip = strip.rotate(90, expand=True)
        corner = (round(at[0] * _FINE - strip.width / 2), round(at[1] * _FINE - strip.height / 2))
        self.image.paste(Image.new("RGB", strip.size, colour), corner, strip)

    def finished(self, colours: np.ndarray | None = None) -> Image.Image:
        """Return the sheet at its true size with few colours, so that it compresses well.

        Args:
            colours: uint8 (at most 256, 3); without them Pillow chooses, which may tint greys.
        """
        small = self.image.resize(
            (self.image.width // _FINE, self.image.height // _FINE), Image.Resampling.LANCZOS
        )
        if colours is None:
            return small.quantize(128, dither=Image.Dither.NONE)
        palette = Image.new("P", (1, 1))
        palette.putpalette(colours.tobytes())
        return small.quantize(palette=palette, dither=Image.Dither.NONE)


def coloured(
    values: np.ndarray, limits: tuple[float, float], stops: Sequence[Sequence[float]]
) -> np.ndarray:
    """Return uint8 colours (*values.shape, 3) of values between two limits.

    NaN and infinity take the last colour.
    """
    share = np.clip(
        np.nan_to_num((values - limits[0]) / (limits[1] - limits[0] or 1.0), nan=1.0, posinf=1.0),
        0.0,
        1.0,
    )
    at = share * (len(stops) - 1)
    table = np.asarray(stops, dtype=float)
    return (
        np.stack([np.interp(at, np.arange(len(table)), table[:, i]) for i in range(3)], -1)
        .round()
        .astype(np.uint8)
    )


def as_hex(colour: np.ndarray | Sequence[int]) -> str:
    """Write red, green and blue, 0 to 255, as "#rrggbb"."""
    return "#" + bytes(int(c) for c in colour).hex()


def tidy(value: float) -> str:
    """Write a number for an axis, with at most three digits."""
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, power = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(power)}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Map values between `low` and `high` to 0..1.

    On a logarithmic scale both are powers of ten's exponents.
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(
        cls,
        values: np.ndarray,
        *,
        log: bool | None = None,
        zero: bool = False,
        margin: float = 0.06,
    ) -> "Scale":
        """Fit values; `log=None` is logarithmic where positive values span a decade."""
        real = np.asarray(values, dtype=float).ravel()
        real = real[np.isfinite(real) & ((real > 0) | (log is not True))]
        if not real.size:
            return cls(low=0.0, high=1.0, log=bool(log))
        if log is None:
            log = bool(real.min() > 0 and real.max() > 10 * real.min())
        low, high = (math.log10(v) if log else float(v) for v in (real.min(), real.max()))
        gap = (high - low or abs(high) or 1.0) * margin
        return cls(low=0.0 if zero and not log else low - gap, high=high + gap, log=log)

    def __call__(self, values: np.ndarray | float) -> np.ndarray | np.floating:
        """Return where values lie, 0 at `low` and 1 at `high`.

        NaN for what a logarithm cannot show.
        """
        values = np.asarray(values, dtype=float)
        if self.log:
            values = np.log10(np.where(values > 0, values, np.nan))
        return (values - self.low) / (self.high - self.low or 1.0)

    def ticks(self, about: int = 4) -> list[float]:
        """Return readable values inside the range."""
        low, high = sorted((self.low, self.high))
        if self.log and high - low > 0.7:
            leads = (1, 2, 5) if high - low < 1.6 else (1, 3) if high - low < 2.6 else (1,)
            every = math.ceil((high - low) / 5)
            powers = range(math.floor(low / every) * every, math.ceil(high) + 1, every)
            return [
                lead * 10.0**p
                for p in powers
                for lead in leads
                if low <= p + math.log10(lead) <= high
            ]
        if self.log:
            low = 10**low
            high = 10**high
        rough = (high - low or 1.0) / about
        ten = 10.0 ** math.floor(math.log10(rough))
        step = next(m * ten for m in (1, 2, 5, 10) if m * ten >= rough * 0.999)
        return [
            round(k * step, 12)
            for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
        ]


@dataclass(frozen=True, kw_only=True)
class Axes:
    """A rectangle of the sheet with a scale along each side."""

    box: Box
    x: Scale
    y: Scale

    def at(self, x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        """Return the pixels (n, 2) of data."""
        left, top, right, bottom = self.box
        return np.stack(
            np.broadcast_arrays(
                left + (right - left) * self.x(x), bottom - (bottom - top) * self.y(y)
            ),
            -1,
        )

    def draw(self, sheet: Sheet, *, x_title: str = "", y_title: str = "") -> None:
        """Draw thin rules at the ticks of y, the numbers of both axes and their titles."""
        left, top, right, bottom = self.box
        for tick in self.y.ticks():
            y = float(self.at(0.0, tick)[1])
            sheet.line(np.array([(left, y), (right, y)]), RULE)
            sheet.text((left - 8, y), tidy(tick), 12, SOFT, "rm")
        for tick in self.x.ticks(max(3, int((right - left) / 90))):
            x = left + (right - left) * float(self.x(tick))
            sheet.text((x, bottom + 7), tidy(tick), 12, SOFT, "ma")
        if x_title:
            sheet.text(((left + right) / 2, bottom + 24), x_title, 12, SOFT, "ma")
        if y_title:
            sheet.vertical((left - 50, (top + bottom) / 2), y_title)
