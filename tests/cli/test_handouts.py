import json
import re
import sys
from pathlib import Path

import pytest

from gfe_core.cli.handouts import KEY
from gfe_core.cli.main import main
from gfe_core.data.places import shipped
from gfe_core.widgets.lessons.content import QUESTIONS

ORIGINALS = sorted(shipped("notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def handouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("class") / "handouts"
    assert main(["handouts", "--to", str(folder)]) == 0
    return folder


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("original", ORIGINALS, ids=lambda path: path.stem)
def test_a_copy_has_everything_but_solutions_and_outputs(original: Path, handouts: Path):
    kept = [cell for cell in cells(original) if "solution" not in cell["metadata"].get("tags", ())]
    copied = cells(handouts / original.name)
    assert 0 < len(kept) < len(cells(original))
    assert [cell["source"] for cell in copied] == [cell["source"] for cell in kept]
    code = [cell for cell in copied if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


LINK = re.compile(r"\]\(([^)\s#]+)")


@pytest.mark.parametrize("original", ORIGINALS, ids=lambda path: path.stem)
def test_no_link_of_a_copy_is_dead(original: Path, handouts: Path):
    texts = ["".join(cell["source"]) for cell in cells(handouts / original.name)]
    links = {link for text in texts for link in LINK.findall(text) if "://" not in link}
    assert links and [link for link in links if not (handouts / link).exists()] == []


def test_missing_views_are_answered_with_what_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "gfe_core.widgets.lessons.content", None)
    assert main(["handouts", "--to", str(tmp_path)]) == 1
    assert '`pip install "gfe_core[lab]"`' in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_the_key_answers_every_question_and_solves_every_exercise(handouts: Path):
    key = (handouts / KEY).read_text(encoding="utf-8")
    for question in QUESTIONS.values():
        assert question.text in key and f"{question.answer}. {question.because}" in key
    for original in ORIGINALS:
        solution = [
            "".join(cell["source"])
            for cell in cells(original)
            if cell["cell_type"] == "code" and "solution" in cell["metadata"].get("tags", ())
        ]
        assert len(solution) == 1 and f"```python\n{solution[0]}\n```" in key, original.name


def test_the_same_command_writes_over_its_own_copies_but_over_no_other_notebooks(
    handouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["handouts", "--to", str(handouts)]) == 0
    for name in (ORIGINALS[0].name, "LICENSE"):
        mine = tmp_path / name
        mine.write_text("mine")
        assert main(["handouts", "--to", str(tmp_path)]) == 1
        assert f"holds {name} but no" in capsys.readouterr().err
        assert mine.read_text() == "mine" and list(tmp_path.iterdir()) == [mine]
        mine.unlink()
