"""Questions and exercises of the notebook "What is the flow, and where does it end?"."""

import torch

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS: dict[str, Question] = {
    "two-starts-on-a-curve": Question(
        text=(
            "The curve is now a wave, and the data point lies between two of its arms. The flow "
            "starts once at z = -2 and once at z = 1. Where does it end?"
        ),
        options={
            "Both times at the nearest place of the curve": (
                "A flow does not compare places. It knows only the slope where it stands, and on "
                "the two sides of a ridge the slope points in opposite directions."
            ),
            "At two different places of the curve": "",
            "Between the arms, at the data point itself": (
                "D(z) lies on the curve for every code, and the data point does not. The energy "
                "falls until no neighbouring place of the curve is nearer; it does not fall to 0."
            ),
        },
        answer="At two different places of the curve",
        because=(
            "The energy has a ridge between the two starts, and a valley on either side. The flow "
            "goes downhill on the side where it starts, so one data point has two codes. The "
            "convention to start at z = 0 makes the code a function of the data point; it does not "
            "make it the best code."
        ),
    ),
    "steps-of-1.9": Question(
        text=(
            "Euler's rule takes steps of 1.9 / λ_max, where λ_max is the largest curvature. What "
            "does the energy do from step to step?"
        ),
        options={
            "It rises and falls, because the code jumps across the valley": (
                "The code does jump across the valley. But it lands a little lower on the other "
                "side each time."
            ),
            "It falls at every step, although the code jumps across the valley": "",
            "It falls at every step, because the code stays on one side of the valley": (
                "That is true only for steps shorter than 1 / λ_max. A longer step passes the "
                "lowest point."
            ),
        },
        answer="It falls at every step, although the code jumps across the valley",
        because=(
            "Along the steepest direction a step multiplies the distance from the minimum by "
            "1 - dt λ_max = -0.9: the sign changes, and the distance shrinks. Above dt λ_max = 2 "
            "the factor is below -1, and every step lands higher than the one before."
        ),
    ),
    "when-noise-arrives": Question(
        text=(
            "The flow follows the energy of a noisy digit. When is its reconstruction nearest to "
            "the clean digit?"
        ),
        options={
            "At the end, because the energy is lowest there": (
                "The energy compares with the noisy digit. Lower energy means closer to the noisy "
                "digit, and at some time that means to draw the noise."
            ),
            "Before the end": "",
            "At the start, because the origin has seen no noise": (
                "The origin draws the same picture for every image. It has no noise, but it is "
                "not this digit either."
            ),
        },
        answer="Before the end",
        because=(
            "Steep directions of the energy are followed first, and these are the directions in "
            "which digits differ. Flat directions come later, and they fit the noise: the energy "
            "still falls, but the distance to the clean digit grows. Stopping early "
            "keeps a small part of the noise out, as a penalty on the code would."
        ),
    ),
}

EXERCISES: dict[str, Exercise] = {
    "largest_step": Exercise(
        claim="largest_step is the stability limit of Euler's rule",
        # Neither square nor symmetric; W.T @ W = [[5, 3], [3, 10]] has eigenvalues 3.59 and 11.41.
        run=lambda largest_step: largest_step(torch.tensor([[2.0, 0.0], [1.0, 3.0], [0.0, 1.0]])),
        expected=0.1754,
        atol=1e-4,
        hint="torch.linalg.eigvalsh(W.T @ W) lists the curvatures in rising order.",
        mistakes={
            0.0877: (
                "This is half of the limit. A step of 1 / lambda_max lands on the minimum of the "
                "steepest direction, and steps up to twice as long still shrink the error. With "
                "the factor 1/2 in E, lambda_max is an eigenvalue of W.T @ W itself."
            ),
            0.3507: (
                "This is twice the limit. With the factor 1/2 in E, lambda_max is an eigenvalue of "
                "W.T @ W itself, not of half of it."
            ),
            0.5563: (
                "This uses the smallest curvature. The steepest direction becomes unstable first."
            ),
            0.5922: "This uses a singular value of W; the curvature is its square.",
            0.2961: "This is 1 over a singular value of W. The limit is 2 / lambda_max.",
            0.2: (
                "This uses the largest entry of W.T @ W. Its largest eigenvalue is larger still."
            ),
            0.1333: "This uses the sum of all curvatures. Only the largest one limits the step.",
            0.1538: (
                "This uses a sum over a row of W.T @ W, which is a bound on its eigenvalues. The "
                "largest eigenvalue itself is smaller."
            ),
        },
    ),
}
