"""What a lesson asks: a question with its answers, an exercise with its mistakes.

Their texts stand in content/, so that the cell of a notebook gives nothing away.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of a notebook.

    Args:
        text: the question in plain words; `$...$` is mathematics.
        options: each answer that is offered -> what to say to those who choose it: which thought
            leads there, and where it goes wrong. Nothing for the right answer.
        answer: the right one of the options, word for word.
        because: why it is right, without trained or timed numbers.

    Raises:
        ValueError: there are fewer than two options, or the answer is none of them.
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
        claim: what is true of a right solution, as a sentence.
        run: calls what the reader wrote and returns the value to compare.
        expected: the value: a number, bool, text, shape, list, array or tensor.
        hint: a sentence that helps with any other value.
        atol: largest difference that counts as equal.
        mistakes: a known wrong value, or a predicate of the value -> the sentence that names the
            mistake, in place of the hint.
    """

    claim: str
    run: Callable[[Any], Any]
    expected: Any
    hint: str
    atol: float = 1e-6
    mistakes: Mapping[Any, str] = field(default_factory=dict)
