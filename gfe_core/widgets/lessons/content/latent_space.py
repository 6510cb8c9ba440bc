"""Questions and exercises of the notebook "What do the codes mean?"."""

from collections.abc import Callable
from typing import Any

import torch

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "map-of-noise": Question(
        text=(
            "t-SNE maps 300 points of pure noise, drawn at random from a normal distribution "
            "in eight dimensions, as many as a code has. What does the map look like at "
            "perplexity 2?"
        ),
        options={
            "An even cloud, because there are no groups in noise": (
                "There are none in the noise. But a map of two dimensions cannot keep all "
                "distances of eight, and at perplexity 2 t-SNE keeps those to the two or three "
                "nearest points only."
            ),
            "Clumps and strings": "",
            "One dense heap in the middle": (
                "t-SNE pushes points apart that are not neighbours, so they do not fall together."
            ),
        },
        answer="Clumps and strings",
        because=(
            "At small perplexity t-SNE takes two or three neighbours of each point into account, "
            "and every point has some. It pulls them together whether or not they mean anything. "
            "So the map of the codes at perplexity 2 would be nearly as clumped if the codes meant "
            "nothing. Press noise and move the perplexity up: the clumps dissolve."
        ),
    ),
    "cost-of-an-overlay": Question(
        text=(
            "Two unseen digits of different classes are laid over each other, half and half. The "
            "decoder was trained on single digits. How large is the excess of such a picture?"
        ),
        options={
            "Several times that of a single unseen digit: it is no digit": (
                "The energy does not ask whether a picture is a digit. It asks how well the "
                "decoder can draw it, and two half-bright strokes can be drawn from parts that "
                "the decoder knows."
            ),
            "Less than twice that of a single unseen digit": "",
            "As large as that of a digit whose pixels are shuffled": (
                "Shuffled pixels have no strokes at all, and the decoder cannot draw them. An "
                "overlay is made of strokes."
            ),
        },
        answer="Less than twice that of a single unseen digit",
        because=(
            "The code is free to go where the decoder draws something in between. A low energy "
            "says that the decoder can draw a picture. It does not say that the picture is a digit."
        ),
    ),
    "where-density-is-highest": Question(
        text=(
            "A decoder with one latent has learned to draw points of a circle, most of which lie "
            "around its top. Now we say that codes are normal, N(0, 1). Where on the circle is "
            "the density highest?"
        ),
        options={
            "At the top, where most points lie": (
                "Nothing in the training has counted how many points share a place. The decoder "
                "was only asked to come near each of them."
            ),
            "Near the code 0, wherever the decoder draws it": "",
            "Nowhere: along a curve every place is as likely": (
                "That would need a decoder that stretches exactly as the prior thins out."
            ),
        },
        answer="Near the code 0, wherever the decoder draws it",
        because=(
            "The density comes from the prior and from how the decoder stretches it. The prior "
            "is highest at the code 0, and where that code is drawn was never asked. A density "
            "says something about data only if the prior was part of the training."
        ),
    ),
    "drawing-an-unseen-class": Question(
        text="A decoder has seen only the classes 0 to 4. What does it draw for images of 5 to 9?",
        options={
            "The nearest image that it has seen": (
                "The decoder holds no images. It can draw everything that its codes reach, and "
                "codes between and beyond those of the training images draw pictures that were in "
                "no training."
            ),
            "A blur, like the mean image": (
                "The mean image would be the answer at a code that says nothing. The flow goes on "
                "from there, as long as some stroke fits better."
            ),
            "Something in between: some strokes are right, others are missing": "",
        },
        answer="Something in between: some strokes are right, others are missing",
        because=(
            "The flow combines strokes of the classes that were seen, and for nearly every image "
            "it comes nearer than the nearest training image. Strokes that these classes do not "
            "have are left out, so that some drawings would be read as another digit."
        ),
    ),
    "best-for-the-neighbour": Question(
        text=(
            "An unseen image is given the class of its nearest neighbour among 1,000 labelled "
            "images. In which space are the fewest classes wrong?"
        ),
        options={
            "The eight numbers of the code": (
                "They were made to draw the image, and labels were never used. Eight numbers leave "
                "out much of what a neighbour in pixels still has."
            ),
            "Eight numbers by PCA": (
                "PCA too leaves out what its eight directions do not hold. It is the control with "
                "as many numbers."
            ),
            "All the pixels": "",
        },
        answer="All the pixels",
        because=(
            "With enough labelled images the pixels win: a code is a summary that was made to draw "
            "the image, not to name it. Whoever shows the accuracy of the codes alone leaves out a "
            "better control."
        ),
    ),
}

_Z = torch.tensor([[0.0], [1.0], [3.0], [7.0], [8.0]])
_Y = torch.tensor([0, 0, 1, 1, 1])


def _five_points(own_kind: Callable[..., Any]) -> Any:
    """Call the reader's function with five points on a line."""
    return own_kind(_Z.clone(), _Y.clone())


EXERCISES = {
    "own_kind": Exercise(
        claim="own_kind leaves each point out of its own neighbours",
        run=_five_points,
        expected=0.8,
        hint="torch.cdist gives all distances. What is the nearest point of a point to itself?",
        atol=1e-4,
        mistakes={
            1.0: (
                "Each point has named itself: its distance to itself is 0. Put infinity on the "
                "diagonal."
            ),
            0.2: "These are the farthest points: the nearest have the smallest distance.",
            4.0: "This is the number of points. Divide by all of them.",
            0.52: "This counts all pairs. Only the nearest other point of each counts.",
        },
    ),
}
