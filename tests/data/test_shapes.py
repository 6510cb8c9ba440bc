"""Shapes are what their factors say, at any size and place, and their images are made fast."""

import math
import time
from typing import Any

import pytest
import torch
from torch import Tensor

import gfe_core as gfe
from gfe_core.data.shapes import PARAMETERS, draw, make, paint

SQUARE = 0.0
ELLIPSE = 1.0
HEART = 2.0
ANGLES = [0.0, 0.3, 1.0, 2.0, 4.5]
each_shape = pytest.mark.parametrize(
    "shape", [SQUARE, ELLIPSE, HEART], ids=["square", "ellipse", "heart"]
)


def image(
    shape: float,
    *,
    scale: float = 1.0,
    rotation: float = 0.0,
    x: float = 0.5,
    y: float = 0.5,
    side: int = 32,
) -> Tensor:
    """One image, its factors in the middle of their ranges unless given, in float64."""
    return draw(torch.tensor([[shape, scale, rotation, x, y]], dtype=torch.float64), side).view(
        side, side
    )


def same(a: Tensor, b: Tensor) -> bool:
    """Equal but for rounding: eps 2e-16 times the side of 32 pixels, and some operations."""
    return torch.allclose(a, b, rtol=0, atol=1e-12)


def centre(images: Tensor) -> Tensor:
    """Centre of mass in pixels from the left and from the top."""
    places = torch.arange(images.shape[-1]) + 0.5
    mass = images.sum((-2, -1))
    return torch.stack(
        [(images.sum(-2) * places).sum(-1) / mass, (images.sum(-1) * places).sum(-1) / mass], -1
    )


# rotation


@pytest.mark.parametrize(
    ("shape", "parts"), [(SQUARE, 4), (ELLIPSE, 2), (HEART, 1)], ids=["square", "ellipse", "heart"]
)
def test_square_repeats_every_quarter_turn_ellipse_every_half_heart_every_full_one(
    shape: float, parts: int
):
    period = 2 * math.pi / parts
    for angle in ANGLES:
        first = image(shape, rotation=angle, x=0.4, y=0.6)
        assert same(first, image(shape, rotation=angle + period, x=0.4, y=0.6))
        for step in (0.25, 0.5, 0.75):  # of a period: no shorter one will do
            assert (
                first - image(shape, rotation=angle + step * period, x=0.4, y=0.6)
            ).abs().max() > 0.5


@each_shape
def test_rotation_is_counter_clockwise_about_the_middle(shape: float):
    for angle in ANGLES:
        assert same(
            image(shape, rotation=angle + math.pi / 2), torch.rot90(image(shape, rotation=angle))
        )


@each_shape
def test_without_rotation_a_shape_is_its_own_mirror_image(shape: float):
    assert same(image(shape), image(shape).flip(1))


def test_heart_without_rotation_stands_on_its_tip_under_a_cleft():
    rows = (image(HEART, side=64) > 0.5).nonzero()[:, 0]
    top = image(HEART, side=64)[rows.min()]
    bottom = image(HEART, side=64)[rows.max()]
    assert top[31:33].sum() < 0.1 and (top > 0.5).sum() >= 4  # black between two lobes
    assert bottom[31:33].min() > 0.5 and (bottom > 0.5).sum() == 2  # the tip, in the middle


def test_ellipse_is_twice_as_long_as_high():
    lit = (image(ELLIPSE, side=128) > 0.5).nonzero()
    height, width = (lit.max(0).values - lit.min(0).values + 1).tolist()
    assert (width, height) == (64, 32)  # twice a quarter of the side


# scale and place


@each_shape
def test_area_is_that_of_geometry_and_grows_as_the_square_of_scale(shape: float):
    half = (
        math.sqrt(0.5) * (math.pi + 4) / (1.5 * math.pi + 14 / 3)
    )  # of a heart's straight side; its tip is 1 away
    unit = {SQUARE: 2.0, ELLIPSE: math.pi / 2, HEART: (4 + math.pi) * half**2}[shape]
    for scale in (0.5, 0.7, 1.0):
        area = image(shape, scale=scale, rotation=0.3, side=512).sum().item() / 128**2
        assert area == pytest.approx(
            unit * scale**2, rel=1e-3
        )  # an edge 1 wide, 64 or more away: (1 / 64)^2


@each_shape
def test_centre_of_mass_is_at_x_and_y_whatever_scale_and_rotation(shape: float):
    factors = make(600).y.double()
    factors = factors[factors[:, 0] == shape]
    for side in (32, 64):
        found = centre(draw(factors, side).view(-1, side, side))
        error = (found - side * factors[:, 3:]).abs().max().item()
        assert (
            error < 0.1
        )  # of a pixel: corners are rounded a little differently from place to place


@each_shape
def test_x_moves_to_the_right_and_y_downwards_in_sides(shape: float):
    middle = image(shape, rotation=0.3)
    assert same(image(shape, rotation=0.3, x=0.5 + 3 / 32), middle.roll(3, 1))
    assert same(image(shape, rotation=0.3, y=0.5 + 3 / 32), middle.roll(3, 0))


@each_shape
def test_the_largest_shape_loses_nothing_in_the_farthest_corners(shape: float):
    for angle in [quarter * math.pi / 4 for quarter in range(8)] + ANGLES:
        middle = image(shape, rotation=angle)
        for x, y in ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)):
            moved = middle.roll((round(32 * y) - 16, round(32 * x) - 16), (0, 1))
            assert same(image(shape, rotation=angle, x=x, y=y), moved)


@each_shape
def test_scale_is_the_farthest_reach_in_quarters_of_the_side(shape: float):
    places = torch.arange(512) - 255.5
    distance = torch.hypot(places, places[:, None])
    for scale in (0.5, 1.0):
        lit = image(shape, scale=scale, rotation=0.3, side=512) > 0.5
        assert distance[lit].max().item() == pytest.approx(
            128 * scale, abs=2
        )  # pixels: a sharp corner falls between


# images


@pytest.mark.parametrize("side", [8, 32, 64])
def test_values_lie_between_0_and_1_and_are_grey_only_on_edges_a_pixel_wide(side: int):
    x = make(2000, side=side).x
    grey = ((x > 0) & (x < 1)).double().mean().item()
    assert x.min() == 0 and x.max() == 1
    assert 0.7 / side < grey < 1.25 / side  # an edge is 0.6 to 1.4 sides long, about one on average


@each_shape
def test_a_pixel_right_in_the_centre_is_white(shape: float):
    assert image(shape, side=33)[16, 16] == 1  # where the gradient of an ellipse vanishes


def test_images_of_64_pixels_averaged_two_by_two_are_those_of_32():
    large = make(1000, side=64).x
    small = make(1000, side=32).x
    halved = large.view(-1, 32, 2, 32, 2).mean((2, 4)).flatten(1)
    assert (halved - small).abs().mean() < 1e-3  # of the mean of 0.07
    assert (halved - small).abs().max() < 0.3  # a corner, which the distance to its sides overrates


def test_draw_gives_the_images_of_make_and_keeps_the_type_of_its_parameters():
    made = make(300)
    assert torch.equal(draw(made.y, 32), made.x)
    exact = draw(made.y.double(), 32)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(
        made.x.double(), exact, rtol=0, atol=1e-5
    )  # 32 pixels times eps 6e-8, and some more


# sets


def test_the_same_seed_gives_the_same_shapes_and_another_seed_others():
    first = make(50, seed=4)
    again = make(50, seed=4)
    other = make(50, seed=5)
    assert torch.equal(first.x, again.x) and torch.equal(first.y, again.y)
    assert not torch.equal(first.y, other.y)


def test_making_shapes_does_not_touch_the_global_generator():
    before = torch.get_rng_state()
    make(5)
    assert torch.equal(before, torch.get_rng_state())


def test_factors_do_not_depend_on_the_side_nor_images_on_how_many_follow():
    few = make(70)
    many = make(3000)
    large = make(70, side=64)
    assert (
        torch.equal(few.y, large.y)
        and large.image_shape == (64, 64)
        and large.x.shape == (70, 4096)
    )
    assert torch.equal(few.y, many.y[:70]) and torch.equal(few.x, many.x[:70])


def test_images_do_not_depend_on_the_number_of_threads():
    alone = make(2000, side=33).x
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(make(2000, side=33).x, alone)
    finally:
        torch.set_num_threads(threads)


def test_factors_fill_their_ranges_independently():
    y = make(5000).y
    low, high = torch.tensor([[0, 0.5, 0, 0.25, 0.25], [2, 1, 2 * math.pi, 0.75, 0.75]])
    assert y.shape == (5000, len(PARAMETERS)) == (5000, 5) and y.dtype == torch.float32
    assert (y >= low).all() and (y <= high).all()
    assert ((y.amax(0) - y.amin(0)) / (high - low)).min() > 0.99
    share = torch.bincount(y[:, 0].long()) / 5000
    assert (
        share.numel() == 3 and (share - 1 / 3).abs().max() < 0.034
    )  # standard error 0.0067, so five of them
    correlation = torch.corrcoef(y.T) - torch.eye(5)
    assert correlation.abs().max() < 0.07  # standard error 0.014


def test_load_gives_5000_and_1000_shapes_that_differ():
    train = gfe.data.load("shapes")
    test = gfe.data.load("shapes", "test")
    assert (train.x.shape, test.x.shape) == ((5000, 1024), (1000, 1024))
    assert (train.y.shape, train.name, train.split, test.split) == (
        (5000, 5),
        "shapes",
        "train",
        "test",
    )
    assert train.image_shape == (32, 32) and torch.equal(train.x, make(5000, seed=0).x)
    assert torch.equal(test.x, make(1000, seed=1).x) and not torch.equal(train.y[:1000], test.y)


@pytest.mark.parametrize("side", [32, 64])
def test_ten_thousand_images_take_less_than_a_second_of_one_core(side: int):
    def seconds() -> float:
        start = time.process_time()
        make(10_000, side=side)
        return time.process_time() - start

    assert torch.get_num_threads() == 1
    assert (
        min(seconds() for _ in range(3)) < 1
    )  # about 0.3 s of 64 pixels and 0.1 s of 32, where nothing else runs


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"n": 0}, "`n` must be at least 1, got 0"),
        ({"n": 5, "side": 7}, "`side` must be at least 8 pixels, got 7"),
    ],
)
def test_make_refuses_bad_arguments_by_name(arguments: dict[str, Any], told: str):
    with pytest.raises(ValueError, match=told):
        make(**arguments)


def test_draw_refuses_rows_that_are_no_factors(unchecked: None):
    with pytest.raises(
        ValueError, match=r"`parameters` must have shape \(n, 5\), .*scale.*; got \(3, 4\)"
    ):
        draw(torch.zeros(3, 4), 32)
    with pytest.raises(ValueError, match=r"got \(5,\)"):
        draw(torch.zeros(5), 32)
    with pytest.raises(ValueError, match=r"`parameters\[:, 0\]`, must be 0, 1 or 2"):
        draw(torch.full((1, 5), 0.5), 32)


def test_colour_adds_two_factors_and_leaves_the_others_and_the_outline_as_they_are():
    grey, coloured = (make(50, side=16, seed=3, colour=colour) for colour in (False, True))
    assert coloured.image_shape == (3, 16, 16) and coloured.y.shape == (50, 7)
    assert torch.equal(coloured.y[:, :5], grey.y)
    red, green, blue = coloured.x.unflatten(1, (3, 256)).unbind(1)
    ground = coloured.y[:, 6:]
    outside = grey.x == 0
    for one in (red, green, blue):
        assert torch.equal(one[outside], ground.expand(-1, 256)[outside])
    inside = grey.x == 1
    sums = (red + green + blue)[inside]
    assert sums == pytest.approx(torch.full_like(sums, 1.5), abs=1e-5)


@pytest.mark.parametrize(
    ("hue", "colour"), [(0.0, (1, 0.25, 0.25)), (1 / 3, (0.25, 1, 0.25)), (0.5, (0, 0.75, 0.75))]
)
def test_hue_goes_from_red_over_green(hue: float, colour: tuple[float, ...]):
    painted = paint(torch.ones(1, 1), torch.tensor([[hue, 0.0]]))[0]
    assert painted.tolist() == pytest.approx(colour, abs=1e-6)


def test_paint_asks_for_a_hue_and_a_ground_for_each_image(unchecked: None):
    with pytest.raises(ValueError, match="`colours` must have shape"):
        paint(torch.ones(2, 4), torch.zeros(1, 2))
