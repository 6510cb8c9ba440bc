"""The HTML of notebooks and texts as pages; this module writes no file."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from nbformat import NotebookNode

from gfe_core.site.packing import Packing
from gfe_core.site.running import Shown
from gfe_core.site.text import Page, coloured, markdown, plain, with_formulas, with_mathematics
from gfe_core.site.views import Part
from gfe_core.widgets.kit.pictures import base64_of, smaller

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("gfe_core.site"),
    autoescape=True,
    trim_blocks=True,
)
_TEMPLATES.filters["mathematics"] = with_mathematics
_PLOTLY = "application/vnd.plotly.v1+json"
_PROGRESS = "Progress("  # the start of a progress bar's text, after its training has ended
_RUN = re.compile(r" ?Choose \*Run → Run All Cells\*.*")  # a page has no such menu
_HEADING = re.compile(r'<h[1-6] id="([^"]*)">')
FRONT = "index.html"


@dataclass(frozen=True)
class Written:
    """A page.

    Args:
        address: name of its file.
        title: first heading of the page.
        html: complete HTML of the page.
        index: entries of the search: heading, address and words of each section.
    """

    address: str
    title: str
    html: str
    index: list[dict[str, str]]


def address_of(path: Path) -> str:
    """Return the name of the page of a notebook or a text."""
    return f"{path.stem}.html"


class Links:
    """Map links of notebooks and texts to addresses of the pages.

    Args:
        addresses: addresses of all pages.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = {*addresses, FRONT}

    def __call__(self, url: str) -> str:
        """Return the address of a link.

        Raises:
            ValueError: there is no such page.
        """
        if url.startswith(("http://", "https://", "#", "mailto:")):
            return url
        name = Path(url.partition("#")[0])
        address = FRONT if name.name == "README.md" else address_of(name)
        if address not in self._addresses:
            raise ValueError(
                f"No page for the link {url!r}: the site has {', '.join(sorted(self._addresses))}."
            )
        return address


def text_page(path: Path, links: Links) -> Written:
    """Return the page of a Markdown file."""
    page = Page(links)
    html = markdown(page)(path.read_text(encoding="utf-8"))
    title = next(iter(page.places.values()))
    address = address_of(path)
    whole = _TEMPLATES.get_template("text.html.j2").render(title=title, html=html)
    return Written(address, title, whole, list(_sections(html, page, address)))


def notebook_page(
    path: Path,
    shown: Shown,
    links: Links,
    pack: Packing,
    *,
    previous: str = "",
    following: str = "",
) -> Written:
    """Return the page of a notebook.

    Text and outputs are those saved with it; a view without a state in `shown` is a still image.

    Args:
        path: path of the notebook.
        shown: parts of its views, from `running.run`.
        links: map from its links to addresses of pages.
        pack: packing of the states, which keeps the data that pages share.
        previous: address of the page before it.
        following: address of the page after it.
    """
    notebook = nbformat.read(path, as_version=4)
    page = Page(links)
    write = markdown(page)
    cells = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cells.append({"html": write(_RUN.sub("", cell.source))})
            continue
        outputs = [_output(output, number, shown, pack) for output in cell.outputs]
        cells.append(_code(cell) | {"outputs": outputs})
    title = next(iter(page.places.values()))
    address = address_of(path)
    html = _TEMPLATES.get_template("notebook.html.j2").render(
        title=title, name=path.name, cells=cells, previous=previous, next=following
    )
    text = "\n".join(cell.get("html", "") for cell in cells)
    return Written(address, title, html, list(_sections(text, page, address)))


def front_page(
    player: Part,
    pages: Sequence[Mapping[str, str]],
    texts: Sequence[Written],
    index: Sequence[Mapping[str, str]],
    pack: Packing,
) -> str:
    """Return the first page.

    Args:
        player: interactive view with its recorded answers.
        pages: address, picture and title of each notebook.
        texts: other pages.
        index: entries of the search in all pages.
        pack: packing of the states, as for the pages of notebooks.
    """
    return _TEMPLATES.get_template("index.html.j2").render(
        title="Gradient Flow Encoding", player=pack(player), pages=pages, texts=texts, index=index
    )


def _sections(html: str, page: Page, address: str) -> Iterator[dict[str, str]]:
    _, *pieces = _HEADING.split(html)
    for place, words in zip(pieces[::2], pieces[1::2], strict=True):
        heading = page.places[place]
        yield {"heading": heading, "address": f"{address}#{place}", "words": plain(words)}


def _code(cell: NotebookNode) -> dict[str, str]:
    summary = "a solution" if "solution" in cell.metadata.get("tags", ()) else "code"
    return {"summary": summary, "code": coloured(cell.source)}


def _output(output: NotebookNode, number: int, shown: Shown, pack: Packing) -> dict[str, Any]:
    """Return what the template shows of an output; nothing if only a kernel can show it."""
    if output.output_type == "stream":
        return {"said": output.text}
    data = output.data
    text = data.get("text/plain", "")
    still = {"still": _smaller(data.get("image/png", "").strip())}
    still["alt"] = output.metadata.get("image/png", {}).get("alt", "")
    parts = shown.get((number, text))
    if isinstance(parts, dict):
        question = with_mathematics(parts["question"])
        revealed = [pack(part) for part in parts["revealed"]]
        return parts | {"question": question, "revealed": revealed, "name": f"guess-{number}"}
    if parts:
        return still | {"parts": [pack(part) for part in parts]}
    if _PLOTLY in data:
        return still | {"parts": [pack(_figure(data[_PLOTLY], still["alt"]))]}
    if "text/html" in data:
        return {"html": with_formulas(data["text/html"])}
    return still if still["still"] or text.startswith(_PROGRESS) else {"said": text}


def _smaller(png: str) -> str:
    """A PNG in base64 as WebP in base64."""
    return base64_of(smaller(base64.b64decode(png))) if png else ""


def _figure(saved: Mapping[str, Any], alt_text: str) -> Part:
    """Return a plotly figure as a view."""
    state = {"figure": {"data": saved["data"], "layout": saved["layout"]}, "controls": []}
    state |= {"config": saved["config"], "changes": [], "shown": 0, "alt_text": alt_text}
    return {"bundle": "charts", "state": state}
