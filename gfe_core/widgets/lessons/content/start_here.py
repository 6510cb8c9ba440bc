"""Questions and exercises of the notebook "An image finds its own code"."""

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

EXERCISES = {
    "my_energy": Exercise(
        claim="my_energy is the mean cross-entropy over pixels",
        run=lambda energy: energy(torch.tensor([[0.0, 2.0]]), torch.tensor([[0.5, 1.0]])),
        expected=[0.4100],
        atol=1e-3,
        hint="F.softplus(y) is log(1 + exp(y)). Average over the pixels, which are axis 1.",
        mistakes={
            (0.8201,): "This is the sum over pixels. The kit's energy is per pixel: take the mean.",
            (0.5354,): "This has sigmoid(y) where the formula has the logit y itself.",
            (0.8446,): "The second term takes the logit y itself, not its sigmoid.",
            0.4100: "This is one number for the whole batch. Average over axis 1 only.",
        },
    ),
}
