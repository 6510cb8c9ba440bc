"""`python -m gfe_core handouts`: notebooks to give to a class, and a key for whoever teaches it."""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gfe_core import checks
from gfe_core.cli.command import Command
from gfe_core.data.files import write_text
from gfe_core.data.places import shipped

KEY = "key.md"
"""Name of the file with the answers."""


@dataclass(frozen=True, kw_only=True)
class Handouts(Command):
    """Write copies of the notebooks without solutions, and a key.

    The copies have no outputs either, since those tell the answers: a class runs them. The key
    holds every question with its answer and its reason, and one solution of every exercise.

    Args:
        to: folder of the copies and of the key. A folder that holds other notebooks of these names
            is refused.
    """

    to: Path = Path("handouts")

    def run(self) -> int:
        """Write the copies and the key, and say where."""
        paths = sorted(shipped("notebooks").glob("*.ipynb"))
        _check_folder(self.to, paths)
        sections = []
        for path in paths:
            notebook = json.loads(path.read_text(encoding="utf-8"))
            sections.append(answers(path.stem, notebook))
            copy = json.dumps(without_answers(notebook), indent=1, ensure_ascii=False)
            write_text(self.to / path.name, copy + "\n")
        write_text(self.to / KEY, "# Key\n\n" + "\n".join(sections))
        print(f"{len(paths)} notebooks without solutions, and {KEY}, are in {self.to}.")
        return 0


def without_answers(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook without the cells of its solution, and without outputs."""
    cells = [_unrun(cell) for cell in notebook["cells"] if not _is_tagged(cell, "solution")]
    return notebook | {"cells": cells}


def answers(name: str, notebook: dict[str, Any]) -> str:
    """Return what a notebook asks, with the answers, as Markdown.

    Args:
        name: of the notebook.
        notebook: as it is saved.
    """
    lines = [f"## {name}", ""]
    for question, answer, because in _questions(notebook):
        lines += [f"- **{question}** {answer}. {because}", ""]
    solution = [
        _source(cell)
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and _is_tagged(cell, "solution")
    ]
    return "\n".join(
        [*lines, "One solution of the exercise:", "", "```python", *solution, "```", ""]
    )


def _questions(notebook: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Question, answer and reason of every call of `widgets.predict`, in their order."""
    from gfe_core.widgets.lessons.content import QUESTIONS

    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        for call in ast.walk(ast.parse(_source(cell))):
            if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "widgets.predict"):
                continue
            question = ast.literal_eval(call.args[0])
            if question in QUESTIONS:
                known = QUESTIONS[question]
                yield known.text, known.answer, known.because
            else:
                said = {word.arg: word.value for word in call.keywords}
                answer, because = (ast.literal_eval(said[word]) for word in ("answer", "because"))
                yield question, answer, because


def _check_folder(to: Path, paths: list[Path]) -> None:
    """Refuse a folder whose notebooks are no handouts, such as that of the originals."""
    taken = [path.name for path in paths if (to / path.name).exists()]
    ours = not taken or (to / KEY).exists()
    checks.require(
        ours,
        f"`to` is {to}, which holds {', '.join(taken[:2])} and no {KEY}: these are no handouts, "
        "and would be written over. Name another folder.",
    )


def _unrun(cell: dict[str, Any]) -> dict[str, Any]:
    return cell | {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell


def _is_tagged(cell: dict[str, Any], tag: str) -> bool:
    return tag in cell["metadata"].get("tags", ())


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])
