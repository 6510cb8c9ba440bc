"""Questions and exercises of the notebook "How do I use this on mine?"."""

import torch

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "a-line-in-a-gap": Question(
        text="The peak of a spectrum falls into a gap. What will the flow draw there?",
        options={
            "Nothing: a flat continuum": (
                "A flat piece would be drawn if the decoder drew each wavelength by itself. It has "
                "only eight numbers for all of them, and they are set by what was measured "
                "elsewhere."
            ),
            "The right line": (
                "Often, where a flank of the line was measured. Where nothing of it is left, its "
                "height cannot be known."
            ),
            "Some line, right or wrong: it cannot know": "",
        },
        answer="Some line, right or wrong: it cannot know",
        because=(
            "Only measured points pull at the code. Two blended lines leave a flank outside a gap, "
            "and that is often enough; where nothing of a line is left, its height is a guess. How "
            "sure one may be is the question of notebook 10."
        ),
    ),
    "fitted-and-hidden": Question(
        text=(
            "Two curves fall as latents are added: the energy of the numbers that a code was "
            "fitted to, and that of the hidden ones. How do they part?"
        ),
        options={
            "They stay together: both are energies of the same spectra": (
                "The same spectra, but a code has seen the fitted numbers, and is chosen to suit "
                "them, noise and errors of the decoder included."
            ),
            "The fitted one ends below the hidden one": "",
            "The hidden one ends below: it has fewer numbers": (
                "An energy is a mean over numbers; fewer of them make it less certain, not lower."
            ),
        },
        answer="The fitted one ends below the hidden one",
        because=(
            "Each latent is one more freedom to suit the numbers that the code is fitted to: their "
            "noise, and the errors that the decoder makes there. Hidden numbers have noise and "
            "errors of their own, which no code has seen."
        ),
    ),
}

_FLAT = torch.tensor([[0, 2, torch.nan, 1, 3], [1, 1, 5, 5, 3]])

EXERCISES = {
    "noise_variance": Exercise(
        claim="noise_variance is that of one number, gaps left out",
        run=lambda noise_variance: noise_variance(_FLAT),
        expected=7 / 3,
        atol=1e-4,
        hint="x.diff(dim=1) is NaN beside a gap; nanmean leaves those out.",
        mistakes={
            14 / 3: "A difference holds two errors: this is twice the variance of one.",
            (7 / 3) ** 0.5: "That is the standard deviation; Gaussian asks for its square.",
            13 / 4: "That is the variance of everything, signal included.",
        },
    ),
}
