"""A notebook exported to HTML keeps its pictures and their words, without a network."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Page
from published import is_blank, opened, pictures, sentence

from gfe_core.cli.lab import TEMPLATES

pytestmark = pytest.mark.browser
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
# Words, width as drawn and width as saved, of the pictures that outputs hold.
SHOWN = """() => [...document.querySelectorAll(".jp-OutputArea-output img")].map(
  (image) => [image.alt, image.getBoundingClientRect().width > 0, image.naturalWidth])"""


@pytest.fixture(scope="module")
def sheet(chromium: Browser) -> Iterator[Page]:
    """A page that reaches no network."""
    context = chromium.new_context(offline=True, viewport={"width": 1366, "height": 768})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_notebook_keeps_every_picture_with_its_words(
    name: str, sheet: Page, tmp_path: Path
):
    saved = nbformat.read(NOTEBOOKS / name, as_version=4)
    path = tmp_path / "notebook.html"
    exporter = HTMLExporter(template_name="gfe", extra_template_basedirs=[str(TEMPLATES)])
    path.write_text(exporter.from_notebook_node(saved)[0], encoding="utf-8")
    sheet.goto(path.as_uri(), wait_until="commit")
    sheet.wait_for_function("document.readyState === 'complete'")
    held = [(output, png) for _, _, output, png in pictures(saved)]
    words = [output.metadata["image/png"]["alt"] for output, _ in held]
    assert sheet.evaluate(SHOWN) == [
        [said, True, opened(png).width] for said, (_, png) in zip(words, held, strict=True)
    ]
    assert all(words)
    for picture in sheet.locator(".jp-OutputArea-output img").all():
        assert not is_blank(picture.screenshot())
    told = [sentence(output) for cell in saved.cells for output in cell.get("outputs", ())]
    drawn = sheet.locator(".jp-OutputArea-output :is(img, table)")
    assert drawn.count() >= len([one for one in told if one is not None])
