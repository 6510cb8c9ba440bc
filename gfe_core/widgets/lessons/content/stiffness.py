"""Questions and exercises of the notebook "Do ordinary solvers choke, or is the flow slow?"."""

from gfe_core.widgets.lessons.kinds import Exercise, Question

QUESTIONS: dict[str, Question] = {}

EXERCISES: dict[str, Exercise] = {}
