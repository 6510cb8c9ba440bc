"""Questions and exercises of the notebook "How many latent dimensions are needed?"."""

import math

import torch

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "looser-threshold": Question(
        text=(
            "The error of this run is near its threshold, and some gates are still open. Now the "
            "threshold is raised by 40 %, and training goes on. What do the gates do?"
        ),
        options={
            "Nothing: the bound was met before and still is": (
                "A bound that is met leaves error to spend. An open gate costs its price, and "
                "closing one now costs an error that is allowed."
            ),
            "Some close, until the error is near the new threshold": "",
            "All close: the price now counts more than the error": (
                "The weight of the error falls, but slowly, and it rises again as soon as the "
                "error is above the threshold. So the first gates have closed before others are "
                "drawn along."
            ),
        },
        answer="Some close, until the error is near the new threshold",
        because=(
            "The weight of the error shrinks while the error is below the threshold, so gates "
            "close, one after the other. When the error has reached the threshold the weight grows "
            "again, and the others stay."
        ),
    ),
    "multiplier-after-doubling": Question(
        text=(
            "At update 400 the threshold is doubled, so that the bound is met with room to spare. "
            "What does the multiplier do?"
        ),
        options={
            "Nothing, because the bound is met": (
                "A met bound would be left alone by a penalty that is zero below the threshold. "
                "This multiplier shrinks whenever the error is below it."
            ),
            "It shrinks to 0": (
                "While it shrinks the error grows. Before the multiplier reaches 0, the error is "
                "at the threshold."
            ),
            "It shrinks until the error has doubled": "",
        },
        answer="It shrinks until the error has doubled",
        because=(
            "It shrinks while the error is below the threshold. Then other aims win, until the "
            "error is at the threshold again: 4 / sqrt(4) = 2."
        ),
    ),
    "mean-over-pixels": Question(
        text=(
            "A published implementation averages the error over the pixels instead of summing it, "
            "and pays the same price for an open gate. What becomes of the gates?"
        ),
        options={
            "The same: error and threshold are both divided by the number of pixels": (
                "Error and threshold are, but the price is not. It now weighs as much more as "
                "there are pixels."
            ),
            "More stay open": (
                "That would need a larger error against the price. A mean makes it smaller."
            ),
            "Gates close that the sum would keep": "",
        },
        answer="Gates close that the sum would keep",
        because=(
            "A gate stays open where what it saves in error is worth more than its price. The mean "
            "divides the saving by the number of pixels and leaves the price as it is."
        ),
    ),
}

EXERCISES = {
    "price_gradient": Exercise(
        claim="price_gradient is the slope of the price in the log-odds",
        run=lambda slope: slope(torch.tensor([0.0, math.log(3)]), 16.0),
        expected=[4.0, 3.0],
        atol=1e-4,
        hint="With p = sigmoid(gamma), the derivative of p in gamma is p (1 - p).",
        mistakes={
            (8.0, 12.0): "This is the price itself. Its slope is asked for.",
            20.0: "This is the price of all gates together. The slope in each is asked for.",
            (16.0, 16.0): "This is the slope in the probability. Go on to the log-odds gamma.",
            (-4.0, -3.0): "The sign is wrong: the price rises with gamma.",
            (8.0, 4.0): "This is price (1 - p), the slope of the price of log p.",
            (0.25, 0.1875): "The price is missing: it multiplies the slope of the probability.",
            7.0: "This is the sum over the gates. Return one number for each gate.",
        },
    ),
}
