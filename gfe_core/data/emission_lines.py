"""Spectra of galaxies around the [O II] doublet.

Five physical parameters make 128 noisy flux values, some of which are missing.

Codes of this set can be judged, because `make` returns spectra with the parameters that made them,
and `clean` gives the true flux for any parameters. The doublet moves over many of its own widths,
so that the spectra lie on a curved manifold of five dimensions, which no plane of five dimensions
approximates well.

Shapes: `n` spectra of 128 wavelengths; 5 `PARAMETERS`.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gfe_core import checks
from gfe_core.data.dataset import DataSet

LINES = (3726.03, 3728.82)
"""Wavelengths of the doublet at rest, in air, in angstrom."""
RESOLUTION = 1800.0
"""Resolving power R of the instrument.

It is the wavelength divided by the measured full width at half maximum of a line without width.
"""
_LIGHT = 299_792.458  # km/s
_N = 128
"""Number of wavelengths."""
_PIXEL = 30.0
"""Step from one wavelength to the next, in km/s."""
_RANGES = {
    "shift (km/s)": (-600.0, 600.0),
    "width (km/s)": (30.0, 120.0),
    "strength (km/s)": (200.0, 800.0),
    "ratio": (0.35, 1.5),
    "slope": (-0.2, 0.2),
}
PARAMETERS = tuple(_RANGES)
"""Names and units of the columns of `make(...).y`, in their order; `clean` defines them."""


def wavelengths() -> Float[Tensor, "128"]:
    """Return the wavelengths in angstrom, float64: even steps of 30 km/s in c ln(lambda)."""
    velocity = _PIXEL * (torch.arange(_N, dtype=torch.float64) - (_N - 1) / 2)
    return math.sqrt(LINES[0] * LINES[1]) * (velocity / _LIGHT).exp()


def clean(parameters: Float[Tensor, "n 5"]) -> Float[Tensor, "n 128"]:
    """Return the flux without noise and gaps, in units of the continuum in the middle.

    It is differentiable in the parameters.

    flux(lambda) = 1 + slope s(lambda) + sum over the two lines i of
    W_i / (sqrt(2 pi) sigma) exp(-(c ln(lambda / lambda_i) - shift)^2 / (2 sigma^2))

    - shift: radial velocity in km/s, positive for a source that recedes. Velocities are c ln(lambda
      / lambda_i), in which a shift moves every line alike; Doppler's c (lambda / lambda_i - 1)
      differs by less than 1 km/s here.
    - width: standard deviation in km/s of the velocities of the gas. The instrument spreads light
      by a Gaussian of full width c / R = 167 km/s, 71 km/s in standard deviation; both add in
      quadrature, sigma^2 = width^2 + (71 km/s)^2. The lines are 224 km/s apart: where sigma exceeds
      half of that, or one line is weak, they blend into one hump.
    - strength: equivalent width W_1 + W_2 of both lines in km/s, the width of continuum that holds
      as much light.
    - ratio: W_2 / W_1 of 3728.82 to 3726.03, from 0.35 in dense gas to 1.5 in thin gas.
    - slope: change of the continuum from the middle to the red end; s runs from -1 to 1, evenly in
      c ln(lambda).

    Args:
        parameters: parameters of the spectra, one row for each, in the order of `PARAMETERS`; the
            sign of the width is ignored.

    Raises:
        ValueError: parameters do not have five columns.

    Example:
        >>> flux = clean(torch.tensor([[0.0, 50.0, 400.0, 1.0, 0.0]]))
        >>> flux.shape, flux[0, 0].item()
        (torch.Size([1, 128]), 1.0)

    Source: lines: NIST Atomic Spectra Database; ratio: Pradhan, Montenegro, Nahar and Eissner 2006
        (astro-ph/0510099).
    """
    wanted = (
        f"`parameters` must have shape (n, {len(PARAMETERS)}), the columns {', '.join(PARAMETERS)}"
    )
    checks.require(
        parameters.shape[1:] == (len(PARAMETERS),), f"{wanted}; got {tuple(parameters.shape)}."
    )
    shift, width, strength, ratio, slope = parameters[:, :, None].unbind(1)
    variance = width**2 + (_LIGHT / RESOLUTION / math.sqrt(8 * math.log(2))) ** 2
    flux = 1 + slope * torch.linspace(-1, 1, _N, dtype=parameters.dtype)
    for line, share in zip(LINES, (1 / (1 + ratio), ratio / (1 + ratio)), strict=True):
        velocity = (_LIGHT * (wavelengths() / line).log()).to(parameters)
        profile = (-((velocity - shift) ** 2) / (2 * variance)).exp() / (
            2 * math.pi * variance
        ).sqrt()
        flux = flux + strength * share * profile
    return flux


def make(n: int, *, seed: int = 0, noise: float = 0.02, gaps: bool = True) -> DataSet:
    """Draw spectra with noise and gaps, each with the five parameters that made it.

    Parameters are uniform: shift within 600 km/s of rest, width 30 to 120 km/s, strength 200 to 800
    km/s, ratio 0.35 to 1.5, slope -0.2 to 0.2. Gaps remove 20 to 28 wavelengths, in one window or
    in two, and four dead pixels anywhere: between 15 and 25 % of a spectrum. The remaining values
    are the same with and without gaps.

    Args:
        n: number of spectra, >= 1.
        seed: seed of parameters, noise and gaps.
        noise: standard deviation of the noise, in units of the continuum, >= 0; 0.02 is a
            signal-to-noise ratio of 50.
        gaps: whether spectra have gaps.

    Returns:
        A data set whose x (n, 128) is the flux, NaN where it is missing, and whose y (n, 5) holds
        the `PARAMETERS`.

    Raises:
        ValueError: n is below 1, or noise is negative or not finite.

    Example:
        >>> galaxies = make(100, seed=3)
        >>> galaxies.x.shape, galaxies.y.shape, 0.15 < galaxies.x.isnan().float().mean() < 0.25
        (torch.Size([100, 128]), torch.Size([100, 5]), tensor(True))
    """
    n = checks.at_least_one("n", n)
    noise = checks.number("noise", noise)
    seed = checks.whole("seed", seed)
    gaps = checks.flag("gaps", gaps)
    checks.require(0 <= noise < math.inf, f"`noise` must be at least 0 and finite, got {noise}.")
    generator = torch.Generator().manual_seed(seed)
    low, high = torch.tensor([*_RANGES.values()], dtype=torch.float32).unbind(1)
    chance = torch.rand(n, len(PARAMETERS), generator=generator, dtype=torch.float32)
    parameters = low + (high - low) * chance
    x = clean(parameters) + noise * torch.randn(n, _N, generator=generator, dtype=torch.float32)
    if gaps:
        x[_lost(n, generator)] = torch.nan
    return DataSet(x, parameters, None, "spectra", f"seed {seed}")


def _lost(n: int, generator: torch.Generator) -> Tensor:
    """Return a mask that is True where flux is missing.

    Each spectrum loses two windows of equal width, which touch in every other spectrum, and four
    dead pixels.
    """
    width = torch.randint(10, 15, (n, 1), generator=generator)
    place = torch.rand(n, 2, generator=generator, dtype=torch.float32).sort(1).values
    place[::2, 1] = place[::2, 0]
    start = (place * (_N - 2 * width + 1)).long() + width * torch.arange(2)
    behind = torch.arange(_N) - start[..., None]
    windows = ((behind >= 0) & (behind < width[..., None])).any(1)
    chance = torch.rand(n, _N, generator=generator, dtype=torch.float32)
    return windows.scatter(1, chance.topk(4).indices, True)
