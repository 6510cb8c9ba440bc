"""A notebook that was run, saved and closed shows its views when it is opened again."""

from collections.abc import Callable

import pytest
from jupyter_lab import LabServer, NotebookPage
from test_lab import open_cells

pytestmark = pytest.mark.browser

EXPLORER = """
import torch
import gfe_core as gfe
from gfe_core import widgets
decoder = gfe.MLPDecoder(
    latent_dim=2, hidden=(16,), data_dim=64, generator=torch.Generator().manual_seed(0)
)
widgets.FlowExplorer(decoder, gfe.data.load("digits", split="test"))
"""


def test_player_of_a_saved_notebook_plays_without_a_run(
    lab: LabServer, open_notebook: Callable[[str], NotebookPage]
):
    notebook = open_cells(lab, open_notebook, EXPLORER)
    notebook.run_all()
    notebook.page.wait_for_selector(".gfe-player[data-drawn]")
    save = "() => window.jupyterapp.commands.execute('docmanager:save')"
    notebook.page.evaluate(save)
    assert notebook.troubles() == []
    notebook.close()

    again = open_notebook("scratch.ipynb")
    player = again.page.locator(".gfe-player[data-drawn]")
    player.wait_for(state="visible")
    frame = player.get_attribute("data-frame")
    player.locator(".first").click()
    player.locator(".next").click()
    again.page.wait_for_selector('.gfe-player[data-frame="1"]')
    assert frame != "1"
    assert again.troubles() == [], "such as a widget whose model was not found"
