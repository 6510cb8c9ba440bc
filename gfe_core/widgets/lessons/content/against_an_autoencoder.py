"""Questions and exercises of the notebook "Does it learn from less, and why?"."""

from collections.abc import Callable
from typing import Any

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "deep-or-found": Question(
        text=(
            "Three decoders were trained on the same 150 images: that of the autoencoder, whose "
            "codes an encoder gives in one pass; that of the flow; and a linear one, whose codes "
            "the flow finds. Which order has the lowest excess on unseen images first?"
        ),
        options={
            "Flow, autoencoder, linear": (
                "A deep decoder can draw more than a linear one. But the encoder gives it codes of "
                "images that neither has seen, and a good decoder at a bad code draws badly."
            ),
            "Flow, linear, autoencoder": "",
            "Linear, flow, autoencoder": (
                "A linear decoder has little to learn, and learns it quickly. But digits are not "
                "sums of a few fixed pictures, and 150 images are enough to teach the deep decoder "
                "a little more than that."
            ),
        },
        answer="Flow, linear, autoencoder",
        because=(
            "After so few images the way to the code counts for more than the depth of the "
            "decoder: both decoders whose codes are found by the flow are ahead of the one whose "
            "codes are guessed."
        ),
    ),
    "decoder-or-code": Question(
        text=(
            "Now the flow finds codes for the decoder that the autoencoder trained. How much of "
            "the gap between autoencoder and flow does that close?"
        ),
        options={
            "Next to nothing: this decoder was trained with an encoder": (
                "The encoder's guesses are poor on unseen images. That does not make the decoder "
                "poor: it can draw them better at other codes."
            ),
            "More than half of it": "",
            "All of it: the two decoders are equally good": (
                "They are not. Where the flow finds the codes of both, the decoder that learned at "
                "the flow's codes is still ahead."
            ),
        },
        answer="More than half of it",
        because=(
            "What fails most on unseen images is the guess: the encoder has learned from 150 "
            "examples which code an image has, and the flow solves for the code of each new image. "
            "What remains of the gap is the decoder's."
        ),
    ),
    "share-of-the-code": Question(
        text=(
            "The paper's decoder, 480 images, trained for as long as that helps on other images. "
            "Again the flow finds codes for the autoencoder's decoder. How much of the gap between "
            "autoencoder and flow does that close?"
        ),
        options={
            "Nearly all of it": (
                "The decoder that learned at the flow's codes is better, even where the flow finds "
                "the codes of both."
            ),
            "About half": "",
            "Next to nothing: the decoder is what was trained badly": (
                "The decoder has a part in it, but the encoder's guesses are poor on unseen images "
                "here as well."
            ),
        },
        answer="About half",
        because=(
            "Code and decoder have about equal shares here. The first is what the flow gains on "
            "one and the same decoder. The second is what a decoder gains that was trained at the "
            "flow's codes, and not at the guesses of an encoder."
        ),
    ),
    "lowest-per-second": Question(
        text=(
            "Each method passes once over all images of MNIST. Against the number of images, the "
            "flow has the lowest test energy throughout. Now draw the same runs against seconds of "
            "one processor core. Which is lowest after ten seconds?"
        ),
        options={
            "The flow": (
                "The flow learns most from an image, and it takes the longest over it: dozens of "
                "passes through a deep decoder."
            ),
            "The autoencoder": (
                "It is the fastest over an image, but after one look at each image its encoder is "
                "still poor."
            ),
            "The linear decoder, with codes by the flow (logistic PCA)": "",
        },
        answer="The linear decoder, with codes by the flow (logistic PCA)",
        because=(
            "A pass through a linear decoder costs little, so that the flow finds codes for many "
            "more images in the same time, and a linear decoder has little to learn. Later the "
            "deep decoder overtakes it: a linear one hardly gains any more, however many images "
            "it sees."
        ),
    ),
}


def _share(share_saved: Callable[..., Any]) -> Any:
    """Call the reader's function with two runs that were logged at different updates."""
    other_run = {
        "updates": [100, 200, 400],
        "seen": [0.36, 0.30, 0.22],
        "unseen": [0.40, 0.35, 0.30],
    }
    flow_run = {"updates": [100, 200], "seen": [0.27, 0.22], "unseen": [0.30, 0.26]}
    return share_saved(flow_run, other_run, floor=0.2)


EXERCISES = {
    "share_saved": Exercise(
        claim="share_saved compares excess on unseen images at equal updates",
        run=_share,
        expected=0.6,
        hint="Which entry of other_run has the updates of the flow's last one?",
        atol=1e-3,
        mistakes={
            0.4: "The other run had made twice the updates by then: compare at equal updates.",
            1 - 0.26 / 0.35: (
                "This is the share of the energy. No decoder can remove the floor: subtract it."
            ),
            0.8: "These are the images that both have trained on: compare unseen ones.",
            0.7: "The other run's first entry has half the updates: compare at equal updates.",
            1 - 0.26 / 0.30: "Subtract the floor, and compare at equal updates.",
            0.09: "This is the difference of the excesses: divide it by the other's excess.",
            1.5: "This is the difference divided by the flow's excess. Divide by the other's.",
            0.5: "These are the first entries: compare at the flow's last one.",
        },
    ),
}
