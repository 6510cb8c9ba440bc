"""Questions and exercises of the notebook "What if the image is a function?"."""

from collections.abc import Callable
from typing import Any

import torch

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "between-the-pixels": Question(
        text=(
            "Two decoders learn the same pixels. One has a small $w_0$, the other a large one. "
            "No training image says anything about the places between pixels. What does the "
            "decoder with the large $w_0$ draw there?"
        ),
        options={
            "What the other one draws: the pixels decide": (
                "The pixels decide only at pixels. Between two of them every value is allowed."
            ),
            "Ripples": "",
            "Nothing: an even grey": (
                "A sum of sines is not constant between two points, unless it was trained to be."
            ),
        },
        answer="Ripples",
        because=(
            "A network of sines prefers slow waves when w0 is small and fast waves when it is "
            "large. This preference is its spectral bias. The pixels do not correct it, since "
            "none lies between."
        ),
    ),
    "a-quarter-of-the-places": Question(
        text=(
            "A decoder of MNIST learns from all 784 pixels of each image. Another one learns from "
            "a quarter of them, drawn again for each batch. Which has the lower error on test "
            "images?"
        ),
        options={
            "The one with all pixels, after equal updates and after equal times": (
                "After equal updates it has. But an update by a quarter of the pixels takes about "
                "a quarter of the time, so in the same time there are more of them."
            ),
            "The one with a quarter, after equal updates and after equal times": (
                "Each of its steps and updates knows less about the image. After equal updates "
                "that shows."
            ),
            "All pixels after equal updates; a quarter after equal times": "",
        },
        answer="All pixels after equal updates; a quarter after equal times",
        because=(
            "A quarter of the pixels gives a rougher gradient, at a code that is rougher, too. "
            "Early in training several rough updates lead further than one good one. The lead "
            "shrinks as training goes on."
        ),
    ),
    "a-code-from-a-tenth": Question(
        text="From a tenth of the pixels, which code draws the whole image best?",
        options={
            "That of one step: it cannot follow a few pixels too closely": (
                "The step is lengthened, as if the six pixels stood for all 64. So their accidents "
                "are enlarged too: the code ends farther from the origin than with all pixels."
            ),
            "That of the flow: it fits the pixels exactly": (
                "With fewer pixels than latents it fits them exactly, and many codes do. Nothing "
                "makes it choose one that draws a digit."
            ),
            "That of the flow with a prior": "",
        },
        answer="That of the flow with a prior",
        because=(
            "The few pixels leave most directions of latent space open. The prior closes them: it "
            "keeps the code where codes of digits lie."
        ),
    ),
}


def _call(turn: Callable[..., Any]) -> Any:
    """Call the reader's function with the places right of the middle and below it, 30 degrees."""
    return turn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor(torch.pi / 6))


EXERCISES = {
    "turn": Exercise(
        claim="turn returns for each place where it was before the image was turned",
        run=_call,
        expected=[[0.5, 0.8660], [0.8660, -0.5]],
        atol=1e-3,
        hint="After a quarter turn, the place (0, 1) shows what was at (1, 0).",
        mistakes={
            ((-0.5, 0.8660), (0.8660, 0.5)): "This turns the drawing clockwise.",
            ((0.8660, 0.5), (-0.5, 0.8660)): "The vertical coordinate comes first in a place.",
            ((0.8660, -0.5), (0.5, 0.8660)): (
                "The vertical coordinate comes first in a place, and the drawing turns clockwise."
            ),
            ((0.0, 1.0), (1.0, 0.0)): "These are the places themselves: nothing turns.",
        },
    ),
}
