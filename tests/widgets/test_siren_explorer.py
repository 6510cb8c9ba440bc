"""The explorer of implicit decoders.

One code at every resolution, windows, few pixels, and what a request changes.
"""

from typing import Any

import numpy as np
import pytest
import torch
from explorers import DIGITS
from wire import Wire

import gfe_core as gfe
from gfe_core.methods import gon
from gfe_core.widgets import SirenExplorer
from gfe_core.widgets.siren.explorer import RESOLUTIONS, SirenView


def siren(w0: float, epochs: int = 6) -> gfe.SirenDecoder:
    made = gfe.SirenDecoder(
        latent_dim=4,
        hidden=(16, 16),
        image_shape=(8, 8),
        w0=w0,
        generator=torch.Generator().manual_seed(0),
    )
    adam = torch.optim.Adam(made.parameters(), 1e-2)
    batches = gfe.data.Batches(DIGITS.x, size=20)
    gfe.fit(made, batches, encoder=gon.Origin(), loss=gon.SQUARES, optimizer=adam, epochs=epochs)
    return made


@pytest.fixture(scope="module")
def sirens() -> dict[str, gfe.SirenDecoder]:
    return {"calm": siren(4.0), "wild": siren(30.0, epochs=1)}


@pytest.fixture
def explorer(sirens: dict[str, gfe.SirenDecoder]) -> SirenExplorer:
    return SirenExplorer(sirens, DIGITS, resolution=8)


def ask(view: SirenView, number: int, **values: Any) -> None:
    """What the browser does when a control or the window moves."""
    view.set_state({"request": {"id": number, "values": values}})
    assert view.note == ""


def tiles(view: SirenView) -> np.ndarray:
    n = view.values["resolution"]
    return np.frombuffer(view.tiles, np.uint8).reshape(3, n, n)


def curves(view: SirenView) -> np.ndarray:
    return np.frombuffer(view.curves, np.float32).reshape(2, -1)


def seen(view: SirenView) -> np.ndarray:
    return np.frombuffer(view.seen, np.uint8).astype(bool)


def test_at_its_own_resolution_it_draws_the_reconstruction_and_enlarging_gives_the_pixels(
    explorer: SirenExplorer, sirens: dict[str, gfe.SirenDecoder]
):
    z = gon.Origin(adjoint=gfe.Detached())(sirens["calm"], DIGITS.x[:1]).z
    drawn, *enlarged = tiles(explorer.view)
    wanted = (
        (255 * gfe.reconstruct(sirens["calm"], z, gon.SQUARES).clamp(0, 1)).round().reshape(8, 8)
    )
    assert np.abs(drawn - wanted.numpy()).max() <= 1  # rounded to 256 levels
    for plain in enlarged:
        assert np.array_equal(plain, (255 * DIGITS.x[0]).round().reshape(8, 8).numpy())


def test_the_flow_can_find_the_first_code(sirens: dict[str, gfe.SirenDecoder]):
    by_step, by_flow = (
        SirenExplorer(sirens, DIGITS, by=by, resolution=8).view for by in ("one step", "flow")
    )
    assert by_flow.values["by"] == by_flow.defaults["by"] == "flow"
    energies = [float(view.facts.split()[1]) for view in (by_flow, by_step)]
    assert energies[0] < energies[1]
    with pytest.raises(ValueError, match="`by` must be 'one step' or 'flow'"):
        SirenExplorer(sirens, DIGITS, by="encoder")


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_finer_drawing_is_of_the_same_code_and_keeps_the_corners(
    explorer: SirenExplorer, resolution: int
):
    corners = tiles(explorer.view)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    facts = explorer.view.facts
    ask(explorer.view, 1, resolution=resolution)
    assert explorer.view.facts == facts and explorer.view.reply == 1
    assert (
        np.abs(tiles(explorer.view)[:, [0, 0, -1, -1], [0, -1, 0, -1]].astype(int) - corners).max()
        <= 1
    )


def test_a_window_is_a_part_of_the_whole(explorer: SirenExplorer):
    ask(explorer.view, 1, resolution=128)
    whole = tiles(explorer.view)[0]
    ask(explorer.view, 2, half=0.5, down=-0.5, across=0.5)
    part = tiles(explorer.view)[0]
    assert (
        np.abs(part[0, [0, -1]].astype(int) - whole[0, [64, 127]]).max() <= 4
    )  # half a fine pixel lies between
    assert np.abs(part.mean() - whole[:64, 64:].mean()) < 4
    assert explorer.view.row == round(0.25 * 7)


def test_the_cut_passes_through_the_pixels_by_interpolation_and_near_them_by_the_code(
    explorer: SirenExplorer,
):
    pixels = DIGITS.x[0].reshape(8, 8)[explorer.view.row].numpy()
    at = np.linspace(0, 160, 8)
    by_code, bilinear = (np.interp(at, np.arange(161), curve) for curve in curves(explorer.view))
    assert np.allclose(
        bilinear, pixels, atol=0.02
    )  # the nearest of 161 places, not the pixel's own
    assert np.abs(by_code - pixels).mean() < 0.5 * np.abs(pixels - pixels.mean()).mean() + 0.2


def test_beyond_the_frame_interpolation_goes_on_with_the_last_pixel_and_the_code_does_not(
    sirens: dict[str, gfe.SirenDecoder],
):
    bright = gfe.data.DataSet(
        1 - DIGITS.x, DIGITS.y, (8, 8), "digits", "test"
    )  # edges that are not black
    view = SirenExplorer(sirens, bright, name="bright").view
    ask(view, 1, half=1.5)
    by_code, bilinear = curves(view)
    beyond = slice(0, 26)  # of 161 places from -1.5 to 1.5
    assert (
        np.allclose(bilinear[beyond], bright.x[0].reshape(8, 8)[view.row, 0])
        and np.ptp(by_code[beyond]) > 1e-3
    )


@pytest.mark.parametrize("by", ["one step", "flow"])
def test_pixels_that_are_not_seen_have_no_influence(sirens: dict[str, gfe.SirenDecoder], by: str):
    explorer = SirenExplorer(sirens, DIGITS, name="first")
    ask(explorer.view, 1, share=0.25, by=by)
    hidden = torch.tensor(~seen(explorer.view))
    assert hidden.sum() == 48
    x = DIGITS.x.clone()
    x[:, hidden] = 1 - x[:, hidden]
    other = gfe.data.DataSet(x, DIGITS.y, (8, 8), "digits", "test")
    changed = SirenExplorer(sirens, other, name="second")
    ask(changed.view, 1, share=0.25, by=by)
    assert np.array_equal(tiles(explorer.view)[0], tiles(changed.view)[0])
    assert explorer.view.facts != changed.view.facts  # judged on what it did not see


def test_a_step_from_few_pixels_is_as_long_as_one_from_all(
    explorer: SirenExplorer, sirens: dict[str, gfe.SirenDecoder]
):
    ask(explorer.view, 1, share=0.25)
    some = torch.tensor(seen(explorer.view))
    calm = sirens["calm"]
    there = calm.at(calm.coordinates[some])
    z = torch.zeros(1, 4, requires_grad=True)
    (slope,) = torch.autograd.grad((64 / 16) * (there(z) - DIGITS.x[:1, some]).square().sum(), z)
    wanted = (255 * calm(-slope).detach().clamp(0, 1)).round().reshape(8, 8)
    assert np.abs(tiles(explorer.view)[0] - wanted.numpy()).max() <= 1  # rounded to 256 levels


def test_energies_of_seen_and_hidden_pixels_make_up_that_of_all(explorer: SirenExplorer):
    assert explorer.view.facts.endswith("per pixel")
    ask(explorer.view, 1, share=0.25)
    everywhere, where_seen, elsewhere = (
        float(word) for word in explorer.view.facts.split() if "." in word
    )
    assert (16 * where_seen + 48 * elsewhere) / 64 == pytest.approx(
        everywhere, abs=2e-4
    )  # four digits are reported
    assert where_seen != pytest.approx(elsewhere, abs=1e-3)


def test_the_flow_goes_on_where_one_step_ends(explorer: SirenExplorer):
    energies = []
    for number, by in enumerate(("one step", "flow"), start=1):
        ask(explorer.view, number, by=by)
        energies.append(float(explorer.view.facts.split()[1]))
    assert energies[1] < energies[0]


def test_every_choice_changes_the_drawing_and_reset_gives_it_back(explorer: SirenExplorer):
    view = explorer.view
    first = view.tiles, view.curves, view.facts
    choices = {"sample": 3, "decoder": "wild", "by": "flow", "share": 0.5, "across": 0.4}
    for number, (name, value) in enumerate(choices.items(), start=1):
        ask(
            view,
            number,
            **(view.defaults | {name: value, "half": 0.5 if name == "across" else 1.0}),
        )
        assert (view.tiles, view.curves, view.facts) != first, name
    ask(view, 7, **(view.defaults | {"share": 0.5, "seed": 1}))
    other = seen(view)
    ask(view, 8, seed=2)
    assert not np.array_equal(seen(view), other)
    ask(view, 9, **view.defaults)
    assert (view.tiles, view.curves, view.facts) == first and view.values == view.defaults


def test_a_moving_window_does_not_find_the_code_anew(
    explorer: SirenExplorer, monkeypatch: pytest.MonkeyPatch
):
    ask(explorer.view, 1, by="flow", half=0.25)
    monkeypatch.setattr(explorer, "_find", None)
    ask(explorer.view, 2, across=0.3)
    assert explorer.view.reply == 2


def test_a_request_that_fails_is_acknowledged_and_said(explorer: SirenExplorer):
    before = explorer.view.tiles
    explorer.view.set_state({"request": {"id": 3, "values": {"by": "magic"}}})
    assert explorer.view.reply == 3 and explorer.view.tiles == before
    assert explorer.view.note.startswith("This did not work (ValueError): `by`")


def test_a_request_is_answered_in_one_message_of_moderate_size(explorer: SirenExplorer):
    wire = explorer.view.comm = Wire()  # pyright: ignore[reportAttributeAccessIssue]
    ask(explorer.view, 1, sample=2, resolution=128)
    [(answer, size)] = [one for one in wire.sent if "reply" in one[0]["state"]]
    assert {"values", "facts", "row"} & answer["state"].keys()
    assert {"image", "tiles", "curves"} <= {path[0] for path in answer["buffer_paths"]}
    assert size <= 3 * 128**2 + 10_000  # three pictures, and everything else
    explorer.view.comm = None  # pyright: ignore[reportAttributeAccessIssue]


def test_one_decoder_without_a_name_will_do_and_what_does_not_fit_is_refused(
    sirens: dict[str, gfe.SirenDecoder],
):
    assert SirenExplorer(sirens["calm"], DIGITS, name="one").view.values["decoder"] == "SIREN"
    finer = gfe.SirenDecoder(latent_dim=2, hidden=(8,), image_shape=(9, 8))
    with pytest.raises(ValueError, match="`samples` must be images of the decoders' shape"):
        SirenExplorer(finer, DIGITS)
    with pytest.raises(ValueError, match="`resolution`"):
        SirenExplorer(sirens, DIGITS, resolution=9)
    with pytest.raises(ValueError, match="`decoder`"):
        SirenExplorer(sirens, DIGITS, decoder="none such")


def test_the_text_is_constant(explorer: SirenExplorer):
    ask(explorer.view, 1, share=0.5, half=0.5, resolution=64)
    assert repr(explorer) == f"Explorer('siren'): {explorer.alt_text}"
