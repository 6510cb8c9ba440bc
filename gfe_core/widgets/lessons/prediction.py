"""`predict`: ask for a guess before the answer is shown.

The explanation stays in the kernel until the reader commits a guess. Run All leaves it hidden; the
environment variable GFE_PREDICT=commit commits the first option at once.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from ipywidgets import Button, DOMWidget, HTMLMath, Layout, RadioButtons, VBox

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.widgets.kit.explorer import Explorer, live_view, show_only
from gfe_core.widgets.lessons.content import QUESTIONS
from gfe_core.widgets.lessons.kinds import Question

Revealed = Explorer | DOMWidget | None
Reveal = Revealed | Callable[[], Revealed]

_ACCENT = "var(--jp-brand-color1, #1976d2)"
_RIGHT = "var(--jp-success-color1, #2e7d32)"
_TEXT = "margin: 4px 0; font-size: 14px; line-height: 1.5"
_STYLE = """<style>
.gfe-predict .widget-radio-box label {
  display: flex; height: auto; max-height: none; margin: 2px 0; font-size: 14px; line-height: 1.5;
  white-space: normal }
.gfe-predict .widget-radio-box input { flex: none; order: -1; margin: 0 8px 0 0 }
</style>"""


class Prediction:
    """A question that hides its answer until a guess is committed; made by `predict`.

    `guess` is the committed option, and `correct` says whether it is right; both are None before.
    `replies` holds the reply to each option. `shown` holds what is revealed; if a function makes
    it, `shown` is None before the guess.
    """

    def __init__(self, question: Question, reveal: Reveal, name: str) -> None:
        self.question = question.text
        self.options = tuple(question.options)
        self.answer = question.answer
        self.because = question.because
        self.replies = question.options
        self.name = name
        self.guess: str | None = None
        self._lock = threading.Lock()
        self._reveal = reveal
        self.shown = None if callable(reveal) else reveal
        self._build()
        show_only(self, self.name)
        if os.environ.get("GFE_PREDICT") == "commit":
            self.commit(self.options[0])

    @property
    def correct(self) -> bool | None:
        """Whether the committed guess is the answer; None while nothing is committed."""
        return None if self.guess is None else self.guess == self.answer

    def commit(self, guess: str) -> None:
        """Commit one of the options and show the answer.

        Only the first guess counts. Anything but an option raises a ValueError.
        """
        if guess not in self.options:
            raise ValueError(f"`guess` must be one of {list(self.options)}, got {guess!r}.")
        with self._lock:
            if self.guess is not None:
                return
            self.guess = guess
        self._show_answer(guess)

    def close(self) -> None:
        """Close the widgets and free what they hold in the browser."""
        for widget in (*self.widget.children, self.shown, self.widget):
            if widget is not None:
                widget.close()

    def __repr__(self) -> str:
        return f"Prediction({self.name!r})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": self._still()} | live_view(self.widget)

    def _build(self) -> None:
        question = HTMLMath(
            f'{_STYLE}<div style="{_TEXT}"><strong>Predict.</strong> {escape(self.question)}</div>'
        )
        self.choice = RadioButtons(
            options=self.options, value=None, layout=Layout(width="auto", margin="4px 0")
        )
        self.button = Button(
            description="Commit my guess", disabled=True, layout=Layout(width="160px")
        )
        self.button.tooltip = (
            "Choose an answer first: the explanation stays hidden until you commit."
        )
        self.verdict = HTMLMath(_status(""))
        self.choice.observe(self._on_choice, "value")
        self.button.on_click(self._on_click)
        frame = Layout(
            border_left=f"4px solid {_ACCENT}",
            padding="8px 16px",
            margin="8px 0",
            max_width="760px",
        )
        self.widget = VBox([question, self.choice, self.button, self.verdict], layout=frame)
        self.widget.add_class("gfe-predict")

    def _on_choice(self, _: Any) -> None:
        self.button.disabled = self.choice.value is None

    def _on_click(self, _: Button) -> None:
        if self.choice.value is not None:
            self.commit(self.choice.value)

    def _show_answer(self, guess: str) -> None:
        self.choice.value = guess
        self.choice.disabled = True
        # The button stays enabled so that it keeps the keyboard focus; a second click does nothing.
        self.button.description = "Committed"
        self.button.tooltip = "Run the cell again to guess again."
        if self.correct:
            opening = f'<strong style="color: {_RIGHT}">Right:</strong>'
        else:
            reply = escape(self.replies[guess])
            opening = (
                f'<strong style="color: {_ACCENT}">Not this time.</strong> {reply} The answer is:'
            )
        answer = f"<strong>{escape(self.answer)}</strong>"
        self.verdict.value = _status(f"{opening} {answer}. {escape(self.because)}")
        if callable(self._reveal):
            self.shown = self._reveal()
        if self.shown is not None:
            revealed = self.shown.widget if isinstance(self.shown, Explorer) else self.shown
            self.widget.children = (*self.widget.children, revealed)

    def _still(self) -> str:
        options = "".join(f"<li>{escape(option)}</li>" for option in self.options)
        return (
            f"<p><strong>Predict.</strong> {escape(self.question)}</p><ul>{options}</ul><details>"
            "<summary>Choose one, then open the answer</summary>"
            f"<p><strong>{escape(self.answer)}</strong>. {escape(self.because)}</p></details>"
        )


@in_own_words
def predict(
    question: str,
    options: Sequence[str] | Mapping[str, str] | None = None,
    *,
    answer: str = "",
    because: str = "",
    reveal: Reveal = None,
    name: str | None = None,
) -> Prediction:
    """Ask for a guess, and show the answer only after it.

    Run All leaves the answer hidden. The environment variable GFE_PREDICT=commit commits the first
    option at once.

    Args:
        question: name of a question of the kit, which has its options and its answer; or a question
            of your own in plain text, in which `$...$` is mathematics.
        options: options of a question of your own, at least two different answers; as a mapping,
            each with the reply to a reader who chooses it.
        answer: right option, word for word.
        because: reason why it is right, without numbers from training or timing.
        reveal: view shown below the explanation after the guess, or a function that is called only
            then and returns the view.
        name: name of the prediction, by default the question; a later prediction of the same name
            closes this one.

    Returns:
        The prediction, to be the last line of a cell.

    Raises:
        ValueError: there are fewer than two options, or two equal ones; the answer is not one of
            them; or there are no options and the question is not one of the kit.

    Example:
        >>> choices = ["yes", "no"]
        >>> asked = predict("Does the energy rise?", choices, answer="no", because="It flows down.")
        >>> asked.commit("no")
        >>> asked.correct
        True
        >>> predict("picture-at-the-origin").question
        'Every image starts at the same code, z = 0. What does the decoder draw there?'
    """
    checks.text("question", question)
    if options is not None:
        asked = Question(text=question, options=_replies(options), answer=answer, because=because)
    elif question in QUESTIONS:
        asked = QUESTIONS[question]
    else:
        raise ValueError(
            f"`options` are missing, and {question!r} is no question of the kit. Give the answers "
            f"to choose from, or use one of {', '.join(QUESTIONS)}."
        )
    return Prediction(asked, reveal, name or question)


def _replies(options: Sequence[str] | Mapping[str, str]) -> Mapping[str, str]:
    """Return the answers with the replies to them, after checking them."""
    for option in options:
        checks.text("options", option)
    if len(set(options)) < len(options):
        raise ValueError(f"`options` must be at least two different answers, got {list(options)}.")
    return options if isinstance(options, Mapping) else dict.fromkeys(options, "")


def _status(text: str) -> str:
    """Return text that a screen reader announces when it changes."""
    return f'<div role="status" style="{_TEXT}">{text}</div>'
