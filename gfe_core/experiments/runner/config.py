"""What a training run is, as one JSON object, and the images that it sees.

The last 10,000 training images are for choosing settings and for stopping early; no test image is
read here.
"""

import argparse
import difflib
import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gfe_core as gfe
from gfe_core import checks

N_VALIDATION = 10_000
METHODS = ("flow", "autoencoder", "logistic_pca", "stored_codes", "semi_amortised")
SETS = ("mnist", "seg-mnist", "fashion-mnist")
STOP = gfe.Stop(grad_norm=1e-6, energy_slope=3e-5, window=5)
"""When a code counts as found in every experiment.

Its own numbers, so that results keep their meaning when those of `encode` change.
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a run is: two runs with equal configs on one machine end at equal weights.

    Args:
        data: "mnist", "seg-mnist" (digits 0-4, judged on 5-9) or "fashion-mnist".
        n_images: training images, drawn by the seed; None takes all but the last 10,000.
        method: what finds codes in training: "flow" (from the origin), "autoencoder",
            "logistic_pca" (the flow with a linear decoder), "stored_codes" (from where it ended
            last), "semi_amortised" (from an encoder's guess).
        latent_dim: size of a code.
        hidden: widths of the decoder, mirrored by an encoder.
        size: images in a batch.
        epochs: passes over the images.
        updates_per_encode: decoder updates for each batch.
        rehearsals: more updates after each batch, at images met before and the codes found for them
            then.
        rehearsal_size: images in each of those.
        learning_rate: of Adam; the peak of a one-cycle schedule.
        schedule: "one_cycle" or "constant".
        warm_up: part of a one-cycle schedule in which the rate rises.
        weight_decay: of AdamW.
        max_steps: attempts of the flow for each image in training.
        grad_norm: of the flow's stop rule in training, as in `Stop`.
        energy_slope: of the same.
        window: of the same.
        n_validation: validation images judged after each epoch to keep the best weights; 0 keeps
            the last.
        seed: of initial weights, order and choice of images.

    Raises:
        ValueError: a field is out of range or of another type than its default.
    """

    data: str = "mnist"
    n_images: int | None = None
    method: str = "flow"
    latent_dim: int = 20
    hidden: tuple[int, ...] = (150, 300, 600)
    size: int = 100
    epochs: int = 1
    updates_per_encode: int = 1
    rehearsals: int = 0
    rehearsal_size: int = 32
    learning_rate: float = 2e-3
    schedule: str = "one_cycle"
    warm_up: float = 0.3
    weight_decay: float = 0.0
    max_steps: int = 16
    grad_norm: float = STOP.grad_norm
    energy_slope: float = STOP.energy_slope
    window: int = STOP.window
    n_validation: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            _same_type(field.name, getattr(self, field.name), field.default)
        object.__setattr__(self, "hidden", tuple(self.hidden))
        checks.one_of("data", self.data, SETS)
        checks.one_of("method", self.method, METHODS)
        checks.one_of("schedule", self.schedule, ("one_cycle", "constant"))
        for name in (
            "latent_dim",
            "size",
            "epochs",
            "updates_per_encode",
            "max_steps",
            "rehearsal_size",
        ):
            checks.at_least_one(name, getattr(self, name))
        if self.n_images is not None:
            checks.at_least_one("n_images", self.n_images)
        checks.finite_positive("learning_rate", self.learning_rate)
        checks.fraction("warm_up", self.warm_up)
        for name in ("weight_decay", "rehearsals", "seed"):
            value = getattr(self, name)
            checks.require(
                0 <= value < math.inf,
                f"`{name}` must be a finite number of at least 0, got {value}.",
            )
        fits = 0 <= self.n_validation <= N_VALIDATION
        checks.require(
            fits, f"`n_validation` must be between 0 and {N_VALIDATION}, got {self.n_validation}."
        )
        _ = self.stop  # refuses its numbers

    @property
    def stop(self) -> gfe.Stop:
        """When the flow of an image ends in training."""
        return gfe.Stop(
            grad_norm=self.grad_norm, energy_slope=self.energy_slope, window=self.window
        )

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Read the JSON that a run wrote, or one with just the fields.

        What is missing has its default.
        """
        return cls(**cls.load(path))

    @classmethod
    def load(cls, path: Path) -> dict[str, Any]:
        """Read only the fields that a file gives; unknown keys are refused."""
        try:
            content = json.loads(Path(path).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(
                f"`config` {path} cannot be read as JSON: {error} Pass the run.json of a run."
            ) from error
        if isinstance(content, dict) and "config" in content:
            content = content["config"]
        checks.require(
            isinstance(content, dict),
            f"`config` {path} must hold a JSON object with the fields of Config.",
        )
        known = [field.name for field in fields(cls)]
        for key in content:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0)[0]
            checks.require(
                key in known,
                f"`config` {path} has an unknown key {key!r}. Did you mean {nearest!r}?",
            )
        return {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in content.items()
        }


def add_options(parser: argparse.ArgumentParser) -> None:
    """One option for each field of a config."""
    for field in fields(Config):
        kind = (
            int
            if field.default is None or isinstance(field.default, tuple)
            else type(field.default)
        )
        option: dict[str, Any] = {"nargs": "+"} if isinstance(field.default, tuple) else {}
        name = f"--{field.name.replace('_', '-')}"
        told = f"default {field.default}"
        parser.add_argument(name, type=kind, default=None, help=told, metavar="VALUE", **option)


def from_options(chosen: argparse.Namespace) -> Config:
    """The config of a command: options that are given win over its file, if there is one."""
    known = Config.load(chosen.config) if chosen.config else {}
    given = {field.name: getattr(chosen, field.name) for field in fields(Config)}
    return Config(**known | {name: value for name, value in given.items() if value is not None})


def _same_type(name: str, value: Any, default: Any) -> None:
    """Refuse what a JSON file may hold in place of a number, a text or a list of widths."""
    if isinstance(default, tuple):
        fits = isinstance(value, (list, tuple)) and all(
            type(width) is int and width >= 1 for width in value
        )
        wanted = "a list of widths, whole numbers of at least 1"
    else:
        kind = int if default is None else type(default)
        fits = type(value) in ((int, float) if kind is float else (kind,)) or (
            default is None and value is None
        )
        wanted = {int: "a whole number", float: "a number", str: "a text"}[kind]
    checks.require(fits, f"`{name}` must be {wanted}, such as {default!r}, got {value!r}.")


def schedule_of(
    config: Config, optimizer: torch.optim.Optimizer, n_updates: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """The learning rates that a config names for so many updates; None keeps the rate."""
    if config.schedule == "constant":
        return None
    n_steps = n_updates + 1
    n_steps += (
        config.warm_up * n_steps == 1
    )  # torch divides by the length of a rise of exactly one step, less one
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=n_steps, pct_start=config.warm_up
    )


def chosen_images(config: Config) -> tuple[Tensor, Tensor]:
    """Training images that a config draws by its seed, and its validation images.

    Raises:
        ValueError: there are fewer than it asks for.
    """
    x, validation = images(config.data)
    wanted = {
        "n_images": (config.n_images or 0, len(x)),
        "n_validation": (config.n_validation, len(validation)),
    }
    for name, (n, n_there) in wanted.items():
        checks.require(
            n <= n_there,
            (
                f"`{name}` must be at most {n_there} with `data` {config.data!r}, got {n}. Ask for "
                "fewer."
            ),
        )
    if config.n_images:
        generator = torch.Generator().manual_seed(config.seed)
        x = x[torch.randperm(len(x), generator=generator)[: config.n_images]]
    return x, validation[: config.n_validation]


def images(data: str) -> tuple[Tensor, Tensor]:
    """Training and validation images.

    Of SegMNIST, validation shows the digits 5-9, which training never sees.
    """
    loaded = gfe.data.load("mnist" if data == "seg-mnist" else data)
    x = loaded.x[:-N_VALIDATION]
    validation = loaded.x[-N_VALIDATION:]
    if data == "seg-mnist":
        x = x[loaded.y[:-N_VALIDATION] < 5]
        validation = validation[loaded.y[-N_VALIDATION:] >= 5]
    return x, validation
