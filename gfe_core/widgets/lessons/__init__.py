"""Lessons: `predict` asks before it shows, `check` compares a reader's value with the right one.

A saved notebook holds the same output whatever the reader does: a prediction hides its answer in
`<details>`, a check prints one rounded line.
"""

from gfe_core.widgets.lessons.checking import check
from gfe_core.widgets.lessons.kinds import Exercise, Question
from gfe_core.widgets.lessons.prediction import Prediction, predict

__all__ = ["Exercise", "Prediction", "Question", "check", "predict"]
