"""The parts of a lesson: a question with its answers, and an exercise with its known mistakes.

Their texts are in content/, so that the cell of a notebook does not give the answer away.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of a notebook.

    Args:
        text: question in plain words; `$...$` is mathematics.
        options: offered answers, each with the reply to a reader who chooses it: which thought
            leads to this answer, and where the thought goes wrong. The right answer has an empty
            reply.
        answer: right option, word for word.
        because: reason why it is right, without numbers from training or timing.

    Raises:
        ValueError: there are fewer than two options, or the answer is not one of them.
    """

    text: str
    options: Mapping[str, str]
    answer: str
    because: str

    def __post_init__(self) -> None:
        if len(self.options) < 2:
            raise ValueError(
                f"`options` must be at least two different answers, got {list(self.options)}."
            )
        if self.answer not in self.options:
            raise ValueError(
                f"`answer` must be one of the options {list(self.options)}, got {self.answer!r}."
            )


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """An exercise of a notebook.

    Args:
        claim: sentence that is true of a right solution.
        run: function that calls the reader's function and returns the value to compare.
        expected: expected value: a number, bool, string, shape, list, array or tensor.
        hint: sentence that helps with any other value.
        atol: largest difference that counts as equal.
        mistakes: known wrong values, or predicates of the value, each with the sentence that names
            the mistake and replaces the hint.
    """

    claim: str
    run: Callable[[Any], Any]
    expected: Any
    hint: str
    atol: float = 1e-6
    mistakes: Mapping[Any, str] = field(default_factory=dict)
