"""Write the static pages into a folder, with the scripts and styles that they share."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gfe_core.widgets
from gfe_core.data.files import write_text
from gfe_core.site import front, pages
from gfe_core.site.packing import TEXTS, Packing
from gfe_core.site.running import run
from gfe_core.widgets.kit.bundles import classic, script, style, views

_PLOTLY = Path(gfe_core.widgets.__file__).parent / "node_modules/plotly.js-basic-dist-min"
_PLOTLY /= "plotly-basic.min.js"
_TEXTS = ("CLAIMS.md", "TEACHING.md")
LARGEST = 12_000_000
"""Largest size of the whole site, in bytes."""


def build(
    to: Path, folder: Path, named: Sequence[Path] = (), *, say: Callable[[str], Any] = print
) -> None:
    """Write one page for each notebook, and the first page.

    Args:
        to: folder for the pages.
        folder: folder of the notebooks; their thumbnails are in data/thumbnails beside it.
        named: notebooks to run, all by default. Existing pages of the others stay as they are; a
            missing page is written with still images in place of its views.
        say: function called with a line for each page.

    Raises:
        FileNotFoundError: the folder holds no notebook, or not one that is named.
        ValueError: a link leads to no page.
        RuntimeError: a notebook raises an error, or the site is larger than `LARGEST`.
    """
    paths = sorted(folder.glob("*.ipynb"))
    if not paths:
        raise FileNotFoundError(
            f"`notebooks` must be a folder with notebooks, got {folder}. Run this in a checkout."
        )
    known = [path.resolve() for path in paths]
    for path in named:
        if path.resolve() not in known:
            raise FileNotFoundError(
                f"`named` must be notebooks in {folder}, got {path}. Name files as in "
                f"`python -m gfe_core site {paths[0]}`."
            )
    chosen = [path.resolve() for path in named] or known
    texts = [folder / name for name in _TEXTS if (folder / name).exists()]
    addresses = [pages.address_of(path) for path in paths]
    links = pages.Links([*addresses, *map(pages.address_of, texts)])
    _write_shared(to)
    pack = Packing()
    written, cards = [], []
    for k, path in enumerate(paths):
        runs = path.resolve() in chosen
        around = ["", *addresses, ""]
        shown = run(path) if runs else {}
        page = pages.notebook_page(
            path, shown, links, pack, previous=around[k], following=around[k + 2]
        )
        if runs or not (to / page.address).exists():
            write_text(to / page.address, page.html)
            say(f"{page.address}: {len(page.html) / 1000:.0f} kB")
        picture = f"assets/{path.stem}.png"
        shutil.copyfile(folder.parent / "data" / "thumbnails" / f"{path.stem}.png", to / picture)
        cards.append({"address": page.address, "picture": picture, "title": page.title})
        written.append(page)
    others = [pages.text_page(path, links) for path in texts]
    for page in others:
        write_text(to / page.address, page.html)
    index = [entry for page in (*written, *others) for entry in page.index]
    html = pages.front_page(front.player(), cards, others, index, pack)
    write_text(to / pages.FRONT, html)
    say(f"{pages.FRONT}: {len(html) / 1000:.0f} kB")
    for name, text in pack.weights.items():
        write_text(to / "assets" / f"{name}.js", f"gfeWeights[{name!r}] = {text!r};")
    weigh(to, say)


def weigh(to: Path, say: Callable[[str], Any]) -> None:
    """Say how large the site is.

    Raises:
        RuntimeError: it is larger than `LARGEST`.
    """
    sizes = {path: path.stat().st_size for path in to.rglob("*") if path.is_file()}
    total = sum(sizes.values())
    say(f"the whole site: {total / 1e6:.2f} MB of {LARGEST / 1e6:.2f} MB")
    if total > LARGEST:
        first = sorted(sizes, key=lambda path: -sizes[path])[:5]
        names = ", ".join(f"{path.relative_to(to)} ({sizes[path] / 1e6:.2f} MB)" for path in first)
        raise RuntimeError(
            f"The site must have at most {LARGEST:,} bytes, got {total:,} in {to}. If files of "
            f"earlier builds are there, delete {to} and build again; otherwise record fewer "
            f"answers. The largest files: {names}."
        )


def _write_shared(to: Path) -> None:
    """Write the files that all pages read.

    Scripts are classic ones, because a page opened from a file cannot load modules. The style of
    the views is in the script, because such a page cannot read the rules of a style sheet, which
    belong to a saved picture.
    """
    assets = to / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    scripts = [
        f"globalThis.gfeTexts = {json.dumps(TEXTS)};",
        f"globalThis.gfeStyle = {json.dumps(''.join(map(style, views())))};",
        "globalThis.gfeViews = {};",
        "globalThis.gfeWeights = {};",
        *(classic(script(name), f"gfeViews.{name}") for name in views()),
        f"(() => {{\n{script('site')}\n}})();",
    ]
    write_text(assets / "site.js", "\n".join(scripts))
    write_text(assets / "site.css", style("site"))
    if not _PLOTLY.exists():
        raise FileNotFoundError(f"The figures' script is not at {_PLOTLY}: run `make lint` once.")
    shutil.copyfile(_PLOTLY, assets / "plotly.js")
