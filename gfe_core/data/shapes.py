"""Shapes, white on black or in colour: squares, ellipses and hearts, with the factors behind them.

Codes of these images can be judged, as in dSprites: `make` draws factors independently of each
other and keeps them as y, and `draw` gives the image for any factors. A factor is a number that a
viewer could name, and an image is not linear in any factor.

Shapes: `n` images of side x side pixels, row after row; 5 `PARAMETERS`, and 2 more in colour.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.data.dataset import DataSet

_CHUNK = 2**16
"""Pixels drawn at a time, so that the intermediate results stay in the cache of a core."""
_BRIGHTEST_GROUND = 0.3
PARAMETERS = ("shape", "scale", "rotation (rad)", "x (sides)", "y (sides)")
"""Names and units of the columns of `make(...).y`, in their order; `draw` defines them."""
COLOURED = ("hue (turns)", "ground")
"""Names and units of the two further columns in colour; `paint` defines them."""


def draw(parameters: Float[Tensor, "n 5"], side: int) -> Float[Tensor, "n pixels"]:
    """Return the images of these factors, 0 outside of the shape and 1 inside.

    grey = 1/2 - d, clipped to [0, 1], where d is the distance in pixels from a pixel's centre to
    the edge of the shape, negative inside. An edge is therefore one pixel wide, and a shape that
    ends at the border of the image is drawn in full.

    - shape: 0 is a square, 1 an ellipse twice as wide as high, 2 a heart: a square on its corner
      with half a disc on each upper side. Square, ellipse and heart repeat after a quarter of a
      turn, half a turn and a full turn.
    - scale: largest distance of the edge from the centre, in quarters of the side.
    - rotation: angle, counter-clockwise; at 0 the square lies on a side and the heart stands on its
      tip.
    - x, y: centre of mass, measured from the left and from the top in units of the side.

    Args:
        parameters: factors of the images, one row for each, in the order of `PARAMETERS`.
        side: height and width of an image in pixels, >= 8.

    Returns:
        Grey values in [0, 1], in the type of the parameters.

    Raises:
        ValueError: parameters do not have five columns, a shape is not 0, 1 or 2, or side is below
            8.

    Example:
        >>> square = draw(torch.tensor([[0.0, 1.0, 0.0, 0.5, 0.5]]), side=32)
        >>> # A square that reaches 8 pixels from its centre covers 2 x 8^2 of them.
        >>> square.shape, round(square.sum().item() / 8**2, 1)
        (torch.Size([1, 1024]), 2.0)
    """
    wanted = (
        f"`parameters` must have shape (n, {len(PARAMETERS)}), the columns {', '.join(PARAMETERS)}"
    )
    checks.require(
        parameters.shape[1:] == (len(PARAMETERS),), f"{wanted}; got {tuple(parameters.shape)}."
    )
    checks.require(
        {*parameters[:, 0].tolist()} <= {0, 1, 2},
        "The shapes, `parameters[:, 0]`, must be 0, 1 or 2.",
    )
    side = checks.whole("side", side)
    checks.require(
        side >= 8,
        f"`side` must be at least 8 pixels, got {side}. Smaller shapes cannot be distinguished.",
    )
    images = parameters.new_empty(len(parameters), side, side)
    pixels = torch.arange(side).to(parameters) + 0.5
    for shape, distance in enumerate((_square, _ellipse, _heart)):
        for rows in (parameters[:, 0] == shape).nonzero()[:, 0].split(math.ceil(_CHUNK / side**2)):
            scale, rotation, x, y = parameters[rows, 1:, None, None].unbind(1)
            reach = scale * side / 4
            right = (pixels - side * x) / reach
            up = (side * y - pixels[:, None]) / reach
            # in float64, so that the rounding is the same in any batch
            cos = rotation.double().cos().to(x)
            sin = rotation.double().sin().to(x)
            u = cos * right + sin * up
            v = cos * up - sin * right
            images[rows] = (0.5 - reach * distance(u, v)).clamp(0, 1)
    return images.flatten(1)


def paint(
    images: Float[Tensor, "n pixels"], colours: Float[Tensor, "n 2"]
) -> Float[Tensor, "n three_pixels"]:
    """Give white shapes on black a colour, and a grey ground.

    colour = ground + grey (c - ground) with c_k = (1 + cos 2 pi (hue - k / 3)) / 2, where k = 0, 1,
    2 for red, green and blue. As the hue goes from 0 to 1 it passes once through all colours; 0 is
    red.

    Args:
        images: grey values in [0, 1] from `draw`.
        colours: hue of each shape and grey value of its ground, in the order of `COLOURED`.

    Returns:
        The red values of each image, then the green ones, then the blue ones.

    Example:
        >>> white_on_black = torch.tensor([[1.0, 0.0]])
        >>> paint(white_on_black, torch.tensor([[0.0, 0.5]]))
        tensor([[1.0000, 0.5000, 0.2500, 0.5000, 0.2500, 0.5000]])
    """
    wanted = f"`colours` must have shape ({len(images)}, 2), the columns {', '.join(COLOURED)}"
    checks.require(tuple(colours.shape) == (len(images), 2), f"{wanted}; got {colours.shape}.")
    hue, ground = colours[:, None, None].unbind(-1)
    thirds = torch.arange(3).to(hue)[:, None] / 3
    ink = (1 + (2 * math.pi * (hue - thirds)).cos()) / 2
    return (ground + images[:, None] * (ink - ground)).flatten(1)


def _square(u: Tensor, v: Tensor) -> Tensor:
    """Return the distance to the edge, in units of the shape's reach.

    u points to the right and v upwards in the frame of the shape, as for all shapes.
    """
    return u.abs().maximum(v.abs()) - math.sqrt(0.5)


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    """Return the distance to the edge to first order.

    It is (k - 1) / |grad k| with k = sqrt(u^2 + (2 v)^2), and -1 in the centre.
    """
    high = (2 * v).square()
    k = u.square() + high + 1e-9
    return (k - k.sqrt()) / (k + 3 * high).sqrt()


def _heart(u: Tensor, v: Tensor) -> Tensor:
    """Return the distance to the edge of the union of the square and the discs.

    The sides of the square run along p and q; the disc on the same side as the point is nearer.
    """
    # centre of mass, along p and q, in half sides from the centre of the square
    centre = (math.pi / 2 + 2 / 3) / (math.pi + 4)
    half = math.sqrt(0.5) / (1 + centre)  # half a side; the tip, the farthest point, is at 1
    u = math.sqrt(0.5) * u.abs()
    v = math.sqrt(0.5) * v + half * centre
    p = v + u
    q = v - u
    return p.maximum(-q).minimum(((p - half).square() + q.square()).sqrt()) - half


def make(n: int, *, side: int = 32, seed: int = 0, colour: bool = False) -> DataSet:
    """Draw shapes, each with the factors that made it: five, or seven in colour.

    Factors are uniform and independent: shape 0, 1 or 2, scale 0.5 to 1, rotation a full turn, x
    and y 0.25 to 0.75, so that the largest shape lies inside of the image; in colour, hue a full
    turn and ground 0 to 0.3, darker than any shape. Factors do not depend on side, and the first
    five do not depend on colour.

    Args:
        n: number of images, >= 1.
        side: height and width of an image in pixels, >= 8.
        seed: seed of the factors.
        colour: whether shapes have a hue and stand on a grey ground.

    Returns:
        A data set with grey values x (n, side^2) in [0, 1], the `PARAMETERS` as y (n, 5), and
        image_shape (side, side). In colour x is (n, 3 side^2), y is (n, 7) and includes `COLOURED`,
        and image_shape is (3, side, side).

    Raises:
        ValueError: n is below 1, or side below 8.

    Example:
        >>> shapes = make(100, side=64, seed=3)
        >>> shapes.x.shape, shapes.y.shape, shapes.image_shape
        (torch.Size([100, 4096]), torch.Size([100, 5]), (64, 64))

    Source: the factors: Matthey, Higgins, Hassabis and Lerchner 2017, dSprites.
    """
    n = checks.at_least_one("n", n)
    seed = checks.whole("seed", seed)
    limits = [[0, 0.5, 0, 0.25, 0.25], [3, 1, 2 * math.pi, 0.75, 0.75]]
    low, high = torch.tensor(limits, dtype=torch.float32)
    source = torch.Generator().manual_seed(seed)
    drawn = torch.rand(n, len(PARAMETERS), generator=source, dtype=torch.float32)
    parameters = low + (high - low) * drawn
    parameters[:, 0].floor_()
    x = draw(parameters, side)
    if not colour:
        return DataSet(x, parameters, (side, side), "shapes", f"seed {seed}")
    colours = torch.rand(n, len(COLOURED), generator=source, dtype=torch.float32)
    colours[:, 1] *= _BRIGHTEST_GROUND
    y = torch.cat([parameters, colours], 1)
    return DataSet(paint(x, colours), y, (3, side, side), "colour-shapes", f"seed {seed}")
