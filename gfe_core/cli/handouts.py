"""`python -m gfe_core handouts`: notebooks to give to a class, and a key for the teacher."""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gfe_core import checks
from gfe_core.cli.command import Command
from gfe_core.data.files import write_text
from gfe_core.data.places import shipped

KEY = "key.md"
"""Name of the file with the answers."""
LINKED = ("CLAIMS.md", "LICENSE")
"""Files that the notebooks link to, and their licence."""


@dataclass(frozen=True, kw_only=True)
class Handouts(Command):
    """Write copies of the notebooks without solutions, and a key.

    The copies have no outputs either, because outputs reveal the answers; students run the
    notebooks themselves. The key holds every question with its answer and its reason, and one
    solution of every exercise.

    Args:
        to: folder for the copies and the key. A folder that holds other files with their names is
            refused.
    """

    to: Path = Path("handouts")

    def run(self) -> int:
        """Write the copies and the key, and print their folder."""
        try:
            from gfe_core.widgets.lessons.content import QUESTIONS
        except ModuleNotFoundError as missing:
            raise RuntimeError(
                "The key holds the questions of the views, which are not installed: "
                '`pip install "gfe_core[lab]"`, then run this again.'
            ) from missing
        paths = sorted(shipped("notebooks").glob("*.ipynb"))
        _check_folder(self.to, paths)
        sections = []
        for path in paths:
            notebook = json.loads(path.read_text(encoding="utf-8"))
            sections.append(answers(path.stem, notebook, QUESTIONS))
            copy = json.dumps(without_answers(notebook), indent=1, ensure_ascii=False)
            write_text(self.to / path.name, copy + "\n")
        for name in LINKED:
            write_text(self.to / name, (shipped("notebooks") / name).read_text(encoding="utf-8"))
        write_text(self.to / KEY, "# Key\n\n" + "\n".join(sections))
        print(f"{len(paths)} notebooks without solutions, and {KEY}, are in {self.to}.")
        return 0


def without_answers(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook without the cells of its solution, and without outputs."""
    cells = [_unrun(cell) for cell in notebook["cells"] if not _is_tagged(cell, "solution")]
    return notebook | {"cells": cells}


def answers(name: str, notebook: dict[str, Any], known: Mapping[str, Any]) -> str:
    """Return the questions of a notebook with their answers, as Markdown.

    Args:
        name: name of the notebook.
        notebook: content of the notebook file.
        known: questions of the kit, by name.
    """
    lines = [f"## {name}", ""]
    for question, answer, because in _questions(notebook, known):
        lines += [f"- **{question}** {answer}. {because}", ""]
    solution = [
        _source(cell)
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and _is_tagged(cell, "solution")
    ]
    return "\n".join(
        [*lines, "One solution of the exercise:", "", "```python", *solution, "```", ""]
    )


def _questions(
    notebook: dict[str, Any], known: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Yield question, answer and reason of every call of `widgets.predict`, in order."""
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        for call in ast.walk(ast.parse(_source(cell))):
            if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "widgets.predict"):
                continue
            question = ast.literal_eval(call.args[0])
            if question in known:
                yield known[question].text, known[question].answer, known[question].because
            else:
                values = {word.arg: word.value for word in call.keywords}
                answer, because = (ast.literal_eval(values[word]) for word in ("answer", "because"))
                yield question, answer, because


def _check_folder(to: Path, paths: list[Path]) -> None:
    """Refuse a folder whose files are not handouts, such as that of the originals."""
    names = (*(path.name for path in paths), *LINKED)
    taken = [name for name in names if (to / name).exists()]
    ours = not taken or (to / KEY).exists()
    checks.require(
        ours,
        f"`to` is {to}, which holds {', '.join(taken[:2])} but no {KEY}: these are not handouts "
        "and would be overwritten. Name another folder.",
    )


def _unrun(cell: dict[str, Any]) -> dict[str, Any]:
    return cell | {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell


def _is_tagged(cell: dict[str, Any], tag: str) -> bool:
    return tag in cell["metadata"].get("tags", ())


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])
