"""How fast are codes found? The kit's solvers beside others, on two MNIST decoders.

Every method starts at z = 0 with the same decoder, images and gradients; only the rule
differs. Methods are interleaved over the repeats and medians are reported, because timings on a
shared machine wander. Results go to data/results/bench.json. Peers are development dependencies:
torch.optim and torchdiffeq.
"""

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torchdiffeq
from torch import Tensor

import gfe_core as gfe
from gfe_core.data.files import write_text
from gfe_core.experiments import speed
from gfe_core.experiments.mnist_decoders import new_decoder

ROOT = Path(__file__).parents[2]
NEVER = gfe.Stop(grad_norm=0, energy_slope=0)
FORWARD_FLOP = 2 * (20 * 150 + 150 * 300 + 300 * 600 + 600 * 784)
LONG = 10.0
"""Seconds after which a run is not repeated."""


@dataclass(frozen=True)
class Found:
    """What a method returned: codes, and the forward-equivalents that an image took on average."""

    z: Tensor
    work: float


@dataclass
class Entry:
    """One method with one budget."""

    method: str
    budget: str
    run: Callable[[], Found]
    seconds: list[float] = field(default_factory=list)
    found: Found | None = None


def ours(decoder: Any, x: Tensor, solver: Any, stop: gfe.Stop = NEVER, **arguments: Any) -> Found:
    """Encode with a solver of the kit."""
    enc = gfe.encode(decoder, x, solver=solver, stop=stop, **arguments)
    return Found(enc.z, enc.statistics.work.double().mean().item())


def lbfgs(decoder: Any, x: Tensor, evaluations: int) -> Found:
    """torch.optim.LBFGS on the sum over the batch.

    One step length and one curvature for all samples together.
    """
    energy = gfe.Energy(decoder, x, gfe.Bernoulli())
    z = torch.zeros(len(x), decoder.latent_dim)
    calls = 0
    z.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [z],
        max_iter=evaluations,
        max_eval=evaluations,
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )

    def closure() -> Tensor:
        nonlocal calls
        calls += 1
        value, z.grad = energy.value_and_grad(z.detach())
        return value.sum()

    optimizer.step(closure)  # pyright: ignore[reportArgumentType]
    return Found(z.detach(), 2 * calls)


def adam(decoder: Any, x: Tensor, rate: float, evaluations: int) -> Found:
    """Adam on the codes, as auto-decoders do."""
    energy = gfe.Energy(decoder, x, gfe.Bernoulli())
    z = torch.zeros(len(x), decoder.latent_dim)
    optimizer = torch.optim.Adam([z.requires_grad_()], lr=rate)
    for _ in range(evaluations):
        z.grad = energy.at(z.detach()).grad()
        optimizer.step()
    return Found(z.detach(), 2 * evaluations)


def ode(decoder: Any, x: Tensor, method: str, t1: float, **options: Any) -> Found:
    """Torchdiffeq on dz/dt = -grad E; one step for the whole batch."""
    energy = gfe.Energy(decoder, x, gfe.Bernoulli())
    calls = 0

    def velocity(t: Tensor, z: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return -energy.at(z).grad()

    z = torchdiffeq.odeint(
        velocity,
        torch.zeros(len(x), decoder.latent_dim),
        torch.tensor([0.0, t1]),
        method=method,
        **options,
    )
    assert isinstance(z, Tensor)
    return Found(z[-1], 2 * calls)


def entries(decoder: Any, x: Tensor, tune: Tensor) -> Iterator[Entry]:
    """Every method with every budget."""

    def entry(
        method: str, budget: str, run: Callable[..., Found], *arguments: Any, **named: Any
    ) -> Entry:
        return Entry(method, budget, lambda: run(decoder, x, *arguments, **named))

    for steps in (25, 45, 75):
        yield entry("AMD", f"{steps} attempts", ours, gfe.AMD(), max_steps=steps)
        yield entry(
            "AMD, memory 8 (non-monotone)",
            f"{steps} attempts",
            ours,
            gfe.AMD(memory=8),
            max_steps=steps,
        )
    for steps in (25, 75):
        flow = gfe.NesterovFlow()
        yield entry(
            "AMD, momentum and restart",
            f"{steps} attempts",
            ours,
            gfe.AMD(),
            max_steps=steps,
            flow=flow,
        )
        gradients = gfe.BFGS(matrix_at=None)
        yield entry("BFGS, gradients only", f"{steps} attempts", ours, gradients, max_steps=steps)
    yield entry("AMD, carried step", "75 attempts", ours, gfe.AMD(trial="carry"), max_steps=75)
    yield entry("AMD.published()", "75 attempts", ours, gfe.AMD.published(), max_steps=75)
    for steps in (9, 11, 14, 17, 20):
        yield entry("BFGS", f"{steps} attempts", ours, gfe.BFGS(), max_steps=steps)
    for steps in (5, 6, 7, 9):
        yield entry("GaussNewton", f"{steps} attempts", ours, gfe.GaussNewton(), max_steps=steps)
    for slope in (1e-3, 1e-4, 3e-5):
        stop = gfe.Stop(grad_norm=1e-6, energy_slope=slope, window=5)
        yield entry("BFGS, each sample stops", f"slope {slope:g}", ours, gfe.BFGS(), stop)
        yield entry("AMD, each sample stops", f"slope {slope:g}", ours, gfe.AMD(), stop)
    for evaluations in (25, 40, 60, 90):
        yield entry("torch L-BFGS, summed batch", f"{evaluations} evaluations", lbfgs, evaluations)
    for evaluations in (60, 120, 240):
        rate = tuned_rate(decoder, tune, evaluations)
        yield entry(
            "torch Adam, tuned",
            f"{evaluations} evaluations, rate {rate:g}",
            adam,
            rate,
            evaluations,
        )
    yield entry("torchdiffeq dopri5", "t1 300", ode, "dopri5", 300.0, rtol=1e-3, atol=1e-4)
    dt = rk4_step(decoder, tune)
    yield entry(
        "torchdiffeq rk4", f"t1 300, dt {dt:.3g}", ode, "rk4", 300.0, options={"step_size": dt}
    )


def tuned_rate(decoder: Any, x: Tensor, evaluations: int) -> float:
    """Adam's best rate for this many evaluations, on images that are not measured."""
    energy = gfe.Energy(decoder, x, gfe.Bernoulli())
    return min(
        (0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
        key=lambda r: energy.value(adam(decoder, x, r, evaluations).z).mean().item(),
    )


def rk4_step(decoder: Any, x: Tensor) -> float:
    """Return 0.95 of RK4's limit for the stiffest of 100 images at their codes.

    RK4 does not pay for this knowledge.
    """
    stop = gfe.Stop(grad_norm=1e-6, energy_slope=3e-5, window=5)
    z = gfe.encode(decoder, x[:100], solver=gfe.BFGS(), stop=stop).z
    hessian = gfe.Energy(decoder, x[:100], gfe.Bernoulli()).hessian(z)
    return 0.95 * 2.785 / torch.linalg.eigvalsh(hessian)[:, -1].max().item()


def settled(decoder: Any, x: Tensor, z: Tensor) -> Tensor:
    """Energy at the bottom of the basin that each code lies in."""
    return gfe.encode(
        decoder,
        x,
        z0=z,
        solver=gfe.BFGS(),
        stop=gfe.Stop(grad_norm=1e-6, energy_slope=1e-6, window=5),
        max_steps=200,
    ).energy


def race(decoder: Any, x: Tensor, tune: Tensor, repeats: int) -> list[dict[str, Any]]:
    """Run everything, interleaved, and judge it."""
    runs = list(entries(decoder, x, tune))
    for repeat in range(repeats):
        for one in (one for one in runs if not one.seconds or one.seconds[0] < LONG):
            start = time.perf_counter()
            one.found = one.run()
            one.seconds.append(time.perf_counter() - start)
            print(
                f"  repeat {repeat + 1}: {one.method}, {one.budget}: {one.seconds[-1]:.2f} s",
                flush=True,
            )
    energy = gfe.Energy(decoder, x, gfe.Bernoulli())
    bottoms = [settled(decoder, x, one.found.z) for one in runs if one.found]
    best = torch.stack(bottoms).amin(0)
    rows = []
    for one, bottom in zip(runs, bottoms, strict=True):
        assert one.found is not None
        seconds = statistics.median(one.seconds)
        rows.append(
            {
                "method": one.method,
                "budget": one.budget,
                "seconds": seconds,
                "work": one.found.work,
                "gap": (energy.value(one.found.z) - bottom).mean().item(),
                "best_basin": (bottom - best < 1e-4).double().mean().item(),
                "gflops": one.found.work * FORWARD_FLOP * len(x) / seconds / 1e9,
            }
        )
    return rows


def time_to(rows: list[dict[str, Any]], method: str, gap: float) -> float | None:
    """Seconds to a gap, between the budgets that were run by interpolation of log gap.

    None if it was not reached.
    """
    points = sorted(
        (row["seconds"], max(row["gap"], 1e-9)) for row in rows if row["method"] == method
    )
    for (s0, g0), (s1, g1) in pairwise(points):
        if g0 > gap >= g1:
            return s0 + (s1 - s0) * math.log(g0 / gap) / math.log(g0 / g1)
    return points[0][0] if points[0][1] <= gap else None


def ladder(decoder: gfe.MLPDecoder, x: Tensor, gap: float, repeats: int) -> list[dict[str, Any]]:
    """Go from the public code's rule to ours, one change at a time.

    Each row has the work and the seconds to a mean gap on these images.
    """
    published = gfe.AMD.published()
    alone = replace(published, shared_step=False)
    current = replace(alone, slope_at="current")
    free = replace(current, dt_init=None, dt_min=0.0, dt_max=math.inf, trial_min=0.0)
    rungs: list[tuple[str, Any]] = [
        ("the public code's rule", published),
        ("a step for each sample", alone),
        ("gradient at the current point: a refused trial costs a loss", current),
        ("first step from curvature, steps without bounds", free),
        ("growth 2, decrease 0.5", replace(free, increase_factor=2.0, decrease_factor=0.5)),
        ("Barzilai-Borwein trials: AMD()", gfe.AMD()),
        ("curvature learnt from gradients: BFGS", gfe.BFGS(matrix_at=None)),
        ("and once computed: BFGS()", gfe.BFGS()),
    ]
    rows: list[dict[str, Any]] = []
    for number, (name, solver) in enumerate(rungs):
        rows.append({"rung": name} | _rung(decoder, x, solver, gap, repeats if number else 1))
    for before, row in pairwise(rows):
        row |= {f"{what}_factor": before[what] / row[what] for what in ("work", "seconds")}
    return rows


def stretched(decoder: gfe.MLPDecoder, x: Tensor, gap: float) -> list[dict[str, Any]]:
    """Measure the work of the public code's rule and of ours with latents c times as long.

    Apart from this scale, the problem is the same.
    """
    rows = []
    for c in (0.5, 1.0, 2.0):
        longer = gfe.stiffness.rescaled(decoder, c)
        public, own = (
            _rung(longer, x, solver, gap, 1)["work"] for solver in (gfe.AMD.published(), gfe.AMD())
        )
        rows.append({"c": c, "public work": public, "AMD() work": own, "ratio": public / own})
    return rows


def _rung(decoder: Any, x: Tensor, solver: Any, gap: float, repeats: int) -> dict[str, float]:
    """Accepted steps, work and seconds until the mean gap is reached."""
    enc = None
    budget = 12
    while enc is None or (enc.energy - settled(decoder, x, enc.z)).mean() > gap:
        budget = math.ceil(budget * 1.5)
        enc = gfe.encode(
            decoder, x, solver=solver, stop=NEVER, max_steps=budget, save_at=gfe.SaveAt.steps()
        )
    assert enc.trajectory is not None
    reached = (enc.trajectory.energy - settled(decoder, x, enc.z)).mean(1) <= gap
    step = int(reached.nonzero()[0])
    work = enc.trajectory.work[step].double().mean().item()
    attempts = max(1, round(work / enc.statistics.work.double().mean().item() * budget))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        gfe.encode(decoder, x, solver=solver, stop=NEVER, max_steps=attempts)
        seconds.append(time.perf_counter() - start)
    return {"steps": step, "work": work, "seconds": statistics.median(seconds)}


def ceiling() -> float:
    """Matrix-product rate of this machine in GFLOP/s, float32, for the kit's number of threads."""
    a = torch.randn(2048, 2048)
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        torch.mm(a, a)
        seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / statistics.median(seconds) / 1e9


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_words(row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in [names, *cells]) for i in range(len(names))]
    print(f"\n{title}")
    for line in [names, *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)))


def _words(value: Any) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Measure both decoders and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--decoder", choices=("mnist_one_pass", "mnist_six_passes"))
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    x = gfe.data.load("mnist", split="test").x[: chosen.images]
    tune = gfe.data.load("mnist").x[-300:]
    path = ROOT / "data" / "results" / "bench.json"
    common = {
        "command": "make bench",
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "torch": str(torch.__version__),
        "threads": chosen.threads,
        "images": len(x),
        "repeats": chosen.repeats,
    }
    for name in [chosen.decoder] if chosen.decoder else ["mnist_one_pass", "mnist_six_passes"]:
        decoder = new_decoder()
        gfe.load_checkpoint(ROOT / "data" / "checkpoints" / f"{name}.pt", decoder=decoder)
        rungs = ladder(decoder, x[:64], 1e-2, chosen.repeats)
        show(f"{name}: from the public code to ours, 64 images to a gap of 1e-2", rungs)
        stretch = stretched(decoder, x[:64], 1e-2)
        show(f"{name}: latents times c, 64 images to a gap of 1e-2", stretch)
        rows = race(decoder, x, tune, chosen.repeats)
        show(f"{name}: {len(x)} images", rows)
        methods = list(dict.fromkeys(row["method"] for row in rows))
        times = [
            {"method": m} | {f"seconds to {gap:g}": time_to(rows, m, gap) for gap in speed.GAPS}
            for m in methods
        ]
        show(f"{name}: seconds to a gap", times)
        found = common | {
            "ceiling_gflops": ceiling(),
            "ladder": rungs,
            "stretched": stretch,
            "race": rows,
            "times": times,
        }
        results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        path.parent.mkdir(exist_ok=True)
        results |= {name: found}
        write_text(path, json.dumps(results, indent=1) + "\n")
        print("\n" + speed.table(results))
        print(
            f"\nceiling {found['ceiling_gflops']:.0f} GFLOP/s; written to {path.relative_to(ROOT)}"
        )


if __name__ == "__main__":
    main()
