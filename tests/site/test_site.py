"""What the static pages are made of: text, formulas, links, packed states, recorded answers."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from explorers import DIGITS

import gfe_core as gfe
from gfe_core import widgets
from gfe_core.site import build, building, pages
from gfe_core.site.packing import Packing, packed
from gfe_core.site.recording import recorded
from gfe_core.site.text import Page, markdown, with_mathematics
from gfe_core.widgets.kit.bundles import bundle_of, classic, script, views

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def unpacked(text: str) -> Any:
    """What a page makes of a packed state; bytes as bytes."""
    whole = zlib.decompress(base64.b64decode(text))
    end = 4 + int.from_bytes(whole[:4], "little")

    def filled(part: dict[str, Any]) -> Any:
        if "bytes" not in part:
            return part
        offset, length, planes = part["bytes"]
        stored = whole[end + offset : end + offset + length]
        n = length // planes
        return bytes(stored[plane * n + k] for k in range(n) for plane in range(planes))

    return json.loads(whole[4:end], object_hook=filled)


@pytest.fixture(scope="module")
def decoder() -> gfe.MLPDecoder:
    return gfe.MLPDecoder(latent_dim=3, hidden=(8,), data_dim=64)


def test_a_formula_becomes_mathml_and_a_price_does_not():
    html = markdown(Page(str))("The code $z^*$ and\n\n$$E(z) = \\frac{1}{2} z^2$$\n")
    assert html.count("<math") == 2 and "<msup>" in html and "<mfrac>" in html
    assert "$" not in html
    assert with_mathematics("a < b, $\\lambda$").count("<math") == 1
    assert "a &lt; b" in with_mathematics("a < b, $\\lambda$")


def test_headings_have_places_of_their_own():
    page = Page(str)
    html = markdown(page)("# Same\n\n## Same\n\n## $E$ rises\n")
    assert len(page.places) == 3 and all(f'id="{place}"' in html for place in page.places)


def test_links_lead_to_pages_and_an_unknown_one_is_refused():
    links = pages.Links(["01_flow.html", "CLAIMS.html"])
    assert links("01_flow.ipynb") == "01_flow.html"
    assert links("CLAIMS.md#rules") == "CLAIMS.html"
    assert links("../README.md") == "index.html"
    assert links("https://arxiv.org/abs/2412.00864") == "https://arxiv.org/abs/2412.00864"
    with pytest.raises(ValueError, match=r"No page for the link '02_gone.ipynb'"):
        links("02_gone.ipynb")


def test_a_packed_state_comes_back_and_holds_equal_bytes_once():
    numbers = base64.b64encode(bytes(range(256)) * 4).decode()
    state = {"a": {"base64": numbers}, "b": [{"base64": numbers}], "word": "λ", "none": None}
    back = unpacked(packed(state))
    assert back["a"] == back["b"][0] == bytes(range(256)) * 4
    assert (back["word"], back["none"]) == ("λ", None)
    whole = zlib.decompress(base64.b64decode(packed(state)))
    assert len(whole) < 1500


def test_floats_are_packed_in_planes_and_come_back():
    numbers = torch.randn(10_000, generator=torch.Generator().manual_seed(0)).half().float()
    raw = numbers.numpy().tobytes()
    text = packed({"numbers": {"base64": base64.b64encode(raw).decode()}})
    assert unpacked(text) == {"numbers": raw}
    assert len(text) < 0.9 * len(base64.b64encode(zlib.compress(raw, 9)))


@pytest.mark.slow
def test_weights_are_kept_once_for_all_views(decoder: gfe.MLPDecoder):
    pack = Packing()
    explorers = [widgets.FlowExplorer(decoder, DIGITS, name=name) for name in ("a", "b")]
    parts = [pack(recorded(one, n_samples=2)[0]) for one in explorers]
    assert len(pack.weights) == 1
    assert {part["weights"] for part in parts} == {*pack.weights}
    (text,) = pack.weights.values()
    sample = unpacked(parts[0]["blocks"][0])["preview_numbers"]
    assert unpacked(text) + sample == explorers[0].player.preview_numbers


@pytest.mark.slow
def test_every_combination_of_sample_and_solver_is_recorded(decoder: gfe.MLPDecoder):
    explorer = widgets.FlowExplorer(decoder, DIGITS, sample=5)
    explorer.turn(start=(0.1, 0.2))
    before = explorer.player.get_state(["values", "start", "names", "trajectory"])
    (part,) = recorded(explorer, n_samples=3)
    choices = dict(part["answers"]["choices"])
    assert choices["sample"] == [0, 1, 5] and len(choices["solver"]) == 6
    states = part["answers"]["states"]
    assert len(states) == 18
    assert states["1 5"][0]["names"] == ["RK4"]
    assert "sample 1" in states["1 0"][0]["caption"]
    assert part["state"]["thumbnail_rows"] == [0, 1, 5]
    assert len({states[f"{k} 0"][0].get("landscape", {}).get("base64") for k in range(3)}) == 3
    assert explorer.player.get_state([*before]) == before, "it shows what it showed"


@pytest.mark.slow
def test_films_are_recorded_where_the_browser_cannot_follow(decoder: gfe.MLPDecoder):
    (part,) = recorded(widgets.RaceExplorer(decoder, DIGITS), n_samples=2)
    assert "recipes" not in part["state"]["preview"]
    every = part["answers"]["states"]
    others = [state for key, state in every.items() if not key.startswith("0")]
    assert len(every) > len(others) > 0
    assert all("frames" in state[0] for state in others)


def test_a_view_is_a_classic_script(decoder: gfe.MLPDecoder):
    assert {"player", "curve", "charts", "map"} <= {*views()}
    assert not {"kit", "site", "actions", "preview"} & {*views()}
    player = widgets.FlowExplorer(decoder, DIGITS).player
    assert bundle_of(player) == "player"
    body = classic(script("player"), "gfeViews.player")
    assert "export" not in body.splitlines()[-2] and "gfeViews.player =" in body


def test_every_notebook_has_a_page_and_an_entry_for_each_section():
    links = pages.Links([pages.address_of(path) for path in NOTEBOOKS.glob("*.*")])
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        page = pages.notebook_page(path, {}, links, Packing())
        assert page.index[0]["heading"] == page.title
        assert "Recap" in [entry["heading"] for entry in page.index]
        assert "$" not in "".join(entry["words"] for entry in page.index), path.name


def test_a_notebook_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="`notebooks` must be a folder with notebooks"):
        build(tmp_path / "site", tmp_path, say=str)
    with pytest.raises(FileNotFoundError, match=r"`named` must be notebooks in .*gone\.ipynb"):
        build(tmp_path / "site", NOTEBOOKS, [tmp_path / "gone.ipynb"], say=str)
    assert not (tmp_path / "site").exists()


def test_a_site_that_is_too_large_is_refused_and_its_size_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(bytes(30_000))
    (tmp_path / "assets" / "weights.js").write_bytes(bytes(90_000))
    said: list[str] = []
    building.weigh(tmp_path, said.append)
    assert said == ["the whole site: 0.12 MB of 12.00 MB"]
    monkeypatch.setattr(building, "LARGEST", 100_000)
    largest = r"at most 100,000 bytes, got 120,000 .* assets/weights\.js \(0\.09 MB\), index\.html"
    with pytest.raises(RuntimeError, match=largest):
        building.weigh(tmp_path, said.append)
