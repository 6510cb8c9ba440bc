"""A prediction keeps its answer until a guess is committed.

A check says one line about anything.
"""

import json
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch

from gfe_core.widgets.charts.figures import show_figure
from gfe_core.widgets.charts.plots import curves
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.lessons import Prediction, check, predict
from gfe_core.widgets.lessons.content import EXERCISES, QUESTIONS

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GFE_PREDICT", raising=False)


def ask(**changed: Any) -> Prediction:
    arguments: dict[str, Any] = {
        "answer": "down",
        "because": "It follows -grad E.",
        "name": "direction",
    } | changed
    return predict("Where does the code flow?", ["up", "down"], **arguments)


def sent(prediction: Prediction) -> str:
    """Everything that the browser is given, the options apart."""
    widgets = [child for child in prediction.widget.children if child is not prediction.choice]
    return json.dumps([widget.get_state() for widget in widgets], default=str)


# predict


def test_answer_stays_in_the_kernel_until_a_guess_is_committed():
    asked = ask(reveal=ipywidgets.HTML("the revealed picture"))
    assert asked.guess is None and asked.correct is None
    assert (
        "grad E" not in sent(asked) and "down" not in sent(asked) and "revealed" not in sent(asked)
    )
    asked.commit("down")
    assert "grad E" in sent(asked) and "down" in sent(asked) and "revealed" in sent(asked)


def test_verdict_says_right_or_not_and_always_why():
    right = ask(name="one")
    wrong = ask(name="two")
    right.commit("down")
    wrong.commit("up")
    assert (
        right.correct is True
        and "Right:" in right.verdict.value
        and "-grad E" in right.verdict.value
    )
    assert (
        wrong.correct is False
        and "Not this time" in wrong.verdict.value
        and "-grad E" in wrong.verdict.value
    )
    assert "Right" not in wrong.verdict.value


def test_button_waits_for_a_choice_and_commits_it():
    asked = ask()
    assert asked.choice.value is None and asked.button.disabled
    asked.button.click()
    assert asked.guess is None
    asked.choice.value = "up"
    assert not asked.button.disabled and asked.guess is None
    asked.button.click()
    assert asked.guess == "up" and asked.choice.disabled


def test_first_committed_guess_counts():
    asked = ask()
    asked.commit("up")
    asked.commit("down")
    assert asked.guess == "up" and asked.correct is False


def test_unattended_run_commits_the_first_option(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GFE_PREDICT", "commit")
    assert ask().guess == "up"
    monkeypatch.setenv("GFE_PREDICT", "ask")
    assert ask().guess is None


def test_saved_output_is_the_same_committed_or_not_and_hides_the_answer_in_details():
    before = ask()._repr_mimebundle_()
    asked = ask()
    asked.commit("up")
    after = asked._repr_mimebundle_()
    assert before.keys() == after.keys() == {"text/plain", "text/html", VIEW}
    assert before["text/plain"] == after["text/plain"] == "Prediction('direction')"
    assert before["text/html"] == after["text/html"]
    shown, hidden = before["text/html"].split("<details>")
    assert "grad E" not in shown and "<summary>" in hidden and "grad E" in hidden
    assert before[VIEW]["model_id"] not in before["text/html"]


def test_text_is_shown_as_text():
    asked = predict("Is a < b?", ["a<b", "b<a"], answer="a<b", because="1 < 2", name="order")
    asked.commit("a<b")
    assert (
        "a &lt; b" in asked._repr_mimebundle_()["text/html"] and "1 &lt; 2" in asked.verdict.value
    )


def test_asking_again_closes_the_earlier_question_of_the_same_name_only():
    first = ask()
    other = ask(name="another")
    ask()
    assert first.widget.comm is None and first.button.comm is None
    assert other.widget.comm is not None
    assert VIEW not in first._repr_mimebundle_()


def test_explorer_and_question_of_one_name_live_side_by_side():
    asked = ask(name="both")
    explorer = Explorer("both", ipywidgets.IntSlider(), "A slider.")
    assert asked.widget.comm is not None and explorer.widget.comm is not None


def test_figure_is_revealed_by_a_view_that_is_made_after_the_guess():
    shown = show_figure(
        curves({"a": ([0, 1], [2, 3])}, x_title="x", y_title="y"), "hidden", "A line."
    )
    asked = ask(reveal=shown)
    assert "widget" not in vars(shown), "the browser has nothing to give away"
    asked.commit("up")
    revealed: Any = asked.widget.children[-1]
    drawn = revealed.drawn()
    assert list(drawn.data[0].y) == [2, 3] and drawn.layout.xaxis.title.text == "x"
    asked.close()
    assert revealed.comm is None


def test_explorer_is_revealed_by_its_widget():
    explorer = Explorer("slider", ipywidgets.IntSlider(), "A slider.")
    asked = ask(reveal=explorer)
    assert explorer.widget not in asked.widget.children
    asked.commit("up")
    assert asked.widget.children[-1] is explorer.widget


@pytest.mark.parametrize(
    ("options", "answer", "told"),
    [
        (["yes"], "yes", "`options` must be at least two different answers"),
        (["yes", "yes"], "yes", "`options` must be at least two different answers"),
        (["yes", "no"], "Yes", r"`answer` must be one of the options \['yes', 'no'\], got 'Yes'"),
    ],
)
def test_question_that_cannot_be_answered_is_refused(options: list[str], answer: str, told: str):
    with pytest.raises(ValueError, match=told):
        predict("Well?", options, answer=answer, because="So it is.")


def test_guess_that_is_no_option_is_refused():
    with pytest.raises(ValueError, match="`guess` must be one of"):
        ask().commit("sideways")


# check


def told(capsys: pytest.CaptureFixture[str], value: Any, expected: Any, **more: Any) -> str:
    check("the claim", value, expected=expected, hint="A hint.", **more)
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and line.endswith("\n")
    return line.rstrip("\n")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (0.5 + 9e-7, 0.5),  # within the default tolerance of 1e-6
        (torch.tensor(0.5, requires_grad=True), 0.5),
        (np.float32(0.5), 0.5),
        (2, 2.0),
        (True, True),
        (torch.tensor(True), True),
        (torch.Size([64, 8]), (64, 8)),
        ([64, 8], (64, 8)),
        (torch.ones(3, 2, dtype=torch.bfloat16), np.ones((3, 2))),
        (float("nan"), float("nan")),
        (float("inf"), float("inf")),
        ("down", "down"),
    ],
)
def test_right_values_are_true_whatever_their_type(
    capsys: pytest.CaptureFixture[str], value: Any, expected: Any
):
    assert told(capsys, value, expected) == "True: the claim"


@pytest.mark.parametrize(("value", "shown"), [(..., "..."), (None, "None")])
def test_missing_value_is_not_called_false(
    capsys: pytest.CaptureFixture[str], value: Any, shown: str
):
    assert told(capsys, value, 2) == f"Not yet: the claim. The value is still `{shown}`."


@pytest.mark.parametrize(
    ("value", "expected", "line"),
    [
        (3, 2, "expected 2, got 3"),
        (0.123456, 0.5, "expected 0.5, got 0.1235"),
        (0.50001, 0.5, "expected 0.5, got 0.50001"),
        (0.5, True, "expected True, got 0.5"),
        (1, True, "expected True, got 1"),
        (True, 1, "expected 1, got True"),
        ((64,), (64, 8), "expected (64, 8), got (64,)"),
        (torch.zeros(3, 1), torch.zeros(3), "expected (0, 0, 0), got (0, 0, 0) in shape (3, 1)"),
        (torch.zeros(9, 9), 1.0, "expected 1, got shape (9, 9) with mean 0"),
        ([], 1.0, "expected 1, got nothing"),
        ("2", 2, "expected 2, got the string '2'"),
        (2, "two", "expected the string 'two', got 2"),
        (float("nan"), 2, "expected 2, got nan"),
        (1j, 2, "expected 2, got something of type complex"),
        ([[1], [2, 3]], 2, "expected 2, got something of type list"),
        (print, 2, "expected 2, got something of type builtin_function_or_method"),
        (torch.zeros(2, device="meta"), 2, "expected 2, got something of type Tensor"),
    ],
)
def test_wrong_values_are_explained_and_never_raise(
    capsys: pytest.CaptureFixture[str], value: Any, expected: Any, line: str
):
    assert told(capsys, value, expected) == f"False: {line}. A hint."


def test_tolerance_is_absolute(capsys: pytest.CaptureFixture[str]):
    assert told(capsys, 1000.5, 1000.0, atol=1).startswith("True")
    assert told(capsys, 1000.5, 1000.0, atol=0.4).startswith("False")


def test_known_mistakes_are_named_instead_of_the_hint(capsys: pytest.CaptureFixture[str]):
    known = {
        64: "That is the sum.",
        (lambda value: value < 0): "A step has a sign.",
        1 / 3: "Thirds.",
    }
    assert (
        told(capsys, 64.0, 1.0, misconceptions=known)
        == "False: expected 1, got 64. That is the sum."
    )
    assert told(capsys, -2, 1.0, misconceptions=known).endswith("A step has a sign.")
    assert told(capsys, 1 / 3, 1.0, misconceptions=known).endswith("Thirds.")
    assert told(capsys, 7, 1.0, misconceptions=known).endswith("A hint.")
    assert told(capsys, "seven", 1.0, misconceptions=known).endswith(
        "A hint."
    )  # the predicate raises on text


def test_check_that_expects_nothing_comparable_is_refused():
    with pytest.raises(ValueError, match="`expected` must be numbers, bools or a string"):
        check("the claim", 1, expected=None, hint="A hint.")


# the kit's own questions and exercises


def test_a_question_of_the_kit_is_asked_by_its_name_and_replies_to_each_answer():
    asked = predict("picture-at-the-origin")
    assert asked.answer not in asked.question
    asked.commit(asked.options[0])
    assert asked.correct is False
    assert "never sees the image" in asked.verdict.value and asked.answer in asked.verdict.value


def test_a_question_that_is_neither_known_nor_given_answers_is_refused_with_the_names():
    with pytest.raises(ValueError, match="`options` are missing.*picture-at-the-origin"):
        predict("a question of mine")


def test_what_a_function_reveals_is_made_only_after_the_guess():
    made = []
    asked = ask(reveal=lambda: made.append("shown") or ipywidgets.HTML("the revealed picture"))
    assert made == []
    asked.commit("up")
    assert made == ["shown"] and "the revealed picture" in sent(asked)


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_every_wrong_answer_has_a_reply_and_the_right_one_needs_none(name: str):
    asked = QUESTIONS[name]
    for option, reply in asked.options.items():
        assert bool(reply) == (option != asked.answer), option
    assert asked.because.endswith(".")


@pytest.mark.parametrize("name", sorted(EXERCISES))
def test_no_mistake_of_an_exercise_is_its_answer_and_each_is_named(
    name: str, capsys: pytest.CaptureFixture[str]
):
    exercise = EXERCISES[name]
    for wrong, sentence in exercise.mistakes.items():
        value = exercise.expected if callable(wrong) else wrong
        check(
            exercise.claim,
            value,
            expected=exercise.expected,
            atol=exercise.atol,
            misconceptions=exercise.mistakes,
        )
        line = capsys.readouterr().out
        assert line.startswith("True") if callable(wrong) else line.endswith(f"{sentence}\n")


def test_an_exercise_of_the_kit_runs_what_the_reader_wrote(capsys: pytest.CaptureFixture[str]):
    check("my_energy", lambda y, x: (torch.nn.functional.softplus(y) - x * y).mean(1))
    check("my_energy", lambda y, x: (torch.nn.functional.softplus(y) - x * y).sum(1))
    check("my_energy", lambda y, x: y.no_such_thing)
    check("my_energy", ...)
    right, wrong, broken, missing = capsys.readouterr().out.splitlines()
    assert right.startswith("True: ") and "sum over pixels" in wrong
    assert broken.startswith("False: my_energy raised AttributeError") and "softplus" in broken
    assert missing.startswith("Not yet: ")


def test_the_largest_step_is_not_confused_with_other_numbers_of_the_same_matrix(
    capsys: pytest.CaptureFixture[str],
):
    singular = torch.linalg.svdvals
    for wrong in (lambda W: 1 / singular(W)[0], lambda W: 2 / (W.T @ W).max()):
        check("largest_step", wrong)
        assert capsys.readouterr().out.startswith("False: ")
    check("largest_step", lambda W: 2 / singular(W)[0] ** 2)
    assert capsys.readouterr().out.startswith("True: ")


def test_a_check_without_an_expected_value_is_refused_with_the_names():
    with pytest.raises(ValueError, match="`expected` is missing.*my_energy"):
        check("a claim of mine", 1)
