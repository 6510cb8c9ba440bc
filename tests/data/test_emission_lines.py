"""Spectra obey the physics of their docstring, and codes can be judged by the truth."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import gfe_core as gfe
from gfe_core.data import emission_lines
from gfe_core.data.emission_lines import LINES, PARAMETERS, RESOLUTION, clean, make, wavelengths

C = 299_792.458
APART = C * math.log(LINES[1] / LINES[0])
"""Velocity between the lines of the doublet: 224 km/s."""
PIXEL = 30.0


def one(**parameters: float) -> Tensor:
    """The clean flux for a few parameters, the others in the middle of their range, in float64."""
    values = {
        "shift": 0.0,
        "width": 60.0,
        "strength": 500.0,
        "ratio": 1.0,
        "slope": 0.0,
    } | parameters
    return clean(torch.tensor([list(values.values())], dtype=torch.float64))[0]


def velocity(line: int = 0) -> Tensor:
    return C * (wavelengths() / LINES[line]).log()


# physics


def test_wavelengths_are_even_in_velocity_and_centred_on_the_doublet():
    grid = wavelengths()
    steps = C * grid.log().diff()
    torch.testing.assert_close(
        steps, torch.full_like(steps, PIXEL), rtol=0, atol=1e-8
    )  # eps of ln(3700) times c
    assert grid[0] < LINES[0] < LINES[1] < grid[-1]
    middle = math.sqrt(LINES[0] * LINES[1])
    assert (grid[0] * grid[-1]).sqrt().item() == pytest.approx(middle, rel=1e-12)


def test_light_of_the_lines_is_their_strength_whatever_the_width_shift_and_ratio():
    for parameters in (
        {},
        {"width": 120.0},
        {"shift": 600.0},
        {"ratio": 0.35},
        {"shift": -600.0, "width": 120.0},
    ):
        light = PIXEL * (one(**parameters) - 1).sum().item()
        assert light == pytest.approx(
            500, rel=1e-6
        )  # the edges are 5 standard deviations away or more


def test_lines_move_with_the_radial_velocity_as_doppler_says():
    at_rest = one()
    moved = one(shift=300.0)
    torch.testing.assert_close(
        moved[10:], at_rest[:-10], rtol=1e-9, atol=1e-9
    )  # ten pixels of 30 km/s to the red
    light = moved - 1
    centre = (light * wavelengths()).sum() / light.sum()
    doppler = sum(LINES) / 2 * (1 + 300 / C)
    assert abs(centre.item() / doppler - 1) * C < 1  # km/s: the docstring's bound


def test_instrument_and_gas_widen_a_line_in_quadrature():
    instrument = (
        C / RESOLUTION / 2.354820045
    )  # full width at half maximum of a Gaussian, in standard deviations
    for width in (30.0, 120.0):
        # the first line alone
        light = one(width=width, ratio=1e-12) - 1
        v = velocity()
        variance = (light * v**2).sum() / light.sum()
        assert variance.item() == pytest.approx(width**2 + instrument**2, rel=1e-6)


def test_ratio_is_that_of_the_red_line_to_the_blue_one():
    v = (velocity(0) + velocity(1)) / 2  # 0 between the lines
    for ratio in (0.35, 1.0, 1.5):
        light = one(ratio=ratio) - 1
        share = (
            (light * v).sum() / light.sum() / APART + 0.5
        ).item()  # centre of light: 0 the blue line, 1 the red
        assert share == pytest.approx(ratio / (1 + ratio), abs=1e-6)


def test_slope_tilts_the_continuum_about_its_middle():
    flat = one()
    tilted = one(slope=0.2)
    torch.testing.assert_close(tilted - flat, torch.linspace(-0.2, 0.2, 128, dtype=torch.float64))


def humps(flux: Tensor) -> Tensor:
    return ((flux[..., 1:-1] > flux[..., :-2]) & (flux[..., 1:-1] > flux[..., 2:])).sum(-1)


def test_lines_blend_where_both_widths_together_reach_half_their_distance():
    instrument = C / RESOLUTION / 2.354820045
    merge = math.sqrt(
        (APART / 2) ** 2 - instrument**2
    )  # equal Gaussians have two humps down to 2 sigma apart
    assert humps(one(width=0.8 * merge)) == 2 and humps(one(width=1.05 * merge)) == 1
    share = (humps(clean(make(2000).y.double())) == 1).double().mean()
    assert 0.5 < share < 0.8  # most are blended, many are not


def test_shift_moves_the_doublet_by_several_of_its_widths():
    sigma = math.hypot(60.0, C / RESOLUTION / 2.354820045)
    moved = make(1000).y[:, 0]
    assert (moved.max() - moved.min()) / sigma > 10


# a curved sheet of five dimensions


def test_five_principal_components_miss_what_five_parameters_know():
    flux = clean(make(2000).y.double())
    spectrum = (
        torch.linalg.svdvals(flux - flux.mean(0)).square().flip(0).cumsum(0).flip(0) / flux.numel()
    )
    missed = spectrum.sqrt()  # root mean square of what the first k components leave
    assert missed[5] > 4 * 0.02  # four times the noise
    assert missed[10] > 0.02 > missed[15]


def test_every_parameter_can_be_told_from_the_others_in_the_noise():
    parameters = make(200).y.double()
    jacobian = torch.autograd.functional.jacobian(
        lambda p: clean(p).sum(0), parameters
    )  # (128, n, 5)
    information = torch.einsum("fni,fnj->nij", jacobian, jacobian) / 0.02**2
    error = torch.linalg.inv(information).diagonal(dim1=1, dim2=2).sqrt()  # Cramer and Rao's bound
    spread = parameters.std(0)
    assert (error.median(0).values < spread / 10).all() and (error < spread).all()


# sets


def test_the_same_seed_gives_the_same_spectra_and_another_seed_others():
    one_ = make(50, seed=4)
    again = make(50, seed=4)
    other = make(50, seed=5)
    assert torch.equal(one_.y, again.y) and not torch.equal(one_.y, other.y)
    torch.testing.assert_close(one_.x, again.x, rtol=0, atol=0, equal_nan=True)


def test_making_spectra_does_not_touch_the_global_generator():
    before = torch.get_rng_state()
    make(5)
    assert torch.equal(before, torch.get_rng_state())


def test_spectra_are_the_truth_plus_noise_of_the_size_asked_for():
    data = make(2000, noise=0.05, gaps=False)
    rest = data.x - clean(data.y)
    assert data.x.dtype == data.y.dtype == torch.float32 and data.image_shape is None
    assert abs(rest.mean().item()) < 5e-4  # 256,000 draws: standard error 1e-4, so five of them
    assert rest.std().item() == pytest.approx(0.05, rel=0.01)  # standard error 0.14 %
    assert torch.equal(make(20, noise=0, gaps=False).x, clean(make(20).y))


def test_parameters_fill_their_ranges():
    y = make(5000).y
    low, high = torch.tensor([[-600, 30, 200, 0.35, -0.2], [600, 120, 800, 1.5, 0.2]])
    assert y.shape == (5000, len(PARAMETERS)) == (5000, 5)
    assert (y >= low).all() and (y <= high).all()
    torch.testing.assert_close(
        y.mean(0), (low + high) / 2, rtol=0.02, atol=20
    )  # 1200 / sqrt(12 * 5000) = 5 km/s


def test_gaps_take_15_to_25_per_cent_in_windows_and_dead_pixels_and_change_nothing_else():
    with_gaps = make(1000, seed=2)
    without = make(1000, seed=2, gaps=False)
    lost = with_gaps.x.isnan()
    assert torch.equal(with_gaps.x[~lost], without.x[~lost]) and not without.x.isnan().any()
    share = lost.double().mean(1)
    assert share.min() >= 0.15 and share.max() <= 0.25 and share.unique().numel() > 5
    assert (lost.any(0)).all() and lost.double().mean(0).max() < 0.45  # anywhere, nowhere always
    longest = torch.zeros(1000)
    run = torch.zeros(1000)
    for pixel in lost.T:
        run = (run + 1) * pixel
        longest = longest.maximum(run)
    assert (
        longest.min() >= 10 and 0.4 < (longest >= 20).double().mean() < 0.65
    )  # half have one window, half have two


def test_load_gives_5000_and_1000_spectra_that_differ():
    train = gfe.data.load("spectra")
    test = gfe.data.load("spectra", "test")
    assert (train.x.shape, test.x.shape) == ((5000, 128), (1000, 128))
    assert (train.y.shape, train.name, train.split, test.split) == (
        (5000, 5),
        "spectra",
        "train",
        "test",
    )
    assert not torch.equal(train.y[:1000], test.y)
    assert train.take(3).y.shape == (3, 5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"n": 0}, "`n` must be at least 1, got 0"),
        ({"n": 5, "noise": -0.1}, "`noise` must be at least 0 and finite, got -0.1"),
        ({"n": 5, "noise": math.nan}, "`noise` must be at least 0 and finite"),
    ],
)
def test_make_refuses_bad_arguments_by_name(arguments: dict[str, Any], told: str):
    with pytest.raises(ValueError, match=told):
        make(**arguments)


def test_clean_refuses_rows_that_are_no_parameters(unchecked: None):
    with pytest.raises(
        ValueError, match=r"`parameters` must have shape \(n, 5\), .*shift.*; got \(3, 4\)"
    ):
        clean(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"got \(5,\)"):
        emission_lines.clean(torch.zeros(5))
