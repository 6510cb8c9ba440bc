"""Questions and exercises of the notebook "What does momentum buy?"."""

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "two-clocks": Question(
        text=(
            "Multiply the energy by 100. How much sooner does the flow with momentum reach the "
            "same point of its path?"
        ),
        options={
            "100 times sooner": (
                "That is right for the flow without momentum, whose velocity is the gradient. "
                "With momentum the gradient is an acceleration."
            ),
            "10 times sooner": "",
            "At the same time": (
                "The path is the same, but a steeper energy pulls harder, so it is run faster."
            ),
        },
        answer="10 times sooner",
        because=(
            "The gradient is an acceleration, distance over time squared: 100 times the gradient "
            "makes every time 10 times shorter. Without momentum it is a velocity, and every time "
            "becomes 100 times shorter. So being ahead at equal t means nothing."
        ),
    ),
    "half-the-step": Question(
        text=(
            "A ball rolls in a bowl, computed with explicit Euler steps. The steps are too long, "
            "and the energy grows without end. Now halve the step. What happens?"
        ),
        options={
            "It is stable: half the step is short enough": (
                "So it is without momentum. With momentum, no explicit step is short enough for "
                "all times."
            ),
            "It blows up as well, but later": "",
            "It blows up as well, at the same time": (
                "A shorter step does help: friction outweighs what such a step adds for a longer "
                "time."
            ),
        },
        answer="It blows up as well, but later",
        because=(
            "An explicit step adds a little energy to a swing, and friction removes some. Friction "
            "fades like 1 / t, so that sooner or later it removes less than the step adds."
        ),
    ),
    "momentum-on-top-of-amd": Question(
        text=(
            "AMD chooses each step by the curvature that it has just met. Does momentum on top of "
            "it save work on these digits?"
        ),
        options={
            "Yes: momentum makes every method faster": (
                "Momentum is fast along flat directions. AMD's long steps are fast there, too, and "
                "the same speed cannot be gained twice."
            ),
            "No: it costs work": "",
            "It makes no difference": (
                "The steps are different ones, and an accelerated step costs three "
                "forward-equivalents, where AMD's costs two. In both a refused trial costs one "
                "more."
            ),
        },
        answer="No: it costs work",
        because=(
            "Probably some of AMD's steps are already long enough for flat directions, which is "
            "what momentum is for. An accelerated step tests the energy at one point and takes its "
            "gradient at another, which costs three forward-equivalents in place of two."
        ),
    ),
}

EXERCISES = {
    "first_restart": Exercise(
        claim="first_restart is the time at which the ball passes the bottom",
        run=lambda time: time(9.0),
        expected=1.2772,
        atol=0.01,
        hint="The solution stands above. Find the first s > 0 with torch.special.bessel_j1(s) = 0.",
        mistakes={
            0.0: "J1(s) is 0 at s = 0, but J1(s) / s is not. The next zero is asked for.",
            0.8016: "This is the first zero of J0. The solution has J1.",
            3.8317: "This is s = sqrt(curvature) * t at the first zero. Solve it for t.",
            11.4951: "The root belongs in the denominator: a steeper bowl is passed sooner.",
            0.4257: "This divides by the curvature: the clock of momentum runs with its root.",
            0.5236: "This is a quarter of a swing without friction. Friction delays the ball.",
            1.7119: "This is the first minimum of the solution: the far end of the overshoot.",
        },
    ),
}
