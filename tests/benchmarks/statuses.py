"""What the statuses mean: how much is left to gain at the codes that `encode` returns.

Random problems of ten kinds of decoders are encoded with default settings. From every code BFGS, in
double precision and without a rule to stop, goes on for ten times as many attempts. The table says
what ended how, and for how many samples called CONVERGED more than a hundredth of the descent was
left; how many of these are at a minimum (the Hessian is positive definite), so that BFGS left their
valley for another; and the work beside that of the stop rule of the committed results.

    python tests/benchmarks/statuses.py --solver AMD --problems 20
"""

import argparse
import copy
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.energy import Energy
from gfe_core.types import Encoding, Status

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "ELU": nn.ELU,
    "tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "SiLU": nn.SiLU,
}
SMOOTH = ("ELU", "tanh", "SiLU", "SIREN", "conv", "transposed", "linear")
KINDS = (*ACTIVATIONS, "SIREN", "conv", "transposed", "linear", "saturated", "constant")
SOLVERS = {
    "AMD": gfe.AMD(),
    "LBFGS": gfe.LBFGS(),
    "BFGS": gfe.BFGS(),
    "GaussNewton": gfe.GaussNewton(),
}
NEVER = gfe.Stop(grad_norm=0)
BEFORE = gfe.Stop(grad_norm=1e-6, energy_slope=3e-5, window=5)
"""The rule of the committed results."""
N_FEATURES = 24


def generator(seed: int) -> torch.Generator:
    """Return a source of randomness."""
    return torch.Generator().manual_seed(seed)


class Constant(nn.Module):
    """A decoder whose output does not depend on its code."""

    latent_dim = 4
    data_shape = (N_FEATURES,)

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.output = nn.Parameter(torch.randn(N_FEATURES, generator=generator(seed)))

    def forward(self, z: Tensor) -> Tensor:
        return self.output + 0 * z.sum(1, keepdim=True)


def perceptron(activation: Callable[[], nn.Module], seed: int, *, last: bool = False) -> Any:
    """Return a stack of layers with weights of one to two times torch's own, or four."""
    latent = 4 if last else (2, 4, 8, 16)[seed % 4]
    hidden = (16, 16) if last else ((16, 32), (32,), (24, 24, 24))[seed % 3]
    sizes = (latent, *hidden, N_FEATURES)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
    for layer in layers:
        for parameter in layer.parameters():
            parameter.data *= 4.0 if last else (1.0, 1.5, 2.0)[seed % 3]
    parts = [part for layer in layers for part in (layer, activation())]
    return gfe.wrap(
        nn.Sequential(*(parts if last else parts[:-1])), latent_dim=latent, data_shape=(N_FEATURES,)
    )


def decoder_of(kind: str, seed: int) -> Any:
    """Return a random decoder of this kind."""
    latent = 4 + seed % 5
    images: dict[str, Any] = {"latent_dim": latent, "generator": generator(seed)}
    if kind in ACTIVATIONS:
        return perceptron(ACTIVATIONS[kind], seed)
    if kind == "saturated":
        return perceptron(nn.Tanh, seed, last=True)
    if kind == "constant":
        return Constant(seed)
    if kind == "linear":
        return gfe.LinearDecoder(data_dim=N_FEATURES, **images)
    if kind == "SIREN":
        return gfe.SirenDecoder(
            image_shape=(6, 6), hidden=(16, 16), w0=(30.0, 5.0)[seed % 2], **images
        )
    family = gfe.ConvDecoder if kind == "conv" else gfe.TransposedConvDecoder
    return family(image_shape=(8, 8), channels=(8, 4), **images)


def problem(kind: str, seed: int, n: int = 8) -> tuple[Any, Tensor, Any]:
    """Return decoder, data that it explains in part, and loss."""
    decoder = decoder_of(kind, seed)
    random = generator(1000 + seed)
    with torch.no_grad():
        output = decoder((1 + seed % 3) * torch.randn(n, decoder.latent_dim, generator=random))
    if seed % 2:
        noise = torch.randn(output.shape, generator=random)
        return decoder, output + (0.0, 0.1, 0.3)[seed % 3] * output.std() * noise, gfe.Gaussian()
    grey = torch.sigmoid(output)
    x = torch.bernoulli(grey, generator=random) if seed % 4 == 0 else grey
    return decoder, x, gfe.Bernoulli()


def left_to_gain(decoder: Any, x: Tensor, loss: Any, found: Encoding) -> tuple[Tensor, Tensor]:
    """Return the share of the descent that was left, and whether a code is at a minimum."""
    decoder = copy.deepcopy(decoder).double()
    z = found.z.double()
    energy = Energy(decoder, x.double(), loss)
    n_steps = 10 * max(20, int(found.statistics.n_steps.max()))
    further = gfe.encode(
        decoder, x.double(), loss=loss, solver=gfe.BFGS(), z0=z, stop=NEVER, max_steps=n_steps
    )
    here = energy.value(z)
    gained = here - further.energy
    descent = energy.value(torch.zeros_like(z)) - here
    share = torch.where(gained > 1e-12, gained / descent.clamp(min=1e-300), 0.0)
    curvatures = torch.linalg.eigvalsh(energy.hessian(z))
    return share, curvatures[:, 0] > 1e-4 * curvatures[:, -1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--solver", choices=sorted(SOLVERS), default="AMD")
    parser.add_argument("--problems", type=int, default=20, help="of each kind")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    solver = SOLVERS[arguments.solver]
    totals: Counter[str] = Counter()
    print(f"{arguments.solver}, {arguments.problems} problems of each kind, 8 samples each\n")
    print("kind         work (before)  over 1 % left (another valley)  statuses")
    for kind in KINDS:
        counts: Counter[str] = Counter()
        statuses: Counter[str] = Counter()
        for seed in range(arguments.problems):
            decoder, x, loss = problem(kind, seed)
            found = gfe.encode(decoder, x, loss=loss, solver=solver)
            before = gfe.encode(decoder, x, loss=loss, solver=solver, stop=BEFORE)
            share, minimum = left_to_gain(decoder, x, loss, found)
            converged = found.status == Status.CONVERGED
            early = converged & (share > 0.01)
            counts["work"] += int(found.statistics.work.sum())
            counts["before"] += int(before.statistics.work.sum())
            counts["early"] += int(early.sum())
            counts["valley"] += int((early & minimum).sum())
            counts["n"] += len(x)
            counts["converged"] += int(converged.sum())
            statuses.update(Status(code).name for code in found.status.tolist())
        n = counts["n"]
        told = ", ".join(f"{count} {name}" for name, count in statuses.most_common())
        print(
            f"{kind:11s} {counts['work'] / n:6.0f} {counts['before'] / n:6.0f}"
            f"{counts['early']:12d} ({counts['valley']}){'':16s}{told}"
        )
        totals.update(counts)
        if kind in SMOOTH:
            totals.update(smooth=n, smooth_converged=counts["converged"])
    early = totals["early"] / totals["converged"]
    truly = (totals["early"] - totals["valley"]) / totals["converged"]
    smooth = totals["smooth_converged"] / totals["smooth"]
    print(f"\nCONVERGED with over 1 % left: {early:.1%}, without other valleys {truly:.1%}")
    print(f"smooth decoders' samples CONVERGED: {smooth:.1%}")
    print(f"work beside the rule of the committed results: {totals['work'] / totals['before']:.2f}")


if __name__ == "__main__":
    main()
