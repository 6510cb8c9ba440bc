"""The staircase and the traversals in JupyterLab.

The threshold moves while the kernel trains, pictures follow.
"""

from collections.abc import Callable

import nbformat
import pytest
from jupyter_lab import LabServer, NotebookPage
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Locator
from published import METADATA
from quiet_times import DRAWING, LOOK, ROUND_TRIP, QuietTimes

pytestmark = pytest.mark.browser

SET_UP = """
from functools import partial
import torch
import gfe_core as gfe
from gfe_core import baselines, constraint, gon, narrowing, shapes, variational, widgets
torch.set_num_threads(1)
x, chance = gfe.data.load("digits").x[:1280], torch.Generator().manual_seed(0)
inside = gfe.MLPDecoder(latent_dim=8, hidden=(64,), data_dim=64, generator=chance)
network = baselines.Autoencoder.mirror(inside, latent_dim=16, generator=chance)
gated, bound = narrowing.Gated(inside, costs=True), constraint.Constraint(2.0, smoothing=0.9)
loss = variational.Evidence(likelihood=gon.SQUARES, weight=bound.weight)
find = narrowing.Inference(network=network, loss=loss, generator=chance)
gates = torch.optim.Adam([gated.gamma], 0.05)
rule = narrowing.Narrowing(find, bound, gates, price=100, generator=chance)
adam = torch.optim.Adam([*inside.parameters(), *network.parameters()], 2e-3)
batches = gfe.data.Batches(x, size=64)
learn = partial(gfe.fit, gated, batches, encoder=rule, loss=loss, optimizer=adam)
"""
STAIRCASE = """
explorer = widgets.StaircaseExplorer(rule, learn, n_gates=8)
explorer.train(epochs=10)
explorer
"""
TRAVERSAL = """
some, fresh = shapes.make(300, side=16), gfe.MLPDecoder(latent_dim=3, hidden=(32,), data_dim=256)
models = {"first": (fresh, some.y[:, 1:4]), "second": (fresh, some.y[:, :3])}
widgets.TraversalExplorer(models, some, shapes.PARAMETERS)
"""


@pytest.fixture
def page(lab: LabServer, open_notebook: Callable[[str], NotebookPage]) -> NotebookPage:
    cells = [new_markdown_cell("# Scratch"), *map(new_code_cell, (SET_UP, STAIRCASE, TRAVERSAL))]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), lab.root / "narrowing.ipynb")
    opened = open_notebook("narrowing.ipynb")
    opened.run_all()
    for name in ("staircase", "traversal"):
        opened.page.locator(f".gfe-{name}[data-drawn]").wait_for()
    return opened


def data(view: Locator, name: str) -> float:
    return float(view.get_attribute(f"data-{name}") or "nan")


def wait_for(page: NotebookPage, condition: str) -> None:
    page.page.wait_for_function(
        f"() => {{ const d = document.querySelector('.gfe-staircase').dataset; return "
        f"{condition}; }}",
        polling=LOOK,
    )


@pytest.mark.timed
def test_threshold_moves_while_the_kernel_trains_and_the_run_follows(page: NotebookPage):
    view = page.page.locator(".gfe-staircase")
    button = page.page.locator(".gfe-staircase .train")
    trained = data(view, "updates")
    slider = view.locator("input.threshold")
    assert trained == 200 and button.inner_text() == "Train on"
    button.click()
    wait_for(page, f"d.running === 'true' && Number(d.updates) > {trained + 20}")
    assert button.inner_text() == "Pause"
    draws = QuietTimes()
    answers = QuietTimes()
    before = data(view, "threshold")
    for _ in range(12):
        reply = data(view, "reply")
        draws.start()
        answers.start()
        slider.press("ArrowRight")
        draws.add(data(view, "latency"))
        wait_for(page, f"Number(d.reply) > {reply}")
        answers.add(data(view, "roundtrip"))
    draws.hold(DRAWING, "from a move to the drawing")
    answers.hold(ROUND_TRIP, "from a move to the answer of a kernel that trains")
    assert data(view, "threshold") > before
    slider.press("End")  # five times as loose: gates close at once
    open_before = data(view, "open")
    wait_for(page, f"Number(d.open) < {open_before}")
    button.click()
    wait_for(page, "d.running === 'false'")
    page.page.wait_for_timeout(500)
    stopped = data(view, "updates")
    page.page.wait_for_timeout(500)
    assert data(view, "updates") == stopped > trained
    view.locator(".reset").click()
    wait_for(page, f"Number(d.updates) === {trained} && Number(d.threshold) === {before}")
    assert page.troubles() == []


def test_the_threshold_is_dragged_on_the_chart_and_a_fresh_run_starts(page: NotebookPage):
    view = page.page.locator(".gfe-staircase")
    chart = view.locator("figure.error canvas")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    before = data(view, "threshold")
    page.page.mouse.move(box["x"] + 300, box["y"] + 60)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 300, box["y"] + 130, steps=5)
    page.page.mouse.up()
    low = data(view, "threshold")
    assert low != before
    view.locator(".anew").click()
    wait_for(page, "d.running === 'true' && Number(d.updates) > 0 && Number(d.updates) < 200")
    view.locator(".train").click()
    wait_for(page, "d.running === 'false'")
    assert data(view, "threshold") == low, "a fresh run keeps the threshold"
    assert page.troubles() == []


@pytest.mark.timed
def test_a_picture_follows_the_latent_under_mouse_and_keyboard(page: NotebookPage):
    view = page.page.locator(".gfe-traversal")
    view.scroll_into_view_if_needed()
    large = view.locator(".large canvas")
    strip = view.locator(".along").nth(1)
    pixels = "canvas => canvas.toDataURL()"
    seen = {large.evaluate(pixels)}
    box = strip.bounding_box()
    assert box is not None
    times = QuietTimes()
    page.page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2)
    page.page.mouse.down()
    for k in range(1, 21):
        times.start()
        page.page.mouse.move(
            box["x"] + 2 + k * (box["width"] - 6) / 20, box["y"] + box["height"] / 2
        )
        times.add(data(view, "latency"))
        seen.add(large.evaluate(pixels))
    page.page.mouse.up()
    times.hold(DRAWING, "from a move to the drawing")
    assert (data(view, "latent"), data(view, "frame")) == (1, 24) and len(seen) > 10
    strip.press("Home")
    assert data(view, "frame") == 0
    view.locator("input.frame").press("ArrowRight")
    assert data(view, "frame") == 1
    view.locator("select.model").select_option("1")
    view.get_by_role("option", name="sample 2,").click()
    view.locator("select.latent").select_option("2")
    assert "second · sample 2 · latent 2 =" in view.locator(".values").inner_text()
    view.locator(".reset").click()
    assert "first · sample 0 · latent 0 =" in view.locator(".values").inner_text()
    assert page.troubles() == []
