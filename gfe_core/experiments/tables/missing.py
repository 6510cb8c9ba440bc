"""`reproduce missing`: hidden pixels of MNIST, reconstructed from the observed ones.

Decoders trained on whole images get a part of each test image; energies are those of the hidden
pixels. The flow and logistic PCA leave hidden pixels out of the energy, and find a code by the
energy alone, with a prior of codes, or as an average over the posterior. Encoders get zeros in
place of hidden pixels. The strongest competitor is an encoder trained with gaps of the same kind as
those it is judged with. In the last rows no decoder has seen a whole image.
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
from gfe_core.types import Encoding

SEEDS = range(3)
N_TEST = 2000
"""Number of test images, from the start of the set; gaps are the same for every method."""
N_DRAWS = 50
"""Number of codes drawn from the posterior of each image."""

Gaps = Callable[[Tensor, torch.Generator], Tensor]
"""Function from images (n, pixels) and a generator to a mask, True where a pixel is observed."""


def at_random(share: float) -> Gaps:
    """Return gaps that remove each pixel with this probability."""
    return lambda x, generator: torch.rand(x.shape, generator=generator) >= share


def left_half(x: Tensor, generator: torch.Generator) -> Tensor:
    """Remove the left half of every image, which must be square."""
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
"""Kind of gap in every training image, and in the images that decoders are judged on."""


@dataclass(frozen=True)
class WithGaps:
    """An autoencoder that learns to reconstruct whole images from images with gaps.

    Its input has new gaps in every call; energies are those of the whole images, by which the best
    pass of a training is chosen.
    """

    autoencoder: encoders.Autoencoder
    gaps: Gaps
    generator: torch.Generator

    def __call__(self, decoder: Any, x: Tensor) -> Encoding:
        """Guess a code from a part of each image."""
        z = self.autoencoder(decoder, torch.where(self.gaps(x, self.generator), x, 0.0)).z
        return encoders.one_look(decoder, x, z, self.autoencoder.loss)


def whole(config: dict[str, Any]) -> dict[str, Any]:
    """Train on whole images and judge with every kind of gap."""
    run = finish(build(Config(**config)))
    return describe(run) | {"hidden": _judged(run, *MASKS)}


def trained_with_gaps(config: dict[str, Any], kind: str) -> dict[str, Any]:
    """Train an autoencoder with gaps of one kind and judge it with the same kind."""
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
    """Judge the mean of the training images, which ignores the observed pixels."""
    x, _ = chosen_images(Config(n_images=n_images, seed=seed))
    decoder = encoders.PCA(x, latent_dim=0, clip=0.0025)
    energies = {}
    for name, gaps in MASKS.items():
        test, seen = _test_images(gaps)
        energies[name] = {"image": _hidden_energy(decoder(x.new_zeros(len(test), 0)), test, seen)}
    return {"seed": seed, "hidden": energies}


def _test_images(gaps: Gaps) -> tuple[Tensor, Tensor]:
    x = gfe.data.load("mnist", split="test").x[:N_TEST]
    return x, gaps(x, torch.Generator().manual_seed(0))


def _hidden_energy(logits: Tensor, x: Tensor, seen: Tensor) -> float:
    """Return the mean energy of hidden pixels, in nats per pixel."""
    return gfe.Bernoulli().per_sample(logits, x, ~seen).double().mean().item()


def _judged(run: Run, *kinds: str) -> dict[str, dict[str, float]]:
    """Return energies of hidden pixels, by kind of gap and by encoder of the observed pixels."""
    prior = None
    if run.autoencoder is None:
        met = gfe.encode_observed(run.decoder, run.batches.x[:2000], **TO_REST)
        prior = posterior.GaussianPrior.fit(met.z)
    energies = {}
    for kind in kinds:
        x, seen = _test_images(MASKS[kind])
        drawn = _guessed(run, x, seen) if prior is None else _inferred(run, prior, x, seen)
        energies[kind] = {label: _hidden_energy(logits, x, seen) for label, logits in drawn.items()}
    return energies


def _guessed(run: Run, x: Tensor, seen: Tensor) -> dict[str, Tensor]:
    """Return logits at the codes of an encoder that gets zeros in the gaps."""
    assert run.autoencoder is not None
    return {
        "zeros": _logits(
            run.decoder, run.autoencoder(run.decoder, torch.where(seen, x, 0.0)).z.detach()
        )
    }


def _inferred(
    run: Run, prior: posterior.GaussianPrior, x: Tensor, seen: Tensor
) -> dict[str, Tensor]:
    """Return logits by the energy of observed pixels: alone, with prior, or posterior mean."""
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


_SETTINGS = SETTINGS | {"n_test": N_TEST, "n_draws": N_DRAWS}


def _job(name: str, work: Callable[..., dict[str, Any]], arguments: Any, **fields: Any) -> Job:
    own = {"n_test": N_TEST} if work is mean_image else _SETTINGS
    return Job(f"missing-{name}-{fields['seed']}", work, arguments, fields, own)


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
    """Return "method, encoder" -> seed -> energy, for one kind of gap."""
    energies: dict[str, dict[int, float]] = {}
    for record in records:
        fields = record["fields"]
        for encoder, energy in record["hidden"].get(kind, {}).items():
            energies.setdefault(f"{fields['method']}, {encoder}", {})[fields["seed"]] = energy
    return energies


def _gather(records: Records) -> dict[str, Any]:
    content: dict[str, Any] = {"energy": {}, "incomplete": {}}
    complete = Records([*records.where(trained="whole"), *records.where(trained="with gaps")])
    for kind in MASKS:
        energies = _energies(complete, kind)
        content["energy"][kind] = {title: summary(energies[key]) for title, key in COLUMNS.items()}
    energies = _energies(records.where(trained="incomplete"), LOST)
    for title, key in INCOMPLETE.items():
        content["incomplete"][title] = summary(energies[key])
    return content


def _table(content: Mapping[str, Any]) -> str:
    names = {name: name for name in COLUMNS}
    lines = head("hidden", *COLUMNS) + [
        row(kind, *cells_of(energies, names)) for kind, energies in content["energy"].items()
    ]
    columns = {name: name for name in INCOMPLETE}
    return "\n".join(
        [
            *lines,
            "",
            *head("trained with half of every image", *columns),
            row(LOST, *cells_of(content["incomplete"], columns)),
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
