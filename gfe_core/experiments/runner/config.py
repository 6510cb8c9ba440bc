"""The settings of a training run, as one JSON object, and the data that it trains on.

The last 10,000 training images serve to choose settings and to stop early; this module reads no
test image.
"""

import difflib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core import checks

N_VALIDATION = 10_000
METHODS = ("flow", "autoencoder", "logistic_pca", "stored_codes", "semi_amortised")
SETS = ("mnist", "seg-mnist", "fashion-mnist")
LOSSES = ("auto", "bernoulli", "gaussian", "poisson")
RATES = {"adam": 2e-3, "rmsprop": 5e-4}
"""Optimizers, each with its default learning rate."""
STOP = gfe.Stop(grad_norm=1e-6, energy_slope=3e-5, window=5)
"""The stop rule of every experiment.

Its numbers are written out, so that results keep their meaning if the defaults of `encode` change.
"""
SOLVER = gfe.AMD(dt_min=1e-12)
"""The solver that finds codes during training, as in the shipped results."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a run; two runs with equal configs on one machine end at equal weights.

    The text of each field is also the help of the option of `train` that sets it.

    Args:
        data: images to learn from: "mnist", "fashion-mnist", or "seg-mnist", which trains on the
            digits 0 to 4 and is judged on 5 to 9. The command train also takes any other name or
            path that gfe.data.load takes.
        n_images: number of training images, at least 1, drawn at random by the seed. None takes all
            but the last 10,000, which are kept for validation.
        method: source of codes in training: the "flow" from the origin, the same with a linear
            decoder ("logistic_pca"), the flow from its last end point ("stored_codes"), an encoder
            trained along ("autoencoder"), or the flow from an encoder's guess ("semi_amortised").
        latent_dim: number of latents, the length of a code; from 1 to the number of pixels.
        hidden: width of each hidden layer of the decoder, from code to image; each at least 1. An
            encoder has the same widths in reverse order. A linear decoder ignores them.
        size: number of images in a batch, at least 1.
        epochs: number of passes over the training images, at least 1.
        updates_per_encode: number of decoder updates for each batch, at least 1. All use the same
            codes, except that an autoencoder encodes again before each update.
        rehearsals: number of additional decoder updates after each batch, at least 0. Each draws
            images of earlier batches with the codes that were found for them then; an autoencoder
            encodes them again.
        rehearsal_size: number of images in each additional update, at least 1.
        learning_rate: step size of the optimizer, above 0. None takes that of the optimizer: 0.002
            for "adam", 0.0005 for "rmsprop". With a one-cycle schedule it is the highest rate,
            reached at the end of the warm-up.
        schedule: change of the learning rate: "one_cycle", a rise and then a fall to almost 0,
            or "constant".
        warm_up: fraction of all updates during which the rate of a one-cycle schedule rises,
            above 0 and below 1. A constant schedule ignores it.
        weight_decay: decay of "adam", at least 0. Before each update every weight shrinks by its
            product with the decay and the learning rate. It must be 0 with "rmsprop".
        max_steps: largest number of steps of the flow for each training image, rejected ones
            counted; at least 1. An autoencoder ignores it.
        grad_norm: gradient norm at which the flow of a training image stops, at least 0, in units
            of the energy per latent unit; as in `Stop`.
        energy_slope: fall of the energy per step, averaged over the last `window` steps and
            relative to the energy, at or below which the flow of a training image stops; at
            least 0.
        window: number of steps over which that fall is measured, at least 1.
        n_validation: number of validation images, from 0 to 10,000. They are judged after each
            epoch, and the weights with the lowest energy are kept. With 0 the last weights are
            kept.
        seed: seed of the initial weights, of the choice of images and of their order; a whole
            number, at least 0.
        optimizer: optimizer of the weights: "adam" (AdamW of torch), or "rmsprop" with the numbers
            of the paper: alpha 0.9, eps 1e-6, no momentum. The paper's constant rate is a separate
            option, the schedule.

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
    learning_rate: float | None = None
    schedule: str = "one_cycle"
    warm_up: float = 0.3
    weight_decay: float = 0.0
    max_steps: int = 16
    grad_norm: float = STOP.grad_norm
    energy_slope: float = STOP.energy_slope
    window: int = STOP.window
    n_validation: int = 0
    seed: int = 0
    optimizer: str = "adam"

    def __post_init__(self) -> None:
        _same_type("optimizer", self.optimizer, "adam")
        checks.one_of("optimizer", self.optimizer, tuple(RATES))
        object.__setattr__(self, "learning_rate", self.rate)
        for field in fields(self):
            default = RATES["adam"] if field.name == "learning_rate" else field.default
            _same_type(field.name, getattr(self, field.name), default)
        object.__setattr__(self, "hidden", tuple(self.hidden))
        self.check_data()
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
        checks.finite_positive("learning_rate", self.rate)
        checks.fraction("warm_up", self.warm_up)
        for name in ("weight_decay", "rehearsals", "seed"):
            value = getattr(self, name)
            checks.require(
                0 <= value < math.inf,
                f"`{name}` must be a finite number of at least 0, got {value}.",
            )
        checks.require(
            self.weight_decay == 0 or self.optimizer == "adam",
            f"`weight_decay` must be 0 with `optimizer` {self.optimizer!r}, got "
            f"{self.weight_decay}. Leave it out, or train by 'adam'.",
        )
        fits = 0 <= self.n_validation <= N_VALIDATION
        checks.require(
            fits, f"`n_validation` must be between 0 and {N_VALIDATION}, got {self.n_validation}."
        )
        _ = self.stop  # refuses invalid numbers

    def check_data(self) -> None:
        """Refuse data sets that are not among those of the paper's experiments."""
        checks.one_of("data", self.data, SETS)

    @property
    def rate(self) -> float:
        """Learning rate: the one given, or the default of the optimizer."""
        return RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    def as_record(self) -> dict[str, Any]:
        """Return the fields in the form of run.json and of the records of experiments.

        The optimizer is included only if it is not the default, so that records made before there
        was a choice still have equal settings.
        """
        record = asdict(self)
        if self.optimizer == "adam":
            del record["optimizer"]
        return record

    @property
    def stop(self) -> gfe.Stop:
        """Stop rule of the flow in training."""
        return gfe.Stop(
            grad_norm=self.grad_norm, energy_slope=self.energy_slope, window=self.window
        )

    @classmethod
    def read(cls, path: Path) -> "Config":
        """Read the JSON file of a run, or one that holds only the fields.

        Missing fields have their defaults.
        """
        return cls(**cls.load(path))

    @classmethod
    def load(cls, path: Path) -> dict[str, Any]:
        """Return only the fields that a file gives; unknown keys are refused."""
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


@dataclass(frozen=True, kw_only=True)
class OwnConfig(Config):
    """The settings of a run on any data that `gfe.data.load` takes, with any loss of the kit.

    Training uses the "train" split of the name or path, and "test" is for judging. Validation
    samples are drawn by the seed; at least one sample must remain to learn from.

    Args:
        loss: meaning of the decoder's output: "bernoulli" for grey values in [0, 1], "gaussian" for
            any numbers, which are centred and divided by their standard deviation before training,
            "poisson" for counts, or "auto": "bernoulli" if all values lie in [0, 1], "gaussian"
            otherwise.
    """

    loss: str = "auto"

    def check_data(self) -> None:
        """Check the loss only, because `gfe.data.load` refuses unknown names."""
        checks.one_of("loss", self.loss, LOSSES)


def read_config(path: Path) -> Config:
    """Read the config of a run, of either kind."""
    fields_given = OwnConfig.load(path)
    return OwnConfig(**fields_given) if "loss" in fields_given else Config(**fields_given)


def _same_type(name: str, value: Any, default: Any) -> None:
    """Refuse a value of another type than its default, which a JSON file may hold."""
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
        wanted = {int: "a whole number", float: "a number", str: "a string"}[kind]
    checks.require(fits, f"`{name}` must be {wanted}, such as {default!r}, got {value!r}.")


def optimizer_of(
    config: Config, parameters: Iterable[nn.Parameter]
) -> torch.optim.AdamW | torch.optim.RMSprop:
    """Return the optimizer of a config, for these parameters."""
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=config.rate, alpha=0.9, eps=1e-6)
    return torch.optim.AdamW(parameters, lr=config.rate, weight_decay=config.weight_decay)


def schedule_of(
    config: Config, optimizer: torch.optim.Optimizer, n_updates: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """Return the schedule of a config for this number of updates; None keeps the rate constant."""
    if config.schedule == "constant":
        return None
    n_steps = n_updates + 1
    # torch divides by the number of steps of the rise minus 1, which must not be 0
    n_steps += config.warm_up * n_steps == 1
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.rate,
        total_steps=n_steps,
        pct_start=config.warm_up,
        # otherwise torch would set the momentum of RMSprop, which is 0, to up to 0.95
        cycle_momentum=not isinstance(optimizer, torch.optim.RMSprop),
    )


@dataclass(frozen=True, kw_only=True)
class ChosenData:
    """The data of a run, as its decoder sees them.

    Args:
        x: training samples.
        validation: samples by which the best weights are chosen.
        loss: loss of the run; None is `Bernoulli()`.
        scaling: mean and scale by which data were converted, for `gfe.save`; None if they were not.
        image_shape: shape of an image, if samples are images.
        names: names of the features, if the data are a table.
        has_gaps: whether NaN is a missing value. For the image sets of the paper it is not, and a
            sample with NaN teaches nothing.
    """

    x: Tensor
    validation: Tensor
    loss: gfe.Bernoulli | gfe.Gaussian | gfe.Poisson | None = None
    scaling: dict[str, float] | None = None
    image_shape: tuple[int, ...] | None = None
    names: tuple[str, ...] | None = None
    has_gaps: bool = False


def chosen_data(config: Config) -> ChosenData:
    """Load the data of a config of either kind and draw its samples by the seed.

    Raises:
        ValueError: a name is unknown, or there are fewer samples than it asks for.
        DataError: a file is missing, damaged or unusable.
    """
    if not isinstance(config, OwnConfig):
        x, validation = chosen_images(config)
        return ChosenData(x=x, validation=validation)
    loaded = gfe.data.load(config.data)
    x = loaded.x
    n_wanted = config.n_validation + (config.n_images or 1)
    checks.require(
        n_wanted <= len(x),
        f"`data` {config.data!r} has {len(x)} training samples, fewer than the {n_wanted} of "
        "`n_validation` and `n_images`. Ask for fewer.",
    )
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(config.seed))
    validation, rest = order[: config.n_validation], order[config.n_validation :]
    kept = rest[: config.n_images].sort().values  # all if no number is given
    loss = loss_for(config, x)
    scaling = None
    if isinstance(loss, gfe.Gaussian):
        scaling = _scaling(x[kept])
        x = (x - scaling["mean"]) / scaling["scale"]
    return ChosenData(
        x=x[kept],
        validation=x[validation],
        loss=loss,
        scaling=scaling,
        image_shape=loaded.image_shape,
        names=loaded.features,
        has_gaps=bool(loaded.x.isnan().any()),
    )


def loss_for(config: OwnConfig, x: Tensor) -> gfe.Bernoulli | gfe.Gaussian | gfe.Poisson:
    """Return the loss of a config for these data."""
    kinds = {"bernoulli": gfe.Bernoulli(), "gaussian": gfe.Gaussian(), "poisson": gfe.Poisson()}
    if config.loss != "auto":
        return kinds[config.loss]
    known = x[~x.isnan()]
    grey = bool(((known >= 0) & (known <= 1)).all())
    return kinds["bernoulli" if grey else "gaussian"]


def _scaling(x: Tensor) -> dict[str, float]:
    """Return mean and standard deviation of all observed values."""
    known = x[~x.isnan()].double()
    spread = known.std(correction=0).item() if len(known) else 0.0
    return {"mean": known.mean().item(), "scale": spread if spread > 0 else 1.0}


def chosen_images(config: Config) -> tuple[Tensor, Tensor]:
    """Return the training images that a config draws by its seed, and its validation images.

    Raises:
        ValueError: there are fewer images than the config asks for.
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
    """Return training and validation images.

    For SegMNIST, validation images show the digits 5-9, which training never sees.
    """
    loaded = gfe.data.load("mnist" if data == "seg-mnist" else data)
    x = loaded.x[:-N_VALIDATION]
    validation = loaded.x[-N_VALIDATION:]
    if data == "seg-mnist":
        x = x[loaded.y[:-N_VALIDATION] < 5]
        validation = validation[loaded.y[-N_VALIDATION:] >= 5]
    return x, validation
