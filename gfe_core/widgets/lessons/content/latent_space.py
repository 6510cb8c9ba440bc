"""Questions of the notebook "What do the codes mean?"."""

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS = {
    "where-density-is-highest": Question(
        text=(
            "A decoder with one latent has learnt to draw points of a circle, most of which lie "
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
}

EXERCISES: dict[str, Exercise] = {}
