"""`reproduce learnt`: what do a learnt start and a learnt preconditioner save the flow?

Two networks are trained for each of the two decoders of data/checkpoints. The encoder gives a code
at once, or the start of a search. The reverse network replaces the solver: its steps need neither a
gradient nor a matrix. Every search is timed until the mean energy of the same test images comes
equally near to that at rest, so that the seconds saved can be compared with those of the training.
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
from gfe_core import encoders
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
"""Seeds of both networks; the decoders are the same for all."""
DECODERS = {"mnist_one_pass": "one pass", "mnist_six_passes": "six passes"}
N_TEST = 1000
"""Number of test images, from the start of the set, that are encoded at once."""
REPEATS = 3
LEVELS = (1e-3, 1.5e-4)
"""Mean energies above that at rest, in nats per pixel, to which searches are timed."""
LOSS = gfe.Bernoulli()

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
    n_codes=10_000, updates=1000, size=128, rate=3e-3, noise=0.1, penalty=0.1, fraction=1.0
)
"""Training of the reverse networks.

It was chosen among seven, by the energy of 300 of the last 10,000 training images with the decoder
after six passes: weights 0, 0.1 and 1 of the penalty, more or less noise on codes, pictures with
and without residuals, and first fractions of 0.3 and 1.
"""


class Reached(Exception):  # noqa: N818 (no error, but the end of a search)
    """Raised by a clock to end a search that has come down to the last level."""


class Clock:
    """Processor seconds, mean work and mean gap of a batch during a search.

    Args:
        rest: mean energy at rest, from which gaps are measured.
        n: number of samples.
        before: work of each sample before the search, in forward-equivalents.
    """

    def __init__(self, rest: float, *, n: int, before: int) -> None:
        self.rest = rest
        self.before = before
        self.energy = torch.full((n,), math.inf)
        self.work = torch.zeros(n)
        self.curve: list[dict[str, float]] = []
        self.stalled: float | None = None
        self.since = time.process_time()

    def note(self, energy: Tensor, work: Tensor, rows: Tensor | slice = slice(None)) -> None:
        """Note energy and work of some samples, and add a point of the whole batch to the curve.

        Raises:
            Reached: the mean gap is at most the lowest level.
        """
        seconds = time.process_time() - self.since
        self.energy[rows] = energy
        self.work[rows] = (work + self.before).to(self.work.dtype)
        work_so_far = self.work.double().mean().item()
        gap = self.energy.double().mean().item() - self.rest
        self.curve.append({"seconds": seconds, "work": work_so_far, "gap": gap})
        if gap <= min(LEVELS):
            raise Reached


@dataclass(frozen=True)
class Timed:
    """A solver that notes the state on a clock before each attempt.

    Args:
        solver: solver of the kit, which makes the steps.
        clock: clock of the search.
    """

    solver: Any
    clock: Clock

    default_stop: ClassVar[gfe.Stop | None] = None
    default_max_steps: ClassVar[int] = 500

    @property
    def has_time(self) -> bool:
        """Whether the steps of the solver are flow time."""
        return self.solver.has_time

    @property
    def memory(self) -> int:
        """Number of accepted energies that the solver uses."""
        return self.solver.memory

    def schedule(self, z0: Tensor, t1: float) -> Tensor | None:
        """Return the solver's steps, if they are known beforehand."""
        return self.solver.schedule(z0, t1)

    def begin(self, energy: gfe.Energy, flow: Any, state: State) -> None:
        """Prepare the solver."""
        self.solver.begin(energy, flow, state)

    def step(self, energy: gfe.Energy, flow: Any, state: State, *, t1: float) -> Step:
        """Note the state, then let the solver propose the next one."""
        self.clock.note(state.energy, counts(state).work, state.index)
        return self.solver.step(energy, flow, state, t1=t1)


@dataclass(frozen=True)
class Problem:
    """Images whose codes are wanted.

    Args:
        decoder: decoder of the codes.
        x: images.
        rest: mean energy at rest.
    """

    decoder: gfe.MLPDecoder
    x: Tensor
    rest: float


Search = Callable[[Problem, Tensor, Clock], None]
"""Search from start codes, noted on a clock."""


def by_solver(problem: Problem, z0: Tensor, clock: Clock, *, name: str) -> None:
    """Search by a solver of the kit."""
    solver, max_steps = SOLVERS[name]
    timed = Timed(solver, clock)
    gfe.encode(problem.decoder, problem.x, z0=z0, solver=timed, stop=NEVER, max_steps=max_steps)


def by_reverse(problem: Problem, z0: Tensor, clock: Clock, *, network: reverse.Map) -> None:
    """Search by the steps of a reverse network, until every sample has stalled."""
    steps = reverse.Steps(problem.decoder, network, LOSS, REVERSE.fraction)
    state = steps.begin(problem.x, z0)
    clock.note(state.energy, state.work)
    for _ in range(ATTEMPTS):
        if state.stalled.all():
            return
        steps.attempt(problem.x, state)
        clock.stalled = state.stalled.double().mean().item()
        clock.note(state.energy, state.work)


def code_alone(problem: Problem, z0: Tensor, clock: Clock) -> None:
    """Keep the start. Its energy is judged, but not part of its cost."""
    start = time.process_time()
    with torch.no_grad():
        energy = LOSS.per_sample(problem.decoder(z0), problem.x)
    clock.since += time.process_time() - start
    clock.note(energy, torch.zeros_like(energy))


@dataclass(frozen=True)
class Lane:
    """One way to the codes of a problem.

    Args:
        search: search from a start.
        encoder: encoder that gives the start; None starts at the origin.
        needs: names of the networks that must be trained before.
    """

    search: Search
    encoder: encoders.Autoencoder | None = None
    needs: tuple[str, ...] = ()

    def run(self, problem: Problem) -> Clock:
        """Find the codes, and return the clock of the search."""
        n = len(problem.x)
        clock = Clock(problem.rest, n=n, before=int(self.encoder is not None))
        z0 = torch.zeros(n, problem.decoder.latent_dim)
        if self.encoder is not None:
            z0 = codes_by(self.encoder, problem.x)
        with suppress(Reached):
            self.search(problem, z0, clock)
        return clock


@torch.no_grad()
def codes_by(encoder: encoders.Autoencoder, x: Tensor) -> Tensor:
    """Return an encoder's codes, without their energies."""
    return encoder.layers(x)


def lanes_of(encoder: encoders.Autoencoder, network: reverse.Map) -> dict[str, Lane]:
    """Return all ways to codes by their names, given both trained networks."""
    solved = {name: partial(by_solver, name=name) for name in SOLVERS}
    pulled = partial(by_reverse, network=network)
    lanes = {f"origin, {name}": Lane(search) for name, search in solved.items()}
    lanes["origin, reverse network"] = Lane(pulled, needs=("reverse network",))
    lanes["encoder alone"] = Lane(code_alone, encoder, ("encoder",))
    for name in ("AMD", "LBFGS"):
        lanes[f"encoder, {name}"] = Lane(solved[name], encoder, ("encoder",))
    lanes["encoder, reverse network"] = Lane(pulled, encoder, ("encoder", "reverse network"))
    return lanes


def cost_to(curve: Sequence[Mapping[str, float]], level: float) -> dict[str, float] | None:
    """Return seconds and work to a level, interpolated between two attempts in the log of the gap.

    None means that the curve stays above the level. A gap below a tenth of the level counts as a
    tenth, because it may be negative: another start may lead to lower minima.
    """
    names = ("seconds", "work")
    if curve[0]["gap"] <= level:
        return {name: curve[0][name] for name in names}
    for before, after in pairwise(curve):
        if after["gap"] <= level:
            low = max(after["gap"], level / 10)
            share = math.log(before["gap"] / level) / math.log(before["gap"] / low)
            return {name: before[name] + share * (after[name] - before[name]) for name in names}
    return None


def race(lanes: Mapping[str, Lane], problem: Problem) -> dict[str, dict[str, Any]]:
    """Run all lanes, interleaved over the repeats, and return the medians of their costs."""
    clocks: dict[str, list[Clock]] = {name: [] for name in lanes}
    for _ in range(REPEATS):
        for name, lane in lanes.items():
            clocks[name].append(lane.run(problem))
    return {name: _judged(of) for name, of in clocks.items()}


def _judged(clocks: Sequence[Clock]) -> dict[str, Any]:
    """Return the costs to each level and the end of the search; all runs follow the same path."""
    first = clocks[0]
    judged: dict[str, Any] = {
        "attempts": len(first.curve) - 1,
        "gap": first.curve[-1]["gap"],
        "longest": statistics.median(clock.curve[-1]["seconds"] for clock in clocks),
        "stalled": first.stalled,
    }
    for level in LEVELS:
        costs = [cost for clock in clocks if (cost := cost_to(clock.curve, level))]
        for name in ("seconds", "work"):
            values = [cost[name] for cost in costs]
            judged[f"{name} to {level:g}"] = statistics.median(values) if values else None
    return judged


def images_to_pay(training: float, best: float | None, own: float | None) -> float | None:
    """Return the number of images after which a training has paid; None if it never does.

    Args:
        training: seconds of the training.
        best: seconds for one image by the fastest search without a trained network.
        own: seconds for one image with the network.
    """
    if best is None or own is None or own >= best:
        return None
    return training / (best - own)


def priced(
    raced: Mapping[str, Mapping[str, Any]], lanes: Mapping[str, Lane], training: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Return the costs of all lanes with the seconds of training, and the images until it pays."""
    result = {name: {**cost, "training": 0.0} for name, cost in raced.items()}
    for level in LEVELS:
        key = f"seconds to {level:g}"
        plain = [raced[name][key] for name, lane in lanes.items() if not lane.needs]
        best = min((seconds for seconds in plain if seconds is not None), default=None)
        for name, lane in lanes.items():
            spent = sum(training[which] for which in lane.needs)
            images = images_to_pay(spent * N_TEST, best, raced[name][key]) if lane.needs else None
            result[name] |= {"training": spent, f"images to {level:g}": images}
    return result


def loaded(name: str) -> gfe.MLPDecoder:
    """Return a decoder of data/checkpoints.

    Raises:
        FileNotFoundError: there is no such file; the message names the command that makes it.
    """
    path = results.folder().parent / "checkpoints" / f"{name}.pt"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing. Make it: `python -m gfe_core decoders`.")
    decoder = new_decoder()
    gfe.load_checkpoint(path, decoder=decoder)
    return decoder


def cell(decoder: str, fitted: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train both networks for a decoder, and time all ways to the codes of the test images."""
    given = loaded(decoder)
    config = Config(**fitted)
    x = chosen_images(config)[0]
    test = gfe.data.load("mnist", split="test").x[:N_TEST]
    start = time.process_time()
    encoder = fit_afterwards(given, x, config)
    middle = time.process_time()
    x = x[: REVERSE.n_codes]
    codes = gfe.encode(given, x, size=N_TEST, **CODES).z
    network = reverse.fit_reverse(given, x, codes, REVERSE, seed=seed)
    training = {"encoder": middle - start, "reverse network": time.process_time() - middle}

    at_rest = gfe.encode(given, test, **REST)
    from_codes = gfe.encode(given, test, z0=codes_by(encoder, test), **REST)
    rest = at_rest.energy.double().mean().item()
    lanes = lanes_of(encoder, network)
    raced = race(lanes, Problem(given, test, rest))
    return {
        "rest": rest,
        "rest from the encoder": from_codes.energy.double().mean().item(),
        "composition": reverse.composition_error(given, network, at_rest.z, LOSS, seed=seed),
        "training": training,
        "lanes": priced(raced, lanes, training),
        "seed": seed,
    }


def _jobs() -> list[Job]:
    told = {
        "flow": in_words(CODES),
        "rest": in_words(REST),
        "solvers": {name: [repr(solver), most] for name, (solver, most) in SOLVERS.items()},
        "reverse": asdict(REVERSE) | {"attempts": ATTEMPTS},
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
    content: dict[str, Any] = {
        name: summary({seed: one[name] for seed, one in seeds.items()})
        for name in ("rest", "rest from the encoder", "composition")
    }
    content["lanes"] = {
        name: _summaries({seed: one["lanes"][name] for seed, one in seeds.items()})
        for name in seeds[SEEDS[0]]["lanes"]
    }
    return content


def _summaries(seeds: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the summary of each number that all seeds have, and None for the others."""
    found = {}
    for name in seeds[SEEDS[0]]:
        values = {seed: one[name] for seed, one in seeds.items()}
        found[name] = None if None in values.values() else summary(values)
    return found


_HEAD = ("codes", "seconds", "work", "gap at the end", "stalled, %", "training, s", "images to pay")


def _table(content: Mapping[str, Any]) -> str:
    return "\n\n".join(_decoder(name, one) for name, one in content["decoders"].items())


def _decoder(name: str, one: Mapping[str, Any]) -> str:
    rest, started = one["rest"], one["rest from the encoder"]
    lines = [
        f"Decoder after {DECODERS[name]}: mean energy at rest {rest['mean']:.5f} from the origin, "
        f"{started['mean']:.5f} ± {started['sd']:.5f} from the encoder's codes; composition error "
        f"of the reverse network {spread(one['composition'])}.",
        "",
        *head(*_HEAD),
    ]
    return "\n".join([*lines, *(_row(lane, cost) for lane, cost in one["lanes"].items())])


def _row(lane: str, cost: Mapping[str, Any]) -> str:
    learnt = cost["training"]["mean"] > 0
    reached = cost[f"seconds to {min(LEVELS):g}"] is not None
    return row(
        lane,
        _to_levels(cost, "seconds", ".2f"),
        _to_levels(cost, "work", ".0f"),
        "-" if reached else f"{cost['gap']['mean']:.1e} ± {cost['gap']['sd']:.0e}",
        "-" if cost["stalled"] is None else f"{100 * cost['stalled']['mean']:.0f}",
        f"{cost['training']['mean']:.0f} ± {cost['training']['sd']:.0f}" if learnt else "-",
        _to_levels(cost, "images", ",.0f", otherwise="never") if learnt else "-",
    )


def _to_levels(
    cost: Mapping[str, Any], name: str, form: str, otherwise: str = "not reached"
) -> str:
    """Return mean and spread of a number at each level."""
    numbers = [cost[f"{name} to {level:g}"] for level in LEVELS]
    texts = [f"{n['mean']:{form}} ± {n['sd']:{form}}" if n else otherwise for n in numbers]
    return " / ".join(texts) if any(numbers) else otherwise


EXPERIMENT = Experiment(
    name="learnt",
    question=(
        "What do a learnt start and a learnt preconditioner save the flow at equal accuracy?"
    ),
    jobs=_jobs(),
    gather=_gather,
    table=_table,
    note=(
        f"The first {N_TEST:,} test images of MNIST at once, with the two decoders of "
        "[data/checkpoints](../checkpoints/README.md); three seeds of the networks. Processor "
        "seconds of one thread, and forward-equivalents of an image, until the mean energy is "
        f"{LEVELS[0]:g} and {LEVELS[1]:g} nats per pixel above that at rest (LBFGS from the "
        f"origin); medians of {REPEATS} interleaved runs. "
        "*Encoder:* a network fitted to the frozen decoder on 50,000 images, alone or as the start "
        "(after Urbano et al. 2026, [arXiv 2606.08204](https://arxiv.org/abs/2606.08204)). "
        "*Reverse network:* a network g with g(f(z)) = z for the pictures f(z), whose Jacobian is "
        "trained to undo that of f. A step moves the picture towards the image and pulls it back "
        "through g (after Kachhadiya 2026, "
        "[arXiv 2605.13068](https://arxiv.org/abs/2605.13068)), in at most "
        f"{ATTEMPTS} attempts. An image has *stalled* if not even a thousandth of the way lowers "
        "its energy: the direction that g gives is then no descent. The composition error is 0 for "
        "a left inverse, and about 1 for a network that ignores its input. *Gap at the end:* what "
        "was left where a level was not reached. *Images to pay:* the number of images after which "
        "the training has paid, compared with the fastest search without a network."
    ),
)
