"""Questions and exercises of the notebook "Do ordinary solvers choke, or is the flow slow?"."""

from collections.abc import Callable
from typing import Any

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "steps-that-bounce": Question(
        text=(
            "Now the steps become longer, $\\Delta t\\,\\lambda_{\\max} = 1.9$. What does the "
            "energy of this digit do?"
        ),
        options={
            "It rises: the steps are too long": (
                "Each step passes the minimum, but ends nearer to it."
            ),
            "It falls at every step": "",
            "It rises and falls in turn": (
                "The position changes sides in turn. The energy does not depend on the side, only "
                "on the distance."
            ),
        },
        answer="It falls at every step",
        because=(
            "A step multiplies the distance by 1 - 1.9 = -0.9. The sign changes, the size shrinks. "
            "Only beyond 2 does the size grow: at 2.1 the factor is -1.1."
        ),
    ),
    "longer-codes": Question(
        text=(
            "The decoder is changed so that codes are 3 times as long and give the same images. "
            "Which of these numbers changes?"
        ),
        options={
            "The condition number": (
                "It is a ratio of two curvatures. Both are divided by the same number."
            ),
            "The longest stable step": "",
            "None: the images are the same": (
                "The images and energies are the same. But a step is a length in latent space, and "
                "latent space has been stretched."
            ),
        },
        answer="The longest stable step",
        because=(
            "The new energy at c z is the old energy at z, with c = 3. So every second derivative "
            "is divided by c squared, and the longest stable step is 9 times as long. A raw dt "
            "does not say whether a step is long; dt times λ_max does. The condition number says "
            "how hard the problem is, and it has not changed."
        ),
    ),
    "smaller-tolerance": Question(
        text=(
            "Dopri5 follows a long flow with a tolerance, and then with one that is 1,000 times "
            "smaller. The error that it estimates grows like the fifth power of a step's length. "
            "How many more steps does it take?"
        ),
        options={
            "1,000 times as many": (
                "That would be right if the estimated error of a step grew like its length. It "
                "grows like the fifth power, so slightly shorter steps are far more accurate."
            ),
            "About 4 times as many": (
                "This is the fifth root of 1,000, and right where accuracy limits the step. Here "
                "something else does."
            ),
            "Hardly more": "",
        },
        answer="Hardly more",
        because=(
            "For most of the flow the code crawls along a flat direction, and long steps would "
            "follow it accurately. But along the steepest direction, where the code came to "
            "rest long ago, such steps would blow up. The step is limited by stability, whatever "
            "the tolerance. This is what stiff means."
        ),
    ),
    "grid-while-training": Question(
        text=(
            "While a decoder learns, its curvature grows. Now a fixed grid of RK4 steps finds the "
            "codes for training, with small updates of the weights. What happens when the "
            "curvature reaches the limit of the grid?"
        ),
        options={
            "The curvature passes the limit and training fails": (
                "Beyond the limit the codes are bad, and the loss is high. The next update lowers "
                "the loss, and with it the curvature."
            ),
            "The curvature stops near the limit": "",
            "Nothing: training does not see the grid": (
                "Training sees the codes that the grid finds. Beyond the limit these are bad."
            ),
        },
        answer="The curvature stops near the limit",
        because=(
            "Beyond the limit the codes are bad and the loss is high, so that updates lower the "
            "curvature again. So training keeps to what the grid can follow. With large updates "
            "training may break instead: the figures below show one case."
        ),
    ),
}


def _call(count: Callable[..., Any]) -> Any:
    """Call the reader's function for a flow of 20.5 steps by Euler or 14.7 by RK4, unrounded."""
    return count(t1=10.0, largest=4.1)


EXERCISES = {
    "fewest_gradients": Exercise(
        claim="fewest_gradients counts the gradients of Euler and RK4",
        run=_call,
        expected=[21, 60],
        hint="The number of steps is t1 * largest / h, rounded up: `math.ceil`.",
        mistakes={
            (21, 15): "These are steps. RK4 computes four gradients for each step.",
            (5, 16): "A step is h / largest long, not h.",
            (20, 56): "Fewer steps would be too long or stop too early: round up, not down.",
            (20, 60): "The nearest whole number may be too small: round up, always.",
            (21, 59): "There are only whole steps: round up before you multiply by four.",
            (41.0 / 2.0, 4 * 41.0 / 2.785): "There are only whole steps: round up.",
            (21, 84): "RK4 may take longer steps than Euler's rule: its h is 2.785.",
        },
    ),
}
