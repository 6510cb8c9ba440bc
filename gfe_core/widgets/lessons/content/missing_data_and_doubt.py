"""Questions and exercises of the notebook "What can a flow do that an encoder cannot?"."""

from collections.abc import Callable
from typing import Any

import torch

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "zeros-for-missing": Question(
        text=(
            "The encoder that was trained on whole images gets images in which half of the pixels, "
            "chosen at random, are set to 0. How far do its codes move?"
        ),
        options={
            "Hardly at all: the other half says enough": (
                "The other half would say enough to someone who knows which pixels are missing. "
                "This encoder reads every 0 as black."
            ),
            "A good part of the way to the code of another image": "",
            "All the way: nothing is left of the image": (
                "Half of each stroke is still there, and the encoder reacts to it."
            ),
        },
        answer="A good part of the way to the code of another image",
        because=(
            "A missing pixel is unknown, and 0 is a value: black. The encoder has no input that "
            "means unknown. So it encodes another image, one with black holes in its strokes. "
            "Training with gaps helps, because then such images are familiar."
        ),
    ),
    "which-fills-the-left-half": Question(
        text=(
            "The left half of each digit is hidden. Which of these draws it best, by the energy of "
            "the hidden pixels?"
        ),
        options={
            "The autoencoder trained with pixels missing at random": (
                "It has met gaps, but of another kind: next to most of its missing pixels there "
                "was a pixel that it could see."
            ),
            "The autoencoder trained with left halves missing": "",
            "The flow's best code": (
                "Half a digit fits several digits. One code is sure of one of them, and pays for "
                "every pixel where it is wrong."
            ),
            "The mean of the flow's draws": (
                "It is better here than the flow's single best code, because a mean of draws "
                "spreads its bets. But the decoder of the flow has never practised on left halves."
            ),
        },
        answer="The autoencoder trained with left halves missing",
        because=(
            "It has learned from thousands of pairs which left half belongs to a right half. The "
            "flow's decoder was trained on whole images and is given the mask afterwards. That is "
            "its advantage where the gaps are not known in advance, and its price where they are."
        ),
    ),
    "region-of-80-percent": Question(
        text=(
            "Now the noise is so strong that no single pixel shows what the decoder has drawn. In "
            "how many of 100 cases does the 80 % region hold the true code?"
        ),
        options={
            "In about 80: that is what 80 % means": (
                "It would be so if the posterior were the Gaussian of the approximation. With "
                "much noise it is not."
            ),
            "In clearly fewer": "",
            "In clearly more: much noise makes the region wide": (
                "The region is wider than with little noise. It ought to be wider still."
            ),
        },
        answer="In clearly fewer",
        because=(
            "A Gaussian fits a valley near its bottom, where the valley is a parabola. With much "
            "noise the plausible codes reach to where it bends, and into other valleys, which the "
            "region around the heaviest one leaves out."
        ),
    ),
}


def _call(prior_energy: Callable[..., Any]) -> Any:
    """Call the reader's function with four codes, mean (1, 1) and correlated, and two to judge."""
    codes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [2.0, 2.0]])
    return prior_energy(codes, torch.tensor([[3.0, 1.0], [1.0, 2.0]]))


EXERCISES = {
    "prior_energy": Exercise(
        claim="prior_energy is that of the normal distribution fitted to the codes",
        run=_call,
        expected=[6.0, 0.75],
        atol=1e-3,
        hint="`codes.T.cov()` is the covariance of the codes. What is P?",
        mistakes={
            (4 / 3, 2 / 3): "This is the covariance in place of its inverse, P.",
            (12.0, 1.5): "The factor 1/2 is missing.",
            (9.75, 1.5): "Subtract the mean of the codes first.",
            (3.0, 0.375): "Latents that vary together count too: P is a whole matrix.",
            (2.0, 0.5): "Distances count in units of the spread of the codes: P is missing.",
            (8.0, 1.0): "`cov` divides by n - 1, as `var` does; here n stands in its place.",
            6.75: "One number for each row of z; this is the sum over the rows.",
        },
    ),
}
