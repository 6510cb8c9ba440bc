"""The experiment on learnt starts and reverse networks: its steps, its clock and its prices."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_sets import SMALL, sets  # noqa: F401  (a fixture)
from torch import Tensor

import gfe_core as gfe
from gfe_core.data import results
from gfe_core.experiments.runner.config import Config
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.tables import learnt, reverse

SETTING = reverse.Setting(
    n_codes=60, updates=300, size=32, rate=1e-2, noise=0.1, penalty=1.0, fraction=1.0
)


@pytest.fixture
def linear(generator: torch.Generator) -> gfe.LinearDecoder:
    return gfe.LinearDecoder(latent_dim=3, data_dim=8, generator=generator).double()


@pytest.fixture
def small(generator: torch.Generator) -> gfe.MLPDecoder:
    return gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=16, generator=generator)


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.rand(20, 16, generator=generator)


def pseudo_inverse(decoder: gfe.LinearDecoder) -> reverse.Map:
    origin = decoder(torch.zeros(1, 3, dtype=torch.double)).detach()
    axes = decoder(torch.eye(3, dtype=torch.double)).detach() - origin
    return lambda picture: (picture - origin) @ torch.linalg.pinv(axes)


def test_one_whole_step_through_the_pseudo_inverse_is_the_least_squares_code(
    linear: gfe.LinearDecoder, generator: torch.Generator
):
    x = torch.randn(5, 8, generator=generator).double()
    z0 = torch.randn(5, 3, generator=generator).double()
    inverse = pseudo_inverse(linear)
    steps = reverse.Steps(linear, inverse, gfe.Gaussian(), fraction=1.0)
    state = steps.begin(x, z0)
    steps.attempt(x, state)
    torch.testing.assert_close(state.z, inverse(x))  # up to the rounding of float64
    energy = gfe.Gaussian().per_sample(linear(inverse(x)), x)
    torch.testing.assert_close(state.energy, energy)
    assert not state.stalled.any() and (state.work == 4).all()


def test_composition_penalty_is_zero_for_a_left_inverse_and_the_square_of_v_without_a_slope(
    linear: gfe.LinearDecoder, generator: torch.Generator
):
    z, v = torch.randn(2, 5, 3, generator=generator).double()
    code, penalty = reverse.composition(linear, pseudo_inverse(linear), z, v, residual=0.0)
    torch.testing.assert_close(code, z)
    assert penalty.max() < 1e-20  # the square of rounding
    flat = reverse.composition(linear, lambda picture: 0 * picture[:, :3], z, v)[1]
    torch.testing.assert_close(flat, v.square().mean(1))


def test_a_network_that_points_uphill_stalls_and_moves_nothing(
    linear: gfe.LinearDecoder, generator: torch.Generator
):
    x = torch.randn(5, 8, generator=generator).double()
    z0 = torch.zeros(5, 3, dtype=torch.double)
    inverse = pseudo_inverse(linear)
    steps = reverse.Steps(linear, lambda picture: -inverse(picture), gfe.Gaussian(), fraction=1.0)
    state = steps.begin(x, z0)
    for attempt in range(15):
        assert state.stalled.all() == (attempt > math.log2(1 / reverse.SMALLEST))
        steps.attempt(x, state)
    assert torch.equal(state.z, z0) and (state.work == 1 + 3 * 11).all(), "no work once stalled"


def test_training_brings_the_network_closer_to_an_inverse_and_leaves_the_decoder_alone(
    small: gfe.MLPDecoder, x: Tensor, generator: torch.Generator
):
    before = [weight.clone() for weight in small.parameters()]
    codes = torch.randn(20, 2, generator=generator)
    errors = []
    for updates in (1, 300):
        setting = replace(SETTING, updates=updates)
        network = reverse.fit_reverse(small, x, codes, setting, seed=0)
        error = reverse.composition_error(small, network, codes, gfe.Bernoulli(), seed=0)
        errors.append(error)
    assert errors[1] < 0.5 * errors[0]
    assert all(map(torch.equal, before, small.parameters()))
    assert all(weight.grad is None for weight in small.parameters())


def test_energies_of_the_steps_only_fall(small: gfe.MLPDecoder, x: Tensor):
    codes = gfe.encode(small, x, solver=gfe.LBFGS()).z
    network = reverse.fit_reverse(small, x, codes, SETTING, seed=0)
    steps = reverse.Steps(small, network, gfe.Bernoulli(), fraction=1.0)
    state = steps.begin(x, torch.zeros(20, 2))
    first = state.energy.clone()
    for _ in range(20):
        before = state.energy.clone()
        steps.attempt(x, state)
        assert (state.energy <= before).all()
    assert state.energy.mean() < first.mean()
    torch.testing.assert_close(state.energy, gfe.Bernoulli().per_sample(small(state.z), x))


@pytest.mark.parametrize("name", learnt.SOLVERS)
def test_the_clock_changes_no_search(name: str, small: gfe.MLPDecoder, x: Tensor):
    clock = learnt.Clock(0.0, n=20, before=1)
    learnt.by_solver(learnt.Problem(small, x, 0.0), torch.zeros(20, 2), clock, name=name)
    for attempts in (1, 3):
        enc = gfe.encode(
            small, x, solver=learnt.SOLVERS[name][0], stop=learnt.NEVER, max_steps=attempts
        )
        noted = clock.curve[attempts]
        assert noted["gap"] == enc.energy.double().mean().item()
        work = enc.statistics.work.double().mean().item()
        # mean work is kept in float32
        assert noted["work"] == pytest.approx(work + 1, rel=1e-6)
    seconds = [point["seconds"] for point in clock.curve]
    assert seconds == sorted(seconds)


def test_a_clock_ends_the_search_at_the_last_level():
    clock = learnt.Clock(1.0, n=2, before=0)
    work = torch.ones(2)
    clock.note(torch.tensor([1.1, 1.2]), work)
    clock.note(torch.tensor([1.0]), work[:1], torch.tensor([0]))
    assert [point["gap"] for point in clock.curve] == pytest.approx([0.15, 0.1])
    with pytest.raises(learnt.Reached):
        clock.note(torch.tensor([1.0, 1.0]), work)


def points(*triples: tuple[float, float, float]) -> list[dict[str, float]]:
    return [dict(zip(("seconds", "work", "gap"), triple, strict=True)) for triple in triples]


def test_cost_to_a_level_is_interpolated_in_the_logarithm_of_the_gap():
    curve = points((0.0, 1, 1.0), (1.0, 10, 1e-2), (3.0, 30, 1e-4))
    assert learnt.cost_to(curve, 1e-3) == pytest.approx({"seconds": 2.0, "work": 20.0})
    assert learnt.cost_to(curve, 1e-4) == pytest.approx({"seconds": 3.0, "work": 30.0})
    assert learnt.cost_to(curve, 2.0) == {"seconds": 0.0, "work": 1}
    assert learnt.cost_to(curve, 1e-5) is None


def test_a_gap_below_zero_counts_as_a_tenth_of_the_level():
    curve = points((0.0, 0, 1e-2), (2.0, 20, -1.0))
    assert learnt.cost_to(curve, 1e-3) == pytest.approx({"seconds": 1.0, "work": 10.0})


def test_training_pays_after_its_seconds_over_those_saved_for_an_image():
    assert learnt.images_to_pay(100.0, best=0.02, own=0.01) == pytest.approx(10_000)
    for best, own in ((0.01, 0.01), (0.01, 0.02), (0.01, None), (None, 0.01)):
        assert learnt.images_to_pay(100.0, best, own) is None


def test_a_missing_decoder_names_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(results, "folder", lambda: tmp_path / "results")
    with pytest.raises(FileNotFoundError, match="Make it: `python -m gfe_core decoders`"):
        learnt.loaded("mnist_one_pass")


@pytest.mark.parametrize("name", learnt.DECODERS)
def test_the_decoders_are_those_of_the_repository(name: str):
    assert learnt.loaded(name).latent_dim == 20


@pytest.mark.slow
@pytest.mark.usefixtures("sets")
def test_all_jobs_are_done_and_gathered_into_one_table(monkeypatch: pytest.MonkeyPatch):
    decoder = gfe.MLPDecoder(
        latent_dim=3,
        hidden=(8, 12),
        data_dim=16,
        generator=torch.Generator().manual_seed(0),
    )
    monkeypatch.setattr(learnt, "loaded", lambda name: decoder)
    monkeypatch.setattr(learnt, "REVERSE", replace(SETTING, updates=5))
    monkeypatch.setattr(learnt, "ATTEMPTS", 5)
    fitted = Config(**SMALL | {"method": "autoencoder", "n_validation": 20}).as_record()
    found = learnt.cell("mnist_one_pass", fitted, 0)
    assert found["training"].keys() == {"encoder", "reverse network"}
    lanes = found["lanes"]
    assert lanes["encoder, reverse network"]["training"] == pytest.approx(
        sum(found["training"].values())
    )
    assert lanes["origin, LBFGS"]["seconds to 0.001"] > 0
    assert lanes["origin, LBFGS"]["images to 0.001"] is None
    jobs = learnt.EXPERIMENT.jobs
    content = learnt.EXPERIMENT.gather(Records([{"fields": job.fields} | found for job in jobs]))
    table = learnt.EXPERIMENT.table(content)
    assert table.count("| origin, GaussNewton |") == 2
    assert "| encoder alone | not reached | not reached |" in table
