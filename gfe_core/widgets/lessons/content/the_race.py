"""Questions and exercises of the notebook "Which solver finds the code first?"."""

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS: dict[str, Question] = {}

EXERCISES: dict[str, Exercise] = {}
