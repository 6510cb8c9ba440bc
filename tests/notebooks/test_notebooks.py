"""What every published notebook keeps to: its skeleton, its size, its outputs, its exercise."""

import ast
import dis
import io
import re
import symtable
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbformat import NotebookNode
from nbval_timeouts import PLOTLY
from PIL import Image, ImageDraw
from published import (
    APART,
    METADATA,
    PNG,
    UNLIKE,
    UNLIKE_TIMED,
    WIDGET_VIEW,
    difference,
    is_blank,
    opened,
    pictures,
    sentence,
    unlike_from,
)

from gfe_core.widgets.kit.pictures import png_of

FOLDER = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
# Each of these makes an output that is different on every run.
BANNED = {"interact", "interactive_output", "Output", "clear_output", "update_display"}
HTML = "text/html"
FENCED = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) +(.+)$", flags=re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")

every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown(cells: list[NotebookNode]) -> str:
    """The text of the markdown cells, without the code quoted in it."""
    return FENCED.sub(
        "", "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    )


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    yield from (output for cell in code_cells(notebook) for output in cell.outputs)


def opening(notebook: NotebookNode) -> str:
    """The text before the set-up cell."""
    first_code = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    return markdown(notebook.cells[:first_code])


def section(notebook: NotebookNode, title: str) -> str:
    """The text from the heading that contains a word to the end."""
    text = markdown(notebook.cells)
    starts = [match.start() for match in HEADING.finditer(text) if title in match[2].lower()]
    assert starts, f"no heading says {title!r}"
    return text[starts[-1] :]


def test_the_first_notebook_is_there():
    assert "00_start_here" in [path.stem for path in PATHS]


@every_notebook
def test_notebook_is_saved_as_executed_from_top_to_bottom(path: Path):
    notebook = read(path)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run `make refresh`"
    assert [output.ename for output in outputs(notebook) if output.output_type == "error"] == []
    assert [output.text for output in outputs(notebook) if output.get("name") == "stderr"] == []


@every_notebook
def test_notebook_carries_no_widget_state_and_is_small(path: Path):
    notebook = read(path)
    assert notebook.metadata == METADATA, "run `make refresh`"
    assert not any(WIDGET_VIEW in output.get("data", {}) for output in outputs(notebook)), (
        "run `make refresh`"
    )
    assert path.stat().st_size <= 500_000


@every_notebook
def test_every_explorer_is_saved_with_its_sentence_and_as_a_still_table_or_picture(path: Path):
    notebook = read(path)
    for output in outputs(notebook):
        if (told := sentence(output)) is None:
            continue
        assert told.strip() and {PNG, "text/html"} & output.data.keys(), f"{told}: `make refresh`"
        if PNG in output.data:
            assert output.metadata.get(PNG) == {"alt": told}, f"{told}: run `make refresh`"
    assert all(alt.strip() for image, alt, _ in LINK.findall(markdown(notebook.cells)) if image)


@every_notebook
def test_no_picture_is_blank(path: Path):
    shown = [(number, is_blank(png)) for number, _, _, png in pictures(read(path))]
    assert not [number for number, blank in shown if blank], "these cells are blank"


def test_a_picture_of_nothing_but_a_title_is_blank():
    sheet = Image.new("L", (800, 400), 255)
    assert is_blank(png_of(np.asarray(sheet)))
    ImageDraw.Draw(sheet).text((8, 8), "Only a title, and below it nothing was drawn", fill=0)
    assert is_blank(png_of(np.asarray(sheet)))


@every_notebook
def test_a_still_is_like_itself_and_unlike_other_views_and_a_blank(path: Path):
    shown = [(output, png) for _, _, output, png in pictures(read(path))]
    # arrays of grey values are no stills
    stills = [(one, png) for one, png in shown if Image.open(io.BytesIO(png)).mode == "P"]
    for output, png in stills:
        assert difference(png, png) == 0
        blank = png_of(np.full(opened(png).size[::-1], 255, np.uint8))
        assert difference(png, blank) > unlike_from(output)
    for (_, one), (_, other) in combinations(stills, 2):
        assert difference(one, other) > APART


def test_figures_of_measured_times_alone_have_more_room():
    def drawn_against(x_title: str) -> dict[str, Any]:
        axes = {f"{side}axis": {"title": {"text": x_title}} for side in "xy"}
        return {"data": {PLOTLY: {"layout": axes}}}

    assert unlike_from(drawn_against("seconds")) == UNLIKE_TIMED > UNLIKE
    assert unlike_from(drawn_against("work (forward-equivalents)")) == UNLIKE
    assert unlike_from({"data": {PNG: ""}}) == UNLIKE
    saved = [(path.stem[:2], one) for path in PATHS for one in outputs(read(path))]
    timed = {number for number, one in saved if unlike_from(one) == UNLIKE_TIMED}
    assert timed == set(), "seconds stand in tables; a figure of them belongs on this list"


@every_notebook
def test_figures_name_what_they_show(path: Path):
    for output in outputs(read(path)):
        if PLOTLY in (data := output.get("data", {})):
            titles = [data[PLOTLY]["layout"][f"{side}axis"]["title"]["text"] for side in "xy"]
            assert all(title and "legend" not in title for title in titles), titles


@every_notebook
def test_only_text_tables_stills_and_figures_are_saved(path: Path):
    kinds = {kind for output in outputs(read(path)) for kind in output.get("data", {})}
    assert kinds <= {"text/plain", "text/html", PNG, PLOTLY}


@every_notebook
def test_a_measured_table_is_not_compared_and_the_next_cell_makes_its_claim(path: Path):
    cells = code_cells(read(path))
    for cell, following in pairwise(cells):
        tables = [
            output for output in cell.outputs if "gfe-table" in output.get("data", {}).get(HTML, "")
        ]
        measured = bool(tables) and "show_result(" not in cell.source
        assert measured == ("nbval-ignore-output" in tags(cell)), cell.source
        if measured:
            assert claims(following), f"no claim follows: {following.source}"


def claims(cell: NotebookNode) -> bool:
    """Whether a cell asserts something, or prints lines that say that it is true."""
    if any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell.source))):
        return True
    said = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    return bool(said) and all(line.startswith("True: ") for line in said.splitlines())


def names_in(tree: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return names | {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@every_notebook
def test_no_cell_does_what_cannot_be_compared(path: Path):
    notebook = read(path)
    for cell in code_cells(notebook):
        assert not names_in(ast.parse(cell.source)) & BANNED, cell.source
        assert not cell.source.rstrip().endswith(";"), cell.source
    shown = [str(output.get("data", {}).get("text/plain", "")) for output in outputs(notebook)]
    assert not [text for text in shown if text.startswith("FigureWidget(")], (
        "show it through Explorer"
    )


@every_notebook
def test_opening_has_title_summary_goals_and_minutes(path: Path):
    title, summary, *rest = opening(read(path)).strip().split("\n\n")
    assert re.fullmatch(r"# .+", title)
    assert len(summary.splitlines()) <= 2 and len(summary) <= 280, (
        "a summary of two lines follows the title"
    )
    assert len(re.findall(r"^ *(?:[-*]|\d\.) ", "\n\n".join(rest), flags=re.MULTILINE)) == 3, (
        "three goals, as a list"
    )
    assert re.search(r"\b\d+ minutes\b", "\n\n".join(rest))


@every_notebook
def test_set_up_cell_comes_first(path: Path):
    first = code_cells(read(path))[0]
    assert "setup" in tags(first)


@every_notebook
def test_recap_says_what_was_learnt_what_fails_and_where_it_comes_from(path: Path):
    recap = section(read(path), "recap").lower()
    assert re.search(r"learnt|learned", recap) and "fail" in recap and "source" in recap


@every_notebook
def test_last_cell_leads_on_and_no_link_is_dead(path: Path):
    notebook = read(path)
    links = [target for _, _, target in LINK.findall(markdown(notebook.cells))]
    local = [target.split("#")[0] for target in links if not re.match(r"https?:|mailto:|#", target)]
    assert [target for target in local if not (FOLDER / target).exists()] == []
    following = PATHS[PATHS.index(path) + 1].name if path != PATHS[-1] else PATHS[0].name
    assert f"({following}" in notebook.cells[-1].source


@every_notebook
def test_headings_are_in_order_under_one_title(path: Path):
    levels = [len(match[1]) for match in HEADING.finditer(markdown(read(path).cells))]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def tagged(notebook: NotebookNode, tag: str) -> int:
    """The position of the one code cell with this tag."""
    cells = enumerate(notebook.cells)
    found = [i for i, cell in cells if cell.cell_type == "code" and tag in tags(cell)]
    assert len(found) == 1, f"one cell is tagged {tag!r}, found {len(found)}"
    return found[0]


@every_notebook
def test_exercise_is_a_stub_followed_by_its_check_and_solution(path: Path):
    notebook = read(path)
    section(notebook, "exercise")
    stub, check, solution = (tagged(notebook, tag) for tag in ("stub", "check", "solution"))
    assert stub < check and stub < solution
    folded = notebook.cells[solution].metadata.get("jupyter", {}).get("source_hidden", False)
    assert folded, "the solution shows: set `source_hidden` in the metadata of its cell"
    announced = [cell for cell in notebook.cells if "olution is folded" in cell.source]
    assert [tags(cell) for cell in announced] == [["solution"]], "a handout would announce it"


def globals_of(table: symtable.SymbolTable) -> set[str]:
    """The names of the notebook that a piece of code reads, also inside its functions."""
    at_top = table.get_type() == "module"
    own = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (at_top or symbol.is_global())
    }
    return own.union(*map(globals_of, table.get_children()))


def read_by(source: str) -> set[str]:
    return globals_of(symtable.symtable(source, "cell", "exec"))


def bound_by(source: str) -> set[str]:
    # Not by symtable, which from Python 3.12 on also lists the variables of comprehensions.
    instructions = dis.get_instructions(compile(source, "cell", "exec"))
    return {one.argval for one in instructions if one.opname == "STORE_NAME"}


def whole(function: ast.AST) -> set[str]:
    """The names that a function reads, other than for one of their items."""
    items = [one.value for one in ast.walk(function) if isinstance(one, ast.Subscript)]
    names = (one for one in ast.walk(function) if isinstance(one, ast.Name) and one not in items)
    return {name.id for name in names}


def filled_by(statement: ast.AST) -> set[str]:
    """The names that get items, as in `runs["more"] = run`, `runs |= more` or `runs.append(a)`."""
    names = set[str]()
    for one in ast.walk(statement):
        if isinstance(one, ast.Assign | ast.AugAssign):
            places = one.targets if isinstance(one, ast.Assign) else [one.target]
            names |= {
                place.value.id
                for place in places
                if isinstance(place, ast.Subscript) and isinstance(place.value, ast.Name)
            }
        if isinstance(one, ast.AugAssign) and isinstance(one.target, ast.Name):
            names.add(one.target.id)
        if isinstance(one, ast.Attribute) and one.attr in {"append", "extend", "insert", "update"}:
            names |= {one.value.id} if isinstance(one.value, ast.Name) else set()
    return names


@every_notebook
def test_what_a_question_reveals_is_not_changed_by_a_later_cell(path: Path):
    cells = [ast.parse(cell.source).body for cell in code_cells(read(path))]
    for position, body in enumerate(cells):
        if not any("predict(" in ast.unparse(one) for one in body):
            continue
        within = [one for statement in body for one in ast.walk(statement)]
        functions = [one for one in within if isinstance(one, ast.FunctionDef | ast.Lambda)]
        functions += [one for one in body if "predict(" in ast.unparse(one)]
        earlier = [one for before in cells[:position] for one in before]
        reads = set[str]()
        while True:  # what is called may call more
            reads |= set[str]().union(*(read_by(ast.unparse(one)) for one in functions))
            called = [one for one in earlier if isinstance(one, ast.FunctionDef)]
            called = [one for one in called if one.name in reads and one not in functions]
            if not called:
                break
            functions += called
        as_a_whole = reads & set[str]().union(*map(whole, functions))
        later = [one for following in cells[position + 1 :] for one in following]
        bound = [bound_by(ast.unparse(one)) for one in later if not isinstance(one, ast.AugAssign)]
        assert not reads & set[str]().union(*bound), "a guess after Run All would show it"
        filled = set[str]().union(*map(filled_by, later))
        assert not as_a_whole & filled, "a guess after Run All would show more"


def behind(sources: list[str], check: str) -> list[str]:
    """Those statements that bind a name which the check reads, directly or through others."""
    every = [one for source in sources for one in ast.parse(source).body]
    late: set[str] = set()  # read by functions when they are called
    while True:
        kept, names, called = list[str](), read_by(check) | late, set(late)
        for statement in reversed(every):
            source = ast.unparse(statement)
            if bound := bound_by(source) & names:
                kept.insert(0, source)
                if isinstance(
                    statement, ast.Assign | ast.FunctionDef | ast.ImportFrom | ast.Import
                ):
                    names -= bound  # what it was before does not matter
                names |= read_by(source)
                called |= read_by(source) if isinstance(statement, ast.FunctionDef) else set()
        if called == late:
            return kept
        late = called


def answer(sources: list[str], check: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the check prints if only the statements that it needs were run."""
    names: dict[str, Any] = {}
    exec("\n".join(behind(sources, check)), names)
    capsys.readouterr()
    exec(check, names)
    return capsys.readouterr().out


@every_notebook
def test_solution_passes_the_check_and_the_stub_alone_is_caught(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(FOLDER)
    notebook = read(path)
    position = tagged(notebook, "stub")
    before = [cell.source for cell in notebook.cells[:position] if cell.cell_type == "code"]
    stub, check, solution = (
        notebook.cells[tagged(notebook, tag)].source for tag in ("stub", "check", "solution")
    )
    of_stub = answer([*before, stub], check, capsys)
    assert of_stub and not of_stub.startswith("True"), "the check accepts the empty stub"
    of_solution = answer([*before, stub, solution], check, capsys)
    assert of_solution.startswith("True"), of_solution


def test_only_what_a_check_reads_is_run_before_it():
    function = "def f(x):\n    return a * x"
    sources = ["import math", "a = 1\nb = slow()", function, "a = a + 1\nc = b", "f(c)"]
    assert behind(sources, "print(f(2))") == ["a = 1", function, "a = a + 1"]
    assert behind([*sources, "a = 5"], "print([a for c in (1, 2)])") == ["a = 5"]
