"""Spectra under the flow.

What a request changes, what a gap cannot change, and how the results are shown.
"""

from typing import Any

import numpy as np
import pytest
import torch
from wire import Wire

import gfe_core as gfe
from gfe_core.data import emission_lines
from gfe_core.widgets import SpectrumExplorer
from gfe_core.widgets.emission_lines.explorer import SOLVERS, SpectrumView
from gfe_core.widgets.results import emission_lines as paper_spectra

SAMPLES = emission_lines.make(20, seed=1)
LOSS = gfe.Gaussian(variance=0.02**2)


@pytest.fixture(scope="module")
def decoder() -> gfe.MLPDecoder:
    decoder = gfe.MLPDecoder(
        latent_dim=3, hidden=(16,), data_dim=128, generator=torch.Generator().manual_seed(0)
    )
    adam = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    batches = gfe.data.Batches(SAMPLES.x, size=10)
    x = SAMPLES.x
    gfe.fit(
        decoder,
        batches,
        encoder=lambda d, x: gfe.encode_observed(d, x, loss=LOSS, max_steps=5),
        loss=LOSS,
        optimizer=adam,
        epochs=4,
        updates_per_encode=10,
    )
    assert x.isnan().any()
    return decoder


@pytest.fixture
def explorer(decoder: gfe.MLPDecoder) -> SpectrumExplorer:
    return SpectrumExplorer(
        decoder, SAMPLES, loss=LOSS, truth=emission_lines.clean(SAMPLES.y), level=0.5
    )


def ask(view: SpectrumView, number: int, **values: Any) -> None:
    """What the browser does when a control is released."""
    view.set_state({"request": {"id": number, "values": values}})


def floats(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.float32)


def curves_of(view: SpectrumView) -> np.ndarray:
    return floats(view.curves).reshape(-1, 128)


def test_the_last_curve_is_drawn_from_the_code_and_the_first_from_the_origin(
    explorer: SpectrumExplorer, decoder: gfe.MLPDecoder
):
    found = gfe.encode_observed(decoder, SAMPLES.x[:1], loss=LOSS, solver=gfe.LBFGS())
    ends = gfe.reconstruct(decoder, torch.cat([torch.zeros(1, 3), found.z]), LOSS)
    assert np.allclose(
        curves_of(explorer.view)[[0, -1]], ends, atol=1e-5
    )  # float32, another size of batch
    assert floats(explorer.view.energies)[-1] == pytest.approx(found.energy.item())
    assert np.array_equal(np.isnan(floats(explorer.view.flux)), SAMPLES.x[0].isnan().numpy())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_request_changes_sample_and_solver_and_the_energy_falls(
    explorer: SpectrumExplorer, solver: str
):
    view = explorer.view
    ask(view, 7, sample=4, solver=solver)
    assert view.reply == 7 and view.values == {"sample": 4, "solver": solver}
    assert np.array_equal(floats(view.flux), SAMPLES.x[4].numpy(), equal_nan=True)
    assert np.array_equal(floats(view.truth), emission_lines.clean(SAMPLES.y)[4].numpy())
    energies = floats(view.energies)
    assert len(energies) == len(curves_of(view)) == view.frame + 1
    assert (np.diff(energies) <= 1e-5 * energies[:-1]).all()  # rounding of float32
    assert energies[-1] < 0.9 * energies[0]
    assert view.note.startswith(f"spectra (seed 1) · {solver}: {view.frame} steps")


def test_what_the_browser_sent_twice_is_answered_for_the_last(explorer: SpectrumExplorer):
    for number, row in ((1, 2), (2, 5)):
        ask(explorer.view, number, sample=row)
    assert explorer.view.reply == 2 and explorer.view.values == {"sample": 5, "solver": "LBFGS"}


def test_a_request_that_fails_is_acknowledged_and_said(explorer: SpectrumExplorer):
    before = explorer.view.curves
    ask(explorer.view, 3, sample=0, solver="none such")
    assert explorer.view.reply == 3
    assert explorer.view.note.startswith("This did not work (KeyError)")
    assert explorer.view.curves == before
    ask(explorer.view, 4, sample=0, solver="AMD")
    assert explorer.view.note.startswith("spectra")


def test_a_request_is_answered_in_one_message_of_moderate_size(explorer: SpectrumExplorer):
    wire = explorer.view.comm = Wire()  # pyright: ignore[reportAttributeAccessIssue]
    ask(explorer.view, 1, sample=3, solver="Euler")
    [(answer, size)] = [one for one in wire.sent if "reply" in one[0]["state"]]
    assert {"frame", "limits", "note", "values"} <= answer["state"].keys()
    assert {"curves", "energies", "flux"} <= {path[0] for path in answer["buffer_paths"]}
    assert size <= 301 * 129 * 4 + 20_000  # the longest path, and everything else
    explorer.view.comm = None  # pyright: ignore[reportAttributeAccessIssue]


def test_a_probe_stands_beside_the_true_parameters(decoder: gfe.MLPDecoder):
    explorer = SpectrumExplorer(
        decoder,
        SAMPLES,
        loss=LOSS,
        probe=lambda z: z.repeat(1, 2)[:, :5],
        parameters=emission_lines.PARAMETERS,
        sample=6,
    )
    names, true, told = zip(*explorer.view.readings, strict=True)
    assert names == emission_lines.PARAMETERS and list(true) == SAMPLES.y[6].tolist()
    assert told[:2] == told[3:]
    assert explorer.view.truth == b""


def test_what_does_not_fit_the_samples_is_refused(decoder: gfe.MLPDecoder):
    with pytest.raises(ValueError, match="`truth` must have the shape"):
        SpectrumExplorer(decoder, SAMPLES, loss=LOSS, truth=torch.zeros(20, 5))
    with pytest.raises(ValueError, match="`parameters` must name the columns"):
        SpectrumExplorer(decoder, SAMPLES, loss=LOSS, probe=lambda z: z, parameters=("shift",))
    with pytest.raises(ValueError, match="`solver` must be 'LBFGS' or"):
        SpectrumExplorer(decoder, SAMPLES, loss=LOSS, solver="Adam")


def test_a_sample_without_any_number_is_still_shown(decoder: gfe.MLPDecoder):
    lost = gfe.data.DataSet(
        torch.full((1, 128), torch.nan), torch.zeros(1), None, "nothing", "test"
    )
    explorer = SpectrumExplorer(decoder, lost, loss=LOSS, name="nothing")
    assert np.isfinite(curves_of(explorer.view)).all()


def test_the_text_is_constant(explorer: SpectrumExplorer):
    assert repr(explorer) == f"Explorer('spectrum'): {explorer.alt_text}"


def result() -> dict[str, Any]:
    """Content of a small result file."""
    methods = {"PCA": 0.6, "flow": 0.9}
    r2 = {
        m: {p: {"mean": score, "sd": 0.0} for p in emission_lines.PARAMETERS}
        for m, score in methods.items()
    }
    energy = {m: {"mean": 10 * score, "sd": 0.0} for m, score in methods.items()}
    raw = {"the spectrum itself": {p: {"mean": 0.8, "sd": 0.0} for p in emission_lines.PARAMETERS}}
    return {
        "r2": {n: r2 | raw for n in ("50", "500")},
        "energy": dict.fromkeys(("50", "500"), energy),
    }


def test_results_are_drawn_for_every_method_that_the_file_has():
    shown: Any = paper_spectra.energies(result(), name="toy", alt_text="Two curves.")
    figure = shown.figure
    assert [trace.name for trace in figure.data] == ["PCA", "flow"]
    assert figure.data[0].x.tolist() == [50, 500] and figure.data[0].y.tolist() == pytest.approx(
        [6, 6]
    )
    table = paper_spectra.not_told(result(), name="toy", alt_text="A table.").data["text/html"]
    assert table.count("<tr>") == 1 + 2 * len(emission_lines.PARAMETERS)
    assert "shift (km/s), from 500" in table and table.count("<u>0.10</u>") == 10
