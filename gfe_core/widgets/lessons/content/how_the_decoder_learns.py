"""Questions and exercises of the notebook "How is a decoder trained with no encoder?"."""

from collections.abc import Callable
from typing import Any

import torch

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS: dict[str, Question] = {
    "updates-per-encoding": Question(
        text=(
            "A batch is encoded, and then the decoder takes one update, or three updates, at these "
            "codes. Which learns more from the same number of encoded images?"
        ),
        options={
            "One update, because after it the codes are out of date": (
                "They are out of date, but only a little: one update moves a code by a small "
                "distance, and the gradient changes little with it."
            ),
            "Three updates": "",
            "Both learn the same, because they have seen the same images": (
                "The images are the same, but the decoder takes three times as many steps on them."
            ),
        },
        answer="Three updates",
        because=(
            "The codes go out of date slowly, so a second and a third update at the same codes "
            "still help. Very many would fit the decoder to codes that its images "
            "have left."
        ),
    ),
}


def _one_update(updated: Callable[..., Any]) -> Any:
    """Call the reader's function with two samples of three numbers and one latent."""
    W, z = torch.tensor([[1.0], [0.0], [0.0]]), torch.tensor([[1.0], [3.0]])
    return updated(W, z, x=torch.tensor([[2.0, 1.0, 0.0], [3.0, 2.0, -1.0]]), lr=0.1)


EXERCISES: dict[str, Exercise] = {
    "updated": Exercise(
        claim="updated takes one step at fixed codes",
        run=_one_update,
        expected=[[1.05], [0.35], [-0.15]],
        atol=1e-4,
        hint="The gradient in W is the mean over samples of (W z - x) z^T.",
        mistakes={
            ((1.1,), (0.7,), (-0.3,)): (
                "This step is twice too long: take the mean over the batch, not the sum, and keep "
                "the 1/2 of the energy."
            ),
            ((1 + 1 / 30,), (7 / 30,), (-0.1,)): (
                "F.mse_loss averages over all numbers. Here the energy of a sample is half of a "
                "sum; take the mean over samples only."
            ),
            ((1 + 1 / 60,), (7 / 60,), (-0.05,)): (
                "This is a third of the step: take the mean over samples only, not over the "
                "numbers of a sample."
            ),
            ((0.95,), (-0.35,), (0.15,)): "The sign is wrong: a step goes against the gradient.",
            ((1.5,), (3.5,), (-1.5,)): "The learning rate is missing: it multiplies the gradient.",
            ((-0.5,), (-3.5,), (1.5,)): "This is the gradient. Subtract lr times it from W.",
            ((1.0,), (0.0,), (0.0,)): "W has not changed: subtract lr times the gradient.",
        },
    ),
}
