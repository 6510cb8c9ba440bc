"""Lesson helpers.

`predict` asks before it shows, `check` compares what a reader made with what was expected.

A saved notebook holds the same output whatever the reader does: a prediction hides its answer in
`<details>`, a check prints one rounded line.
"""

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from ipywidgets import Button, DOMWidget, HTMLMath, Layout, RadioButtons, VBox
from torch import Tensor

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.widgets.kit.explorer import Explorer, live_view, show_only

Revealed = Explorer | DOMWidget | None

_ACCENT = "var(--jp-brand-color1, #1976d2)"
_RIGHT = "var(--jp-success-color1, #2e7d32)"
_TEXT = "margin: 4px 0; font-size: 14px; line-height: 1.5"
_STYLE = """<style>
.gfe-predict .widget-radio-box label {
  display: flex; height: auto; max-height: none; margin: 2px 0; font-size: 14px; line-height: 1.5;
  white-space: normal }
.gfe-predict .widget-radio-box input { flex: none; order: -1; margin: 0 8px 0 0 }
</style>"""
_FEW = 8  # numbers that fit into a line


class Prediction:
    """A question that hides its answer until a guess is committed.

    Made by `predict`, whose arguments it takes.

    `guess` is the committed option, None before; `correct` says whether it was right, None before.
    """

    def __init__(
        self,
        question: str,
        options: Sequence[str],
        answer: str,
        because: str,
        reveal: Revealed,
        name: str | None,
    ) -> None:
        for option in options:
            checks.text("options", option)
        if len(options) < 2 or len(set(options)) < len(options):
            raise ValueError(
                f"`options` must be at least two different answers, got {list(options)}."
            )
        if answer not in options:
            raise ValueError(
                f"`answer` must be one of the options {list(options)}, got {answer!r}."
            )
        self.question = question
        self.options = tuple(options)
        self.answer = answer
        self.because = because
        self.name = name or question
        self.guess: str | None = None
        self._lock = threading.Lock()
        self._reveal = reveal
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

        The first guess counts, another word is a ValueError.
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
        for widget in (*self.widget.children, self._reveal, self.widget):
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
        # still enabled, so that the focus of a keyboard is not lost; a second click does nothing
        self.button.description = "Committed"
        self.button.tooltip = "Run the cell again to guess again."
        opening = "Right:" if self.correct else "Not this time. The answer is:"
        colour = _RIGHT if self.correct else _ACCENT
        told = (
            f'<strong style="color: {colour}">{opening}</strong> '
            f"<strong>{escape(self.answer)}</strong>. "
        )
        self.verdict.value = _status(told + escape(self.because))
        if self._reveal is not None:
            revealed = self._reveal.widget if isinstance(self._reveal, Explorer) else self._reveal
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
    options: Sequence[str],
    *,
    answer: str,
    because: str,
    reveal: Revealed = None,
    name: str | None = None,
) -> Prediction:
    """Ask for a guess, and show the answer only after it.

    Run All leaves the answer hidden. The environment variable GFE_PREDICT=commit commits the first
    option at once.

    Args:
        question: plain text; `$...$` is mathematics.
        options: at least two different answers.
        answer: the right one, word for word.
        because: why it is right, without trained or timed numbers.
        reveal: shown below the explanation after the guess.
        name: of the question; asking again under the same name closes the earlier one. The question
            by default.

    Returns:
        The question, to be the last line of a cell.

    Raises:
        ValueError: fewer than two options, two equal ones, or an answer that is none of them.

    Example:
        >>> choices = ["yes", "no"]
        >>> asked = predict("Does the energy rise?", choices, answer="no", because="It flows down.")
        >>> asked.commit("no")
        >>> asked.correct
        True
    """
    return Prediction(question, options, answer, because, reveal, name)


def _status(text: str) -> str:
    """Text that a screen reader announces when it changes."""
    return f'<div role="status" style="{_TEXT}">{text}</div>'


@in_own_words
def check(
    name: str,
    value: Any,
    *,
    expected: Any,
    atol: float = 1e-6,
    hint: str,
    misconceptions: Mapping[Any, str] | None = None,
) -> None:
    """Print one line that compares what a reader made with what was expected; never a traceback.

    Args:
        name: what is checked, a claim that is true where the check succeeds.
        value: made by the reader; None or `...` where it is still missing.
        expected: a number, bool, text, shape, list, array or tensor.
        atol: largest difference that counts as equal, in the unit of the value.
        hint: a sentence that helps.
        misconceptions: known wrong values, or predicates of the value, each with the sentence that
            replaces the hint.

    Raises:
        ValueError: expected is something else.

    Example:
        >>> check("two steps", 2, expected=2, hint="Count them.")
        True: two steps
        >>> slips = {3: "The start is not a step."}
        >>> check("two steps", 3, expected=2, hint="Count them.", misconceptions=slips)
        False: expected 2, got 3. The start is not a step.
    """
    if _numbers(expected) is None and not isinstance(expected, str):
        raise ValueError(f"`expected` must be numbers, bools or text, got {_text(expected)}.")
    if value is None or value is ...:
        line = f"Not yet: {name}. The value is still `{'...' if value is ... else value}`."
    elif _same(value, expected, atol):
        line = f"True: {name}"
    else:
        known = (
            told for wrong, told in (misconceptions or {}).items() if _matches(value, wrong, atol)
        )
        line = f"False: {_difference(value, expected)}. {next(known, hint)}"
    sys.stdout.write(line + "\n")


def _numbers(value: Any) -> np.ndarray | None:
    """Numbers as float64, truth values as bool, None for everything else."""
    try:
        if isinstance(value, Tensor):
            value = value.detach().cpu()
            value = value.double() if value.is_floating_point() else value
        array = np.asarray(value)
    except Exception:  # a reader may pass anything
        return None
    if array.dtype.kind == "b":
        return array
    return array.astype(np.float64) if array.dtype.kind in "iuf" else None


def _same(value: Any, expected: Any, atol: float) -> bool:
    if isinstance(expected, str):
        return isinstance(value, str) and value == expected
    got = _numbers(value)
    wanted = _numbers(expected)
    if got is None or wanted is None or got.shape != wanted.shape or got.dtype != wanted.dtype:
        return False
    return bool(np.allclose(got, wanted, rtol=0, atol=atol, equal_nan=True))


def _matches(value: Any, wrong: Any | Callable[[Any], Any], atol: float) -> bool:
    if not callable(wrong):
        return _same(value, wrong, atol)
    try:
        return bool(wrong(value))
    except Exception:  # a predicate may not have expected this type or shape
        return False


def _difference(value: Any, expected: Any) -> str:
    """Both in words, with as many digits as tell them apart."""
    pairs = [(_text(expected, digits), _text(value, digits)) for digits in (4, 8, 17)]
    wanted, got = next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])
    return f"expected {wanted}, got {got}"


def _text(value: Any, digits: int = 4) -> str:
    numbers = _numbers(value)
    if numbers is None:
        return (
            f"the text {value[:60]!r}"
            if isinstance(value, str)
            else f"something of type {type(value).__name__}"
        )
    if numbers.size > _FEW:
        return f"shape {numbers.shape} with mean {numbers.mean():.{digits}g}"
    words = [
        str(number) if numbers.dtype == bool else f"{number:.{digits}g}"
        for number in numbers.ravel().tolist()
    ]
    listed = f"({', '.join(words)}{',' if len(words) == 1 else ''})"
    return (
        (words[0], listed, f"{listed} in shape {numbers.shape}")[min(numbers.ndim, 2)]
        if words
        else "nothing"
    )
