"""`reproduce learnt`: what do a learnt start and a learnt preconditioner save the flow?

Two networks are trained for each of the two decoders of data/checkpoints. An encoder gives a code
at once, or the start of the flow. A reverse network takes the place of a solver's knowledge of the
curvature. Every search is timed until the mean energy of the same test images comes as near to that
at rest: at equal accuracy, what is saved can be set against what the training costs.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

import gfe_core as gfe
from gfe_core.data import results
from gfe_core.experiments.mnist_decoders import new_decoder
from gfe_core.experiments.runner.config import STOP, Config, chosen_images
from gfe_core.experiments.runner.jobs import Experiment, Job
from gfe_core.experiments.runner.judging import in_words
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.tables import reverse, settings
from gfe_core.experiments.tables.cells import fit_afterwards, head, row, spread, summary
from gfe_core.solvers import State, Step
from gfe_core.solvers.recording import statistics as counts

SEEDS = range(3)
"""Seeds of both networks; the decoders are given."""
DECODERS = {"mnist_one_pass": "one pass", "mnist_six_passes": "six passes"}
N_TEST = 1000
"""Number of test images, from the start of the set, that are encoded at once."""
REPEATS = 3
LEVELS = (1e-3, 1.5e-4)
"""Mean energies above that at rest, in nats per pixel, to which searches are timed."""

NEVER = gfe.Stop(grad_norm=0, energy_slope=0)
REST: dict[str, Any] = {
    "solver": gfe.LBFGS(),
    "stop": gfe.Stop(grad_norm=1e-6, energy_slope=1e-6, window=5),
    "max_steps": 500,
}
"""Options of the search from the origin whose mean energy is that at rest."""
CODES: dict[str, Any] = {"solver": gfe.LBFGS(), "stop": STOP, "max_steps": 30}
"""Options of the search that finds the codes on which a reverse network is trained."""

SOLVERS = {
    "AMD": (gfe.AMD(), 400),
    "LBFGS": (gfe.LBFGS(), 100),
    "GaussNewton": (gfe.GaussNewton(), 50),
}
"""Solvers, each with the largest number of attempts."""
ATTEMPTS = 60
"""Largest number of attempts of a search by the reverse network."""
REVERSE = reverse.Setting(
    n_codes=10_000, updates=1500, size=128, rate=3e-3, noise=0.1, penalty=1.0, fraction=1.0
)
"""Training of the reverse networks, chosen on the last 10,000 training images."""
LOSS = gfe.Bernoulli()


NOTE = (
    f"The first {N_TEST:,} test images of MNIST at once, with the two decoders of "
    "[data/checkpoints](../checkpoints/README.md). TODO"
)


class Reached(Exception):  # noqa: N818 (no error, but the end of a search)
    """Raised by a clock to end a search that has come below the last level."""


class Clock:
    """Processor seconds, mean work and mean gap of a batch during a search.

    Args:
        rest: mean energy at rest, which the gap is measured from.
        n: number of samples.
    """

    def __init__(self, rest: float, n: int) -> None:
        self.rest = rest
        self.energy = torch.full((n,), math.inf)
        self.work = torch.zeros(n)
        self.curve: list[dict[str, float]] = []
        self.stalled: float | None = None
        self.since = time.process_time()

    def note(self, energy: Tensor, work: Tensor, rows: Tensor | slice = slice(None)) -> None:
        """Note the state of some samples, and how far the whole batch is.

        Raises:
            Reached: the mean gap is at most the lowest level.
        """
        seconds = time.process_time() - self.since
        self.energy[rows] = energy
        self.work[rows] = work.to(self.work.dtype)
        gap = self.energy.double().mean().item() - self.rest
        work_so_far = self.work.double().mean().item()
        self.curve.append({"seconds": seconds, "work": work_so_far, "gap": gap})
        if gap <= min(LEVELS):
            raise Reached


@dataclass(frozen=True)
class Timed:
    """A solver of the kit that notes the state on a clock before each attempt.

    Args:
        solver: solver that makes the steps.
        clock: clock of the search.
        before: work of each sample before this search.
    """

    solver: Any
    clock: Clock
    before: int = 0

    default_stop: ClassVar[gfe.Stop | None] = None
    default_max_steps: ClassVar[int] = 500

    @property
    def has_time(self) -> bool:
        """Whether its steps are flow time."""
        return self.solver.has_time

    @property
    def memory(self) -> int:
        """Number of energies that it uses."""
        return self.solver.memory

    def schedule(self, z0: Tensor, t1: float) -> Tensor | None:
        """Return the steps of a fixed grid."""
        return self.solver.schedule(z0, t1)

    def begin(self, energy: Any, flow: Any, state: State) -> None:
        """Prepare the first step."""
        self.solver.begin(energy, flow, state)

    def step(self, energy: Any, flow: Any, state: State, *, t1: float) -> Step:
        """Note the state, then propose a step."""
        self.clock.note(state.energy, counts(state).work + self.before, state.index)
        return self.solver.step(energy, flow, state, t1=t1)


Search = Callable[[gfe.MLPDecoder, Tensor, Tensor, Clock, int], None]
"""Search for the codes of images from a start, with the work so far, noted on a clock."""


def by_solver(
    decoder: gfe.MLPDecoder, x: Tensor, z0: Tensor, clock: Clock, before: int, *, name: str
) -> None:
    """Search by a solver of the kit, for a number of attempts."""
    solver, max_steps = SOLVERS[name]
    gfe.encode(
        decoder, x, z0=z0, solver=Timed(solver, clock, before), stop=NEVER, max_steps=max_steps
    )


def by_reverse(
    decoder: gfe.MLPDecoder, x: Tensor, z0: Tensor, clock: Clock, before: int, *, network: Any
) -> None:
    """Search by the steps of a reverse network, until every sample has stalled."""
    given: dict[str, Any] = {"fraction": REVERSE.fraction, "loss": LOSS}
    search = reverse.begin(decoder, x, z0, **given)
    for _ in range(ATTEMPTS):
        clock.stalled = search.stalled.double().mean().item()
        clock.note(search.energy, search.work + before)
        if search.stalled.all():
            return
        reverse.attempt(search, decoder, network, x, **given)


def code_alone(decoder: gfe.MLPDecoder, x: Tensor, z0: Tensor, clock: Clock, before: int) -> None:
    """Keep the start; its energy is judged, but not part of its cost."""
    seconds = time.process_time()
    with torch.no_grad():
        energy = LOSS.per_sample(decoder(z0), x)
    clock.since += time.process_time() - seconds
    clock.note(energy, torch.full((len(x),), before))


@dataclass(frozen=True)
class Lane:
    """One way to codes.

    Args:
        search: search from a start.
        network: encoder that gives the start; None starts at the origin.
        trained: names of the networks whose training it needs.
    """

    search: Search
    network: Any = None
    trained: tuple[str, ...] = ()

    def run(self, decoder: gfe.MLPDecoder, x: Tensor, rest: float) -> Clock:
        """Find codes and return the clock of the search."""
        z0 = torch.zeros(len(x), decoder.latent_dim)
        clock = Clock(rest, len(x))
        if self.network is not None:
            with torch.no_grad():
                z0 = self.network.layers(x)
        with suppress(Reached):
            self.search(decoder, x, z0, clock, int(self.network is not None))
        return clock


def lanes_of(network: Any, reversed_by: Any) -> dict[str, Lane]:
    """Return all ways to codes, by name."""
    solved = {name: partial(by_solver, name=name) for name in SOLVERS}
    pulled = partial(by_reverse, network=reversed_by)
    lanes = {f"origin, {name}": Lane(search) for name, search in solved.items()}
    lanes["origin, reverse network"] = Lane(pulled, trained=("reverse network",))
    lanes["encoder alone"] = Lane(code_alone, network, ("encoder",))
    for name in ("AMD", "LBFGS"):
        lanes[f"encoder, {name}"] = Lane(solved[name], network, ("encoder",))
    lanes["encoder, reverse network"] = Lane(pulled, network, ("encoder", "reverse network"))
    return lanes


def cost_to(curve: Sequence[Mapping[str, float]], level: float) -> dict[str, float] | None:
    """Return seconds and work to a level, between two attempts by interpolation of log gap.

    None if the curve stays above. A gap below a tenth of the level counts as a tenth, as it may be
    negative: another start may lead to a lower valley.
    """
    names = ("seconds", "work")
    if curve[0]["gap"] <= level:
        return {name: curve[0][name] for name in names}
    for one, other in pairwise(curve):
        if other["gap"] <= level:
            low = max(other["gap"], level / 10)
            share = math.log(one["gap"] / level) / math.log(one["gap"] / low)
            return {name: one[name] + share * (other[name] - one[name]) for name in names}
    return None


def race(
    lanes: Mapping[str, Lane], decoder: gfe.MLPDecoder, x: Tensor, rest: float
) -> dict[str, Any]:
    """Run all lanes, interleaved over the repeats, and return the medians of their costs."""
    clocks: dict[str, list[Clock]] = {name: [] for name in lanes}
    for _ in range(REPEATS):
        for name, lane in lanes.items():
            clocks[name].append(lane.run(decoder, x, rest))
    return {name: _judged(of) for name, of in clocks.items()}


def _judged(clocks: Sequence[Clock]) -> dict[str, Any]:
    """Return the costs to each level, and the end of the search; all runs follow one path."""
    result: dict[str, Any] = {"gap": clocks[0].curve[-1]["gap"], "stalled": clocks[0].stalled}
    result["longest"] = statistics.median(clock.curve[-1]["seconds"] for clock in clocks)
    result["attempts"] = len(clocks[0].curve) - 1
    for level in LEVELS:
        costs = [cost for clock in clocks if (cost := cost_to(clock.curve, level))]
        for name in ("seconds", "work"):
            values = [cost[name] for cost in costs]
            result[f"{name} to {level:g}"] = statistics.median(values) if values else None
    return result


def images_to_pay(
    raced: Mapping[str, Any], name: str, spent: float, level: float, n: int
) -> float | None:
    """Return the number of images after which the training has paid, None if it never does.

    Seconds are saved against the fastest search from the origin without a network.

    Args:
        raced: costs of all lanes.
        name: name of the lane.
        spent: seconds of training.
        level: level of the energy.
        n: number of images that were raced.
    """
    key = f"seconds to {level:g}"
    untrained = [raced[f"origin, {solver}"][key] for solver in SOLVERS]
    best = min(seconds for seconds in untrained if seconds is not None)
    own = raced[name][key]
    return None if own is None or own >= best else spent * n / (best - own)


def loaded(name: str) -> gfe.MLPDecoder:
    """Return a decoder of data/checkpoints."""
    decoder = new_decoder()
    folder = results.folder().parent / "checkpoints"
    gfe.load_checkpoint(folder / f"{name}.pt", decoder=decoder)
    return decoder


def cell(decoder: str, fitted: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train both networks for a decoder, and time all ways to the codes of the test images."""
    frozen = loaded(decoder)
    config = Config(**fitted)
    x, _ = chosen_images(config)
    test = gfe.data.load("mnist", split="test").x[:N_TEST]
    start = time.process_time()
    network = fit_afterwards(frozen, x, config)
    middle = time.process_time()
    x = x[: REVERSE.n_codes]
    codes = gfe.encode(frozen, x, size=1000, **CODES).z
    network_back = reverse.fit_reverse(frozen, x, codes, REVERSE, seed=seed)
    spent = {"encoder": middle - start, "reverse network": time.process_time() - middle}
    settled = gfe.encode(frozen, test, **REST)
    rest = settled.energy.double().mean().item()
    lanes = lanes_of(network, network_back)
    raced = race(lanes, frozen, test, rest)
    for name, lane in lanes.items():
        cost = sum(spent[which] for which in lane.trained)
        raced[name] |= {
            f"images to {level:g}": images_to_pay(raced, name, cost, level, len(test))
            for level in LEVELS
            if lane.trained
        }
        raced[name]["trained"] = cost
    return {
        "rest": rest,
        "rest from the encoder": _rest_from(network, frozen, test),
        "composition": composition_error(frozen, network_back, settled.z, seed),
        "training": spent,
        "lanes": raced,
        "seed": seed,
    }


def _rest_from(network: Any, decoder: gfe.MLPDecoder, x: Tensor) -> float:
    """Return the mean energy at rest of the search from the encoder's codes."""
    with torch.no_grad():
        z0 = network.layers(x)
    return gfe.encode(decoder, x, z0=z0, **REST).energy.double().mean().item()


def composition_error(decoder: gfe.MLPDecoder, network: Any, z: Tensor, seed: int) -> float:
    """Return the mean composition penalty at codes, for normal directions."""
    v = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        _, penalty = reverse.composition(reverse.picture_of(decoder, LOSS), network, z, v)
    return penalty.double().mean().item()


def _jobs() -> list[Job]:
    told = {
        "flow": in_words(CODES),
        "rest": in_words(REST),
        "reverse": asdict(REVERSE),
        "solvers": {name: [repr(solver), most] for name, (solver, most) in SOLVERS.items()},
        "attempts": ATTEMPTS,
        "levels": LEVELS,
        "n_test": N_TEST,
        "repeats": REPEATS,
    }
    jobs = []
    for seed in SEEDS:
        fitted = settings.learnt_start(seed).as_record()
        for decoder in DECODERS:
            arguments = {"decoder": decoder, "fitted": fitted, "seed": seed}
            fields = {"decoder": decoder, "seed": seed}
            jobs.append(Job(f"learnt-{decoder}-{seed}", cell, arguments, fields, told))
    return jobs


def _gather(records: Records) -> dict[str, Any]:
    return {"decoders": {name: _over_seeds(records.where(decoder=name)) for name in DECODERS}}


def _over_seeds(records: Records) -> dict[str, Any]:
    seeds = records.by("seed")
    names = seeds[SEEDS[0]]["lanes"]
    return {
        "rest": summary({seed: one["rest"] for seed, one in seeds.items()}),
        "rest from the encoder": summary(
            {seed: one["rest from the encoder"] for seed, one in seeds.items()}
        ),
        "composition": summary({seed: one["composition"] for seed, one in seeds.items()}),
        "lanes": {
            name: _lane({seed: one["lanes"][name] for seed, one in seeds.items()}) for name in names
        },
    }


def _lane(seeds: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the summary of each number that every seed has; None where a seed has none."""
    result = {}
    for name in next(iter(seeds.values())):
        values = {seed: one[name] for seed, one in seeds.items()}
        known = all(value is not None for value in values.values())
        result[name] = summary(values) if known else None
    return result


def _table(content: Mapping[str, Any]) -> str:
    return "\n\n".join(_decoder(name, one) for name, one in content["decoders"].items())


def _decoder(name: str, one: Mapping[str, Any]) -> str:
    rest, started = (one[key]["mean"] for key in ("rest", "rest from the encoder"))
    lines = [
        f"Decoder after {DECODERS[name]}. Energy at rest: {rest:.5f} from the origin, "
        f"{started:.5f} from the encoder's codes. Composition error of the reverse network: "
        f"{spread(one['composition'])}.",
        "",
        *head(
            "start, search",
            "seconds",
            "work",
            "gap at the end",
            "stalled, %",
            "training, s",
            "images until it pays",
        ),
    ]
    for lane, cost in one["lanes"].items():
        trained = cost["trained"]["mean"] > 0
        lines.append(
            row(
                lane,
                _to_levels(cost, "seconds", ".2f"),
                _to_levels(cost, "work", ".0f"),
                "-" if cost[f"seconds to {min(LEVELS):g}"] else f"{cost['gap']['mean']:.1e}",
                "-" if cost["stalled"] is None else f"{100 * cost['stalled']['mean']:.0f}",
                f"{cost['trained']['mean']:.0f} ± {cost['trained']['sd']:.0f}" if trained else "-",
                _to_levels(cost, "images", ",.0f", otherwise="never") if trained else "-",
            )
        )
    return "\n".join(lines)


def _to_levels(
    cost: Mapping[str, Any], name: str, form: str, otherwise: str = "not reached"
) -> str:
    """Return mean and spread of a number at each level."""
    numbers = [cost[f"{name} to {level:g}"] for level in LEVELS]
    texts = [f"{n['mean']:{form}} ± {n['sd']:{form}}" if n else otherwise for n in numbers]
    return texts[0] if not any(numbers) else " / ".join(texts)


EXPERIMENT = Experiment(
    name="learnt",
    question=(
        "What do a learnt start and a learnt preconditioner save the flow at equal accuracy?"
    ),
    jobs=_jobs(),
    gather=_gather,
    table=_table,
    note=NOTE,
)
