"""Questions and exercises of the notebook "An image finds its own code"."""

from collections.abc import Callable
from typing import Any

import torch

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "picture-at-the-origin": Question(
        text="Every image starts at the same code, z = 0. What does the decoder draw there?",
        options={
            "The image itself, a little blurred": (
                "The decoder never sees the image. It sees only the code, and the code is 0."
            ),
            "The same picture for every image": "",
            "A different random picture each time": (
                "Nothing in the decoder is random: the same code always gives the same picture."
            ),
        },
        answer="The same picture for every image",
        because=(
            "The decoder sees only the code, and the code is 0 for all images. The image enters "
            "through the energy: its gradient at 0 points in a different direction for each image."
        ),
    ),
}


def _two_images(energy: Callable[..., Any]) -> Any:
    """Call the reader's function with two images of three pixels."""
    y = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
    return energy(y, torch.tensor([[0.25, 0.75, 0.5], [1.0, 0.5, 0.0]]))


EXERCISES = {
    "my_energy": Exercise(
        claim="my_energy is the mean cross-entropy over pixels",
        run=_two_images,
        expected=[1.1381, 0.8517],
        atol=1e-3,
        hint="F.softplus(y) is log(1 + exp(y)). Average over the pixels, which are axis 1.",
        mistakes={
            (3.4143, 2.5550): (
                "This is the sum over pixels. The kit's energy is per pixel: take the mean."
            ),
            (0.9714, 0.6850): "The image x is missing: it multiplies the logit in the second term.",
            (0.7824, 0.7044): "This has sigmoid(y) where the formula has the logit y itself.",
            (0.6103, 1.0262): "The second term takes the logit y itself, not its sigmoid.",
            (0.4714, 1.8517): "The sign of the second term is wrong: x y is subtracted.",
            (0.8782, 1.5878, 0.5187): "This averages over the images. The pixels are axis 1.",
            0.9949: "This is one number for the whole batch. Average over axis 1 only.",
        },
    ),
}
