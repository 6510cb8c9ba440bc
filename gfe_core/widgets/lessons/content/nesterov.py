"""Questions and exercises of the notebook "What does momentum buy?"."""

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS: dict[str, Question] = {}

EXERCISES: dict[str, Exercise] = {}
