"""Questions and exercises of the notebook "What is the flow, and where does it end?"."""

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS: dict[str, Question] = {}

EXERCISES: dict[str, Exercise] = {}
