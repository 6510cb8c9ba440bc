"""Questions and exercises of the notebook "Can one step be enough?"."""

from collections.abc import Callable
from typing import Any

import torch

from gfe_core.decoders import LinearDecoder
from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "flow-decoder-in-one-step": Question(
        text=(
            "This decoder was trained with the codes of the flow, which chooses the length of its "
            "steps. Now its codes are found by a single step of the length that the other decoders "
            "learned with. What does it draw?"
        ),
        options={
            "Nearly what it draws at the end of the flow": (
                "That holds for the decoder that learned with one step. This one never met a step "
                "of that length while it learned."
            ),
            "A blur, like the mean of all images": (
                "It would draw a blur if the step were too short and the code stayed near the "
                "origin. The opposite happens."
            ),
            "Something far worse than the mean of all images": "",
        },
        answer="Something far worse than the mean of all images",
        because=(
            "The flow shortens its steps where the valley is steep, so nothing kept this decoder "
            "from becoming steep. A step of fixed length leaps across its valley and ends far up "
            "the other side."
        ),
    ),
    "mean-inside": Question(
        text=(
            "In the step, the energy is averaged over the batch instead of summed. An image is "
            "encoded alone, and then in a batch of 64 images. What happens to its code?"
        ),
        options={
            "Nothing: a mean only scales the loss": (
                "Outside the step it does. Inside, the code is minus the gradient, so what scales "
                "the loss scales the code."
            ),
            "In the batch it is 64 times shorter": "",
            "In the batch it moves towards the other codes": (
                "Each term of the mean depends on one image only. So the direction of the code "
                "stays, and only its length changes."
            ),
        },
        answer="In the batch it is 64 times shorter",
        because=(
            "The mean divides every gradient by the number of images, and here the gradient is the "
            "code. The last batch of an epoch, which may be smaller, has longer codes, and a "
            "single test image has the longest."
        ),
    ),
    "without-second-derivatives": Question(
        text=(
            "With ReLU in place of ELU, the second derivatives of the decoder in z are zero. "
            "Training through the step needs derivatives of a gradient. What does a decoder with "
            "ReLU learn through one step?"
        ),
        options={
            "Nothing: there is nothing to differentiate": (
                "The step is a gradient in z, but it is differentiated in the weights. With ReLU "
                "these mixed derivatives do not vanish."
            ),
            "Only the mean of all images: each image gets the same code": (
                "The codes differ: the slope in z at the origin is not zero, and it depends on the "
                "image."
            ),
            "To draw images, as with ELU, if perhaps not as well": "",
        },
        answer="To draw images, as with ELU, if perhaps not as well",
        because=(
            "The gradient in z contains the weights, so it can be differentiated in them even "
            "where the decoder is piecewise linear in z. What is lost is only how the activations "
            "themselves bend."
        ),
    ),
}


def _two_images(code_from: Callable[..., Any]) -> Any:
    """Call the reader's function with two images of four pixels, the second of them hidden."""
    decoder = LinearDecoder(latent_dim=1, data_dim=4)
    weight, bias = torch.tensor([[2.0], [1.0], [1.0], [1.0]]), torch.ones(4)
    decoder.load_state_dict({"linear.weight": weight, "linear.bias": bias})
    x = torch.tensor([[3.0, 5.0, 2.0, 3.0], [2.0, 9.0, 1.0, 2.0]])
    return code_from(decoder, x, seen=torch.tensor([True, False, True, True]), dt=0.5)


EXERCISES = {
    "code_from": Exercise(
        claim="code_from takes one step on the seen pixels only",
        run=_two_images,
        expected=[[7.0], [3.0]],
        atol=1e-4,
        hint=(
            "Sum the squared errors of the seen pixels at z = 0, over pixels and images; the code "
            "is minus dt times the gradient in z."
        ),
        mistakes={
            ((11.0,), (11.0,)): "This step has seen every pixel: leave out those that are hidden.",
            ((6.0,), (2.0,)): "Here a hidden pixel counts as black. Leave its term out of the sum.",
            ((4.0,), (8.0,)): "This is the step on the hidden pixels: `seen` says where to look.",
            ((7 / 3,), (1.0,)): "Take the sum over the seen pixels, not their mean.",
            ((1.75,), (0.75,)): "Take the sum over the seen pixels, not the mean over all.",
            ((3.5,), (1.5,)): (
                "This is half of the step: sum over the images of the batch, and keep the 2 of "
                "the derivative of a square."
            ),
            ((-7.0,), (-3.0,)): "The sign is wrong: a step goes against the gradient.",
            ((14.0,), (6.0,)): "dt is missing: it multiplies the gradient.",
        },
    ),
}
