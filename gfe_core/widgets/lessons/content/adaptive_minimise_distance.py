"""Questions and exercises of the notebook "How does AMD choose its step?"."""

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS: dict[str, Question] = {
    "sigma-near-one": Question(
        text=(
            "σ is the share of the promised fall that a step must deliver. What does the test "
            "do with σ close to 1?"
        ),
        options={
            "It accepts only the best steps": (
                "The test compares with a promise along a straight line, not with other steps. "
                "Along the ray the energy bends up from that line, so that the best step delivers "
                "less than the promise."
            ),
            "It refuses good steps and accepts only very short ones": "",
            "Nothing changes, because σ is only a safeguard": (
                "That is true while σ is small. The share that a step delivers shrinks as the "
                "step grows, so a large σ limits the step."
            ),
        },
        answer="It refuses good steps and accepts only very short ones",
        because=(
            "The slope promises more than a finite step into a valley delivers. On a parabola the "
            "step to the lowest point delivers exactly half of the promise, so a σ above 1/2 "
            "refuses it."
        ),
    ),
    "one-step-for-the-batch": Question(
        text=(
            "A rule takes one step for a whole batch, and accepts it only if the energy of every "
            "sample falls enough. A digit is encoded alone, and then in a batch with 63 others. "
            "What changes for it?"
        ),
        options={
            "Nothing, because each digit has its own code": (
                "The codes are separate, but here the step is not: one sample can refuse it for "
                "all."
            ),
            "It needs more work, and after the same number of trials it has another code": "",
            "It needs less work, because bad steps average out over the batch": (
                "Nothing is averaged here. A step is accepted only if it suits every sample, so "
                "the batch is as slow as its most difficult sample."
            ),
        },
        answer="It needs more work, and after the same number of trials it has another code",
        because=(
            "The sample that needs the shortest step sets the step of all. The code of an image "
            "then depends on the images beside it."
        ),
    ),
}

EXERCISES: dict[str, Exercise] = {
    "refusals": Exercise(
        claim="refusals counts the trials that fail the test",
        run=lambda refusals: refusals(curvature=0.4, trial=15.0, beta=0.8, sigma=0.25),
        expected=7,
        hint="A step s passes while s times the curvature is at most 2 (1 - sigma).",
        mistakes={
            5: "A fall alone is not enough: the test demands the share sigma of the promised fall.",
            6: "The last of these trials still fails: n must be rounded up.",
            8: "This counts the accepted trial too. Only the refused ones are asked for.",
            9: "The test does not look for the lowest point. It takes the first trial that passes.",
            10: "The factor 2 is missing: a step s passes up to 2 (1 - sigma) over the curvature.",
            12: "The limit is 2 (1 - sigma), not 2 sigma.",
            11: "The curvature is missing: the limit is for s times the curvature.",
            15: "This divides by the curvature. The limit is for s times the curvature.",
            3: "The curvature counts once, not squared: the gradient's square is on both sides.",
            15.0 * 0.8**7: "This is the accepted step. Count the trials refused before it.",
        },
    ),
}
