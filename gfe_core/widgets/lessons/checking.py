"""`check`: compare a reader's value with the expected one, in one line.

The line names common mistakes; nothing that a reader writes ends in a traceback.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from gfe_core.arguments import in_own_words
from gfe_core.widgets.lessons.content import EXERCISES
from gfe_core.widgets.lessons.kinds import Exercise

_FEW = 8  # largest number of values that a line lists
_NOT_GIVEN: Any = object()


@in_own_words
def check(
    name: str,
    value: Any,
    *,
    expected: Any = _NOT_GIVEN,
    atol: float = 1e-6,
    hint: str = "",
    misconceptions: Mapping[Any, str] | None = None,
) -> None:
    """Print one line that compares a reader's value with the expected one; never a traceback.

    Args:
        name: name of an exercise of the kit, or a claim. An exercise of the kit holds what it
            expects: `value` is the function that the reader wrote, and no other argument is given.
            For an exercise of your own, pass a claim that is true where the check succeeds.
        value: value that the reader made; None or `...` while it is still missing.
        expected: expected value: a number, bool, string, shape, list, array or tensor.
        atol: largest difference that counts as equal, in the unit of the value.
        hint: sentence that helps the reader.
        misconceptions: known wrong values, or predicates of the value, each with the sentence that
            replaces the hint.

    Raises:
        ValueError: `expected` has another type, or it is missing and `name` is no exercise of the
            kit.

    Example:
        >>> check("two steps", 2, expected=2, hint="Count them.")
        True: two steps
        >>> mistakes = {3: "The start is not a step."}
        >>> check("two steps", 3, expected=2, hint="Count them.", misconceptions=mistakes)
        False: expected 2, got 3. The start is not a step.
        >>> check("my_energy", lambda y, x: ...)
        Not yet: my_energy is the mean cross-entropy over pixels. The value is still `...`.
    """
    if expected is not _NOT_GIVEN:
        own = Exercise(
            claim=name,
            run=lambda made: made,
            expected=expected,
            hint=hint,
            atol=atol,
            mistakes=misconceptions or {},
        )
        sys.stdout.write(_line(own, value) + "\n")
        return
    if name not in EXERCISES:
        raise ValueError(
            f"`expected` is missing, and {name!r} is no exercise of the kit. Pass `expected`, "
            f"or use one of {', '.join(EXERCISES)}."
        )
    sys.stdout.write(_answer(EXERCISES[name], name, value) + "\n")


def _answer(exercise: Exercise, name: str, written: Any) -> str:
    """Run the reader's function and compare its value; report an error that it raises."""
    if not callable(written):
        return f"Not yet: {exercise.claim}. `{name}` is not a function."
    try:
        value = exercise.run(written)
    except Exception as error:  # a reader may write anything
        reason = " ".join(str(error).split())
        return f"False: {name} raised {type(error).__name__}: {reason}. {exercise.hint}"
    return _line(exercise, value)


def _line(exercise: Exercise, value: Any) -> str:
    """Compare a value with what is expected."""
    if _numbers(exercise.expected) is None and not isinstance(exercise.expected, str):
        raise ValueError(
            f"`expected` must be numbers, bools or a string, got {_text(exercise.expected)}."
        )
    if value is None or value is ...:
        shown = "..." if value is ... else value
        return f"Not yet: {exercise.claim}. The value is still `{shown}`."
    if _same(value, exercise.expected, exercise.atol):
        return f"True: {exercise.claim}"
    named = [
        sentence
        for wrong, sentence in exercise.mistakes.items()
        if _matches(value, wrong, exercise.atol)
    ]
    advice = named[0] if named else exercise.hint
    return f"False: {_difference(value, exercise.expected)}. {advice}".rstrip()


def _numbers(value: Any) -> np.ndarray | None:
    """Return numbers as float64, truth values as bool, and None for everything else."""
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
    """Write both values, with enough digits to tell them apart."""
    pairs = [(_text(expected, digits), _text(value, digits)) for digits in (4, 8, 17)]
    wanted, got = next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])
    return f"expected {wanted}, got {got}"


def _text(value: Any, digits: int = 4) -> str:
    numbers = _numbers(value)
    if numbers is None:
        return (
            f"the string {value[:60]!r}"
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
