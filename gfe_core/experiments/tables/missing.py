"""`reproduce missing`: hidden pixels of MNIST, drawn from those that are seen.

Decoders of whole images are given a part of unseen ones; energies are those of the hidden pixels.
The flow and logistic PCA leave hidden pixels out of the energy, alone, with a prior of codes, or
averaged over the posterior; encoders are given zeros. An encoder trained with gaps of just the kind
it will meet is the rival to beat. In the last rows no decoder ever saw a whole image.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core import encoders
from gfe_core.experiments.runner.config import SOLVER, Config, chosen_images
from gfe_core.experiments.runner.jobs import Experiment, Job
from gfe_core.experiments.runner.judging import PRECISE, TO_REST
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.runner.runs import Run, build, describe, finish
from gfe_core.experiments.tables import settings
from gfe_core.experiments.tables.cells import SETTINGS, cells_of, head, row, summary
from gfe_core.methods import posterior
from gfe_core.types import Encoder, Encoding

SEEDS = range(3)
N_TEST = 2000
"""The first test images, all with the same gaps for every method."""
N_DRAWS = 50
"""Codes drawn from the posterior of each image."""

Gaps = Callable[[Tensor, torch.Generator], Tensor]
"""Images (n, pixels) and a source of chance -> True where a pixel is seen, of their shape."""


def at_random(share: float) -> Gaps:
    """Gaps that take each pixel with this probability."""
    return lambda x, generator: torch.rand(x.shape, generator=generator) >= share


def left_half(x: Tensor, generator: torch.Generator) -> Tensor:
    """Take the left half of every image, a square."""
    side = math.isqrt(x.shape[1])
    return (torch.arange(x.shape[1]) % side >= side // 2).expand(x.shape)


MASKS: dict[str, Gaps] = {
    "50 % at random": at_random(0.5),
    "75 % at random": at_random(0.75),
    "90 % at random": at_random(0.9),
    "left half": left_half,
}

COLUMNS = {
    "mean image": "mean, image",
    "logistic PCA": "logistic_pca, flow",
    "logistic PCA, with prior": "logistic_pca, with prior",
    "logistic PCA, posterior mean": "logistic_pca, posterior mean",
    "autoencoder given zeros": "autoencoder, zeros",
    "autoencoder trained with gaps": "trained_with_gaps, zeros",
    "flow": "flow, flow",
    "flow, with prior": "flow, with prior",
    "flow, posterior mean": "flow, posterior mean",
}
INCOMPLETE = {
    "logistic PCA, with prior": "logistic_pca, with prior",
    "autoencoder given zeros": "autoencoder, zeros",
    "flow": "flow, flow",
    "flow, with prior": "flow, with prior",
    "flow, posterior mean": "flow, posterior mean",
}
LOST = "50 % at random"
"""What is missing of every training image, and of the images they are judged on."""


@dataclass(frozen=True)
class WithGaps:
    """An autoencoder that learns to draw whole images from what gaps leave.

    Its input has new gaps every time.
    """

    autoencoder: Encoder
    gaps: Gaps
    generator: torch.Generator

    def __call__(self, decoder: Any, x: Tensor) -> Encoding:
        """Guess a code from a part of each image."""
        return self.autoencoder(decoder, torch.where(self.gaps(x, self.generator), x, 0.0))


def whole(config: dict[str, Any]) -> dict[str, Any]:
    """Train on whole images and judge with every kind of gap."""
    run = finish(build(Config(**config)))
    return describe(run) | {"hidden": _judged(run, *MASKS)}


def trained_with_gaps(config: dict[str, Any], kind: str) -> dict[str, Any]:
    """Train an autoencoder with gaps of one kind and judge it with these."""
    run = build(Config(**config))
    assert run.autoencoder is not None
    run.encoder = WithGaps(
        run.autoencoder, MASKS[kind], torch.Generator().manual_seed(run.config.seed)
    )
    run.watch.encoder = run.encoder
    finish(run)
    return describe(run) | {"hidden": _judged(run, kind)}


def incomplete(config: dict[str, Any], kind: str) -> dict[str, Any]:
    """Train on images with gaps of one kind and judge on new images with such gaps."""
    run = build(Config(**config))
    gaps = MASKS[kind]
    generator = torch.Generator().manual_seed(run.config.seed)
    run.batches.x, run.watch.x = (
        torch.where(gaps(x, generator), x, torch.nan) for x in (run.x, run.watch.x)
    )
    if run.autoencoder is not None:
        run.encoder = run.watch.encoder = encoders.Filled(run.autoencoder)
    else:
        run.encoder = partial(
            gfe.encode_observed,
            solver=SOLVER,
            stop=run.config.stop,
            max_steps=run.config.max_steps,
        )
        run.watch.encoder = partial(gfe.encode_observed, **TO_REST)
    finish(run)
    return describe(run) | {"hidden": _judged(run, kind)}


def mean_image(n_images: int, seed: int) -> dict[str, Any]:
    """The mean of the training images, whatever is seen."""
    x, _ = chosen_images(Config(n_images=n_images, seed=seed))
    decoder = encoders.PCA(x, latent_dim=0, clip=0.0025)
    found = {}
    for name, gaps in MASKS.items():
        test, seen = _test_images(gaps)
        found[name] = {"image": _hidden_energy(decoder(x.new_zeros(len(test), 0)), test, seen)}
    return {"seed": seed, "hidden": found}


def _test_images(gaps: Gaps) -> tuple[Tensor, Tensor]:
    x = gfe.data.load("mnist", split="test").x[:N_TEST]
    return x, gaps(x, torch.Generator().manual_seed(0))


def _hidden_energy(logits: Tensor, x: Tensor, seen: Tensor) -> float:
    """Mean energy of hidden pixels, nats per pixel."""
    return gfe.Bernoulli().per_sample(logits, x, ~seen).double().mean().item()


def _judged(run: Run, *kinds: str) -> dict[str, dict[str, float]]:
    """Energies of hidden pixels, by kind of gap and way to a code from the seen ones."""
    prior = None
    if run.autoencoder is None:
        met = gfe.encode_observed(run.decoder, run.batches.x[:2000], **TO_REST)
        prior = posterior.GaussianPrior.fit(met.z)
    found = {}
    for kind in kinds:
        x, seen = _test_images(MASKS[kind])
        drawn = _guessed(run, x, seen) if prior is None else _inferred(run, prior, x, seen)
        found[kind] = {way: _hidden_energy(logits, x, seen) for way, logits in drawn.items()}
    return found


def _guessed(run: Run, x: Tensor, seen: Tensor) -> dict[str, Tensor]:
    """Logits of what an encoder makes of zeros in the gaps."""
    assert run.autoencoder is not None
    return {
        "zeros": _logits(
            run.decoder, run.autoencoder(run.decoder, torch.where(seen, x, 0.0)).z.detach()
        )
    }


def _inferred(
    run: Run, prior: posterior.GaussianPrior, x: Tensor, seen: Tensor
) -> dict[str, Tensor]:
    """Logits by the energy of what is seen: alone, with the prior, averaged over the posterior."""
    believed = posterior.laplace(run.decoder, x, prior=prior, mask=seen, **TO_REST)
    mean, _ = posterior.spread(
        run.decoder, believed, n=N_DRAWS, generator=torch.Generator().manual_seed(0)
    )
    return {
        "flow": _logits(run.decoder, PRECISE(run.decoder, x, mask=seen).z),
        "with prior": _logits(run.decoder, believed.best),
        "posterior mean": mean.clamp(1e-6, 1 - 1e-6).logit(),
    }


def _logits(decoder: nn.Module, z: Tensor) -> Tensor:
    with torch.no_grad():
        return decoder(z)


def _config(method: str, seed: int, task: str = "whole") -> dict[str, Any]:
    return {"config": settings.missing(method, seed, task).as_record()}


_HOW = SETTINGS | {"n_test": N_TEST, "n_draws": N_DRAWS}


def _job(name: str, work: Callable[..., dict[str, Any]], arguments: Any, **fields: Any) -> Job:
    how = {"n_test": N_TEST} if work is mean_image else _HOW
    return Job(f"missing-{name}-{fields['seed']}", work, arguments, fields, how)


def _jobs() -> list[Job]:
    jobs = []
    for seed in SEEDS:
        n_images = settings.missing("flow", seed).n_images
        images = {"n_images": n_images, "seed": seed}
        jobs.append(_job("mean", mean_image, images, trained="whole", method="mean", seed=seed))
        for method in ("flow", "logistic_pca", "autoencoder"):
            of = {"method": method, "seed": seed}
            jobs.append(_job(method, whole, _config(method, seed), trained="whole", **of))
            config = _config(method, seed, "incomplete") | {"kind": LOST}
            name = f"incomplete_{method}"
            jobs.append(_job(name, incomplete, config, trained="incomplete", kind=LOST, **of))
        for i, kind in enumerate(MASKS):
            config = _config("autoencoder", seed, "with gaps") | {"kind": kind}
            of = {"method": "trained_with_gaps", "kind": kind, "seed": seed}
            name = f"trained_with_gaps_{i}"
            jobs.append(_job(name, trained_with_gaps, config, trained="with gaps", **of))
    return jobs


def _energies(records: Records, kind: str) -> dict[str, dict[int, float]]:
    """Map "method, way" to seed to energy, for one kind of gap."""
    found: dict[str, dict[int, float]] = {}
    for record in records:
        fields = record["fields"]
        for way, energy in record["hidden"].get(kind, {}).items():
            found.setdefault(f"{fields['method']}, {way}", {})[fields["seed"]] = energy
    return found


def _gather(records: Records) -> dict[str, Any]:
    found: dict[str, Any] = {"energy": {}, "incomplete": {}}
    complete = Records([*records.where(trained="whole"), *records.where(trained="with gaps")])
    for kind in MASKS:
        energies = _energies(complete, kind)
        found["energy"][kind] = {told: summary(energies[key]) for told, key in COLUMNS.items()}
    energies = _energies(records.where(trained="incomplete"), LOST)
    for told, key in INCOMPLETE.items():
        found["incomplete"][told] = summary(energies[key])
    return found


def _table(content: Mapping[str, Any]) -> str:
    names = {name: name for name in COLUMNS}
    lines = head("hidden", *COLUMNS) + [
        row(kind, *cells_of(found, names)) for kind, found in content["energy"].items()
    ]
    told = {name: name for name in INCOMPLETE}
    return "\n".join(
        [
            *lines,
            "",
            *head("trained with half of every image", *told),
            row(LOST, *cells_of(content["incomplete"], told)),
        ]
    )


EXPERIMENT = Experiment(
    name="missing",
    question="How well are hidden pixels drawn from those that are seen?",
    jobs=_jobs(),
    gather=_gather,
    table=_table,
    note=(
        "10,000 images of MNIST to learn from; energy of the hidden pixels alone of 2,000 test "
        "images, three seeds. One decoder, trained on whole images, serves every kind of gap; the "
        "autoencoder trained with gaps is another one for each kind."
    ),
)
