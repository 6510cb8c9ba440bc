"""Files that come with the package: the MNIST sample and trained decoders.

MNIST  ->  write_sample  ->  gfe_core/data/mnist-sample.npz
a data set  ->  train_decoder  ->  gfe_core/models/trained/NAME-LATENTS.pt, with its card
"""

import platform
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

import gfe_core as gfe
from gfe_core import checks
from gfe_core.data import DataSet, mnist_sample
from gfe_core.models.pretrained import CURVES, FOLDER, OWN_FOLDER, file_name, usual_latents
from gfe_core.solvers import Solver
from gfe_core.training import Report
from gfe_core.types import Encoding, Loss

IN_THE_PACKAGE = [
    *(("mnist-sample", n) for n in (2, 8, 20)),
    *(("digits", n) for n in (2, 8, 20)),
    *((curve, 1) for curve in CURVES),
    ("spectra", 8),
]
"""Name of the data and number of latents of every decoder in the package."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a training by Adam with a one-cycle rate, at codes that are found from 0.

    Args:
        hidden: widths of the hidden layers.
        activation: activation between the layers.
        loss: loss for encoding and training.
        passes: number of passes over the training data.
        updates: number of updates of the weights at the codes of each batch.
        size: number of samples in a batch.
        lr: largest learning rate of Adam.
        max_steps: largest number of attempts of the solver for each sample in a batch.
        seed: seed of the initial weights and of the order of the samples.
        solver: solver that finds the codes.
    """

    hidden: tuple[int, ...] = (64, 128)
    activation: str = "elu"
    loss: Loss = field(default_factory=gfe.Bernoulli)
    passes: int = 12
    updates: int = 2
    size: int = 64
    lr: float = 1e-2
    max_steps: int = 30
    seed: int = 0
    solver: Solver = field(default_factory=gfe.AMD)


_IMAGES = Recipe()
_SMALL_IMAGES = Recipe(hidden=(48, 96))
_CURVE = Recipe(
    hidden=(32, 32),
    activation="tanh",
    loss=gfe.Gaussian(),
    passes=300,
    size=100,
    lr=1e-2,
    max_steps=60,
)
_SPECTRA = Recipe(
    hidden=(48, 96, 128),
    loss=gfe.Gaussian(variance=0.02**2),
    passes=16,
    updates=10,
    size=100,
    max_steps=10,
    solver=gfe.LBFGS(),
)
_OTHERS = {**dict.fromkeys(CURVES, _CURVE), "digits": _SMALL_IMAGES, "spectra": _SPECTRA}


def recipe_for(data: str) -> Recipe:
    """Return the recipe for a decoder of this data set."""
    return _OTHERS.get(data, _IMAGES)


def folder_for(data: str, latent_dim: int) -> Path:
    """Return the folder in which `gfe.pretrained` looks for this decoder."""
    inside = (data, latent_dim) in IN_THE_PACKAGE
    return FOLDER if inside else gfe.data.data_folder() / OWN_FOLDER


def write_sample() -> Path:
    """Write the MNIST sample, selected from the full set, which is downloaded if necessary."""
    train, test = (_bytes_of(gfe.data.load("mnist", split)) for split in ("train", "test"))
    return mnist_sample.write(train, test)


def _bytes_of(data: DataSet) -> mnist_sample.Images:
    """Turn grey values back into their original bytes."""
    images = (data.x * 255).round().to(torch.uint8).reshape(-1, 28, 28)
    return mnist_sample.Images(images, data.y)


def train_decoder(
    data: str,
    latent_dim: int | None = None,
    *,
    folder: Path | None = None,
    recipe: Recipe | None = None,
    callback: Callable[[Report], bool | None] = lambda report: None,
) -> Path:
    """Train a decoder, judge it on test data, and write it with its card, in half precision.

    Args:
        data: name of a data set, as for `gfe.data.load`.
        latent_dim: size of a code; by default that of `gfe.pretrained`.
        folder: folder for the file; by default the one in which `gfe.pretrained` looks for it.
        recipe: settings of the training; `recipe_for(data)` by default.
        callback: callback of `fit`, for progress.

    Returns:
        The path of the file.
    """
    recipe = recipe or recipe_for(data)
    latent_dim = latent_dim or usual_latents(data)
    train, test = (gfe.data.load(data, split) for split in ("train", "test"))
    start = time.perf_counter()
    decoder = gfe.MLPDecoder(
        latent_dim=latent_dim,
        hidden=recipe.hidden,
        data_dim=train.x.shape[1],
        activation=recipe.activation,
        image_shape=train.image_shape,
        generator=torch.Generator().manual_seed(recipe.seed),
    )
    _learn(decoder, train, recipe, callback)
    minutes = (time.perf_counter() - start) / 60
    kept = deepcopy(decoder).half().float()  # judged in the precision in which it is saved
    judge = partial(encoder_for(train), solver=recipe.solver, loss=recipe.loss)
    energy = gfe.evaluate(kept, test.x, encoder=judge, loss=recipe.loss).energy
    settings = {name: str(value) for name, value in vars(recipe).items()}
    card = {
        "data": f"{data}: {len(train)} training and {len(test)} test samples",
        "encoder": f"{type(recipe.solver).__name__} from z = 0, without an encoder network",
        "settings": settings,
        "command": f"python -m gfe_core bundled decoders --data {data} --latent-dim {latent_dim}",
        "test_energy": energy.double().mean().item(),
        "minutes": minutes,
        "torch": str(torch.__version__),
        "machine": platform.machine(),
    }
    folder = folder or folder_for(data, latent_dim)
    return gfe.save(folder / file_name(data, latent_dim), kept.half(), loss=recipe.loss, card=card)


def encoder_for(data: DataSet) -> Callable[..., Encoding]:
    """Return the function that encodes this data: with missing values, from the others."""
    return gfe.encode_observed if data.x.isnan().any() else gfe.encode


def _learn(
    decoder: gfe.MLPDecoder,
    train: DataSet,
    recipe: Recipe,
    callback: Callable[[Report], bool | None],
) -> None:
    """Train the decoder in place."""
    batches = gfe.data.Batches(train.x, size=recipe.size, seed=recipe.seed)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=recipe.lr)
    n_updates = recipe.updates * recipe.passes * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=n_updates + 1)
    quick = partial(
        encoder_for(train),
        solver=recipe.solver,
        stop=gfe.Stop(energy_slope=1e-3),
        max_steps=recipe.max_steps,
        loss=recipe.loss,
    )
    history = gfe.fit(
        decoder,
        batches,
        encoder=quick,
        loss=recipe.loss,
        optimizer=optimizer,
        schedule=schedule,
        epochs=recipe.passes,
        updates_per_encode=recipe.updates,
        callbacks=[callback],
        on_interrupt="raise",
    )
    checks.require(
        not history.interrupted,
        "`callback` stopped the training: nothing was written. Return None to go on.",
    )
