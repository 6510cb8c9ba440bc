"""Questions and exercises of the notebook "Which solver finds the code first?"."""

import torch

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "accuracy-or-speed": Question(
        text=(
            "RK4 follows the true flow far more accurately than Euler's rule. Both take "
            "nearly the longest stable step. Which of them needs less work to bring the energy "
            "down?"
        ),
        options={
            "RK4: the more accurate method wins": (
                "RK4 pays four gradients for each step. They make the path accurate, and nobody "
                "asked for the path: we only want to arrive."
            ),
            "Euler": "",
            "They need the same work: it is the same flow": (
                "The flow is the same, the price is not: RK4 pays four gradients for a step that "
                "is only 1.4 times as long."
            ),
        },
        answer="Euler",
        because=(
            "Stability limits both steps, to 2 / λ_max for Euler and 2.785 / λ_max for RK4, and "
            "RK4 pays four times as much for each. Accuracy along the way is paid for and not used."
        ),
    ),
    "stretched-latents": Question(
        text=(
            "A second decoder draws exactly the same digits, but its latents are stretched "
            "unevenly, so that the condition number is many times larger. Of these three, whose "
            "work changes least?"
        ),
        options={
            "AMD": (
                "AMD learns one curvature from its last step. It has one step length for all "
                "directions, and stretched latents need different ones."
            ),
            "Euler, with nearly the longest stable step": (
                "The steepest direction limits the step, and the flattest one then needs as many "
                "steps as the condition number says."
            ),
            "Gauss-Newton": "",
        },
        answer="Gauss-Newton",
        because=(
            "It computes the curvature in every direction and divides by it, so that stretched "
            "axes matter only through the damping."
        ),
    ),
}

EXERCISES = {
    "implicit_dt": Exercise(
        claim="implicit_dt is the flow time of a damped Gauss-Newton step",
        run=lambda dt: dt(torch.tensor([[4.0, 1.0], [1.0, 2.0]]), damping=0.1, rate=2.0),
        expected=5 / 3,
        hint="The number that is added to the diagonal of G is 1 / (rate dt).",
        mistakes={
            10 / 3: "The rate is missing: the number added to the diagonal is 1 / (rate dt).",
            5.0: "The damping counts in units of the mean of G's diagonal, which is 3 here.",
            0.6: "This is 1 / dt: turn it upside down.",
            20 / 3: "The rate is on the wrong side: the number added is 1 / (rate dt).",
            2.5: "This has the mean of all entries of G, where the mean of its diagonal belongs.",
            5 / 6: "This has the sum of the diagonal, where its mean belongs.",
            1 / 6: "The damping is missing: it multiplies the mean of the diagonal.",
            1 / 3: "Damping and rate are missing: the mean of the diagonal is only the unit.",
            0.3: "This number is added to the diagonal: it is 1 / (rate dt). Solve it for dt.",
        },
    ),
}
