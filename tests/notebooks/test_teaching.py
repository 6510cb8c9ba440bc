"""TEACHING.md agrees with the notebooks that it tells teachers about."""

import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
TEXT = (FOLDER / "TEACHING.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
HEADINGS = dict(re.findall(r"^### (\d\d_\w+), (\d+) minutes$", TEXT, flags=re.MULTILINE))


def title_and_minutes(path: Path) -> tuple[str, str]:
    opening = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    minutes = re.search(r"About (\d+) minutes", opening)
    assert minutes is not None, f"{path.name} does not say 'About N minutes'"
    return opening.splitlines()[0].removeprefix("# "), minutes[1]


def rows() -> dict[str, list[int]]:
    """The minutes of each notebook on the three paths."""
    found = re.findall(r"^\| (\d\d_\w+) \|(.+)\|$", TEXT, flags=re.MULTILINE)
    return {
        name: [0 if cell.strip() == "-" else int(cell) for cell in cells.split("|")]
        for name, cells in found
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_its_section_with_its_minutes(path: Path):
    _, minutes = title_and_minutes(path)
    assert HEADINGS.get(path.stem) == minutes
    assert rows()[path.stem][2] == int(minutes), "in a week every notebook is read whole"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_section_opens_with_the_question_of_the_notebook(path: Path):
    title, _ = title_and_minutes(path)
    section = TEXT.split(f"### {path.stem},")[1]
    if title.endswith("?"):
        assert section.splitlines()[2] == f"*{title}*"


def test_paths_add_up_and_no_notebook_takes_longer_than_it_says():
    total = re.search(r"\*\*together\*\* \|(.+)\|", TEXT)
    assert total is not None
    sums = [int(cell.strip(" *")) for cell in total[1].split("|")]
    assert [sum(column) for column in zip(*rows().values(), strict=True)] == sums
    assert sums[:2] == [45, 90]
    assert all(max(row) == row[2] for row in rows().values())
    assert list(rows()) == list(HEADINGS)


def test_every_link_resolves():
    links = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", TEXT)
    local = [link.split("#")[0] for link in links if not re.match(r"https?:|mailto:|#", link)]
    assert local and [link for link in local if not (FOLDER / link).exists()] == []
