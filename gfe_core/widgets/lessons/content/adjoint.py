"""Questions and exercises of the notebook "Must we differentiate through the flow?"."""

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "another-loss-outside": Question(
        text=(
            "The flow still descends the cross-entropy, but now the decoder is trained for the "
            "squared error at the codes. Let the flow run longer and longer. What happens to the "
            "error of dropping?"
        ),
        options={
            "It falls to zero, as before": (
                "It fell to zero because the slope of the loss outside was zero at the code. At "
                "the minimum of the cross-entropy the squared error still has a slope."
            ),
            "It falls to zero, but more slowly": (
                "Time makes the slope of the cross-entropy small. It does nothing about the slope "
                "of the squared error at the same code."
            ),
            "It stops falling, far from zero": "",
        },
        answer="It stops falling, far from zero",
        because=(
            "What is dropped is the slope of the loss outside times the movement of the code. The "
            "flow drives only the slope of the loss inside to zero."
        ),
    ),
    "training-with-the-integral": Question(
        text=(
            "Two decoders start with equal weights and see the same images once, in the same "
            "order. The flow is stopped after 10 Euler steps. One of them drops the integral. "
            "Which has the lower energy on test images?"
        ),
        options={
            "The one that drops it: its gradient is simpler": (
                "A simpler gradient is cheaper, not better: with as many updates it has only left "
                "something out."
            ),
            "The one that keeps it": "",
            "They are equal: the integral is zero": (
                "The integral is zero where the flow has arrived. After 10 steps it has not."
            ),
        },
        answer="The one that keeps it",
        because=(
            "The flow is unfinished, so the slope at the code is not zero, and what is dropped is "
            "not small. The test encodes until the codes rest, so the gain is in the decoder. "
            "Whether it is worth its time is another question: look at the seconds in the table "
            "below."
        ),
    ),
}

EXERCISES = {
    "implicit_wins_from": Exercise(
        claim="implicit_wins_from is the s at which both errors are equal",
        run=lambda wins_from: wins_from(),
        expected=0.6931,
        atol=0.001,
        hint="Divide both errors by exp(-s): 1 - exp(-s) is left of one, exp(-s) of the other.",
        mistakes={
            0.5: "This is exp(-s) at the crossing. Take its logarithm, with a minus sign.",
            -0.6931: "The sign: exp(-s) = 1/2 gives s = -log(1/2), which is positive.",
            2.0: "This is exp(s) at the crossing. Take its logarithm.",
            0.3010: "This is the logarithm to base 10. The natural one is needed.",
            0.25: "This is the size of both errors at the crossing. The time s is asked for.",
            1.0: "At s = 1 the flow has gone 63 % of the way. The errors cross earlier.",
        },
    ),
}
