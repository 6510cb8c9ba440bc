"""The settings of every run of the tables and figures, chosen on the last 10,000 training images.

All settings come from a small search with one seed and 1,000 validation images. For 480, 1,920 and
5,760 images the search covered learning rate, weight decay, batch size and passes. For all images
of MNIST and Fashion-MNIST it covered rate, attempts and batch size of the flow, and rate and passes
of the autoencoder. On SegMNIST the autoencoder has its settings of MNIST, the flow a rate, passes
and rehearsals of its own. For hidden pixels and spectra the search was smaller: up to five settings
for each method, on 400 validation images and on spectra of another seed.
"""

from typing import Any

from gfe_core.experiments.runner.config import Config

FEW = (480, 1920, 5760)
"""The paper's small numbers of images: 30, 120 and 360 batches of 16."""

FEW_METHODS = ("flow", "autoencoder", "logistic_pca")

CONVERGED_METHODS = ("autoencoder", "flow")

_ONCE: dict[int, dict[str, Any]] = {
    480: {"size": 5, "rehearsals": 10},
    1920: {"size": 10, "rehearsals": 10},
    5760: {"size": 20, "rehearsals": 10, "rehearsal_size": 64},
}
_ONCE_RATES = {
    "flow": (2e-3, 2e-3, 2e-3),
    "autoencoder": (1e-3, 1e-3, 2e-3),
    "logistic_pca": (4e-2, 4e-2, 2e-2),
}


def once(method: str, n_images: int, seed: int) -> Config:
    """Return the config of protocol (a): each image is encoded once.

    Every method makes the same number of decoder updates.
    """
    rate = _ONCE_RATES[method][FEW.index(n_images)]
    shared = _ONCE[n_images]
    return Config(
        method=method, n_images=n_images, seed=seed, learning_rate=rate, max_steps=40, **shared
    )


_REHEARSED = {"max_steps": 40, "rehearsals": 10}
_FREE: dict[tuple[str, int], dict[str, Any]] = {
    ("flow", 480): {
        "size": 10,
        "epochs": 8,
        "learning_rate": 2e-3,
        "weight_decay": 3.0,
        **_REHEARSED,
    },
    ("flow", 1920): {
        "size": 20,
        "epochs": 3,
        "learning_rate": 2e-3,
        "weight_decay": 1.0,
        **_REHEARSED,
    },
    ("flow", 5760): {
        "size": 40,
        "epochs": 3,
        "learning_rate": 2e-3,
        "weight_decay": 0.5,
        "max_steps": 40,
        "rehearsals": 8,
        "rehearsal_size": 64,
    },
    ("logistic_pca", 480): {"size": 20, "epochs": 40, "learning_rate": 8e-2, "weight_decay": 0.1},
    ("logistic_pca", 1920): {"size": 20, "epochs": 12, "learning_rate": 2e-2},
    ("logistic_pca", 5760): {"size": 40, "epochs": 6, "learning_rate": 2e-2},
    ("autoencoder", 480): {"size": 20, "epochs": 60, "learning_rate": 2e-3},
    ("autoencoder", 1920): {"size": 20, "epochs": 60, "learning_rate": 2e-3},
    ("autoencoder", 5760): {"size": 50, "epochs": 40, "learning_rate": 2e-3},
}


def free(method: str, n_images: int, seed: int) -> Config:
    """Return the config of protocol (b): as many passes over these images as help.

    Validation chooses the best pass.
    """
    own = _FREE[method, n_images]
    return Config(method=method, n_images=n_images, seed=seed, n_validation=1000, **own)


def fitted(n_images: int, seed: int) -> Config:
    """Return the config of an encoder fitted afterwards to a frozen decoder.

    It is that of the autoencoder for the same number of images.
    """
    return free("autoencoder", n_images, seed)


_CONVERGED: dict[tuple[str, str], dict[str, Any]] = {
    ("flow", "mnist"): {
        "epochs": 5,
        "learning_rate": 4e-3,
        "warm_up": 0.2,
        "rehearsals": 2,
        "rehearsal_size": 100,
    },
    ("flow", "seg-mnist"): {"epochs": 7, "learning_rate": 6e-3, "warm_up": 0.2},
    ("flow", "fashion-mnist"): {
        "size": 50,
        "epochs": 3,
        "learning_rate": 2e-3,
        "warm_up": 0.2,
        "rehearsals": 5,
        "rehearsal_size": 64,
    },
    ("autoencoder", "mnist"): {"epochs": 32, "learning_rate": 2e-3},
    ("autoencoder", "seg-mnist"): {"epochs": 32, "learning_rate": 2e-3},
    ("autoencoder", "fashion-mnist"): {"epochs": 32, "learning_rate": 2e-3},
}


def converged(method: str, data: str, seed: int) -> Config:
    """Return the config for all training images, within ten minutes of one processor core.

    Validation chooses the best pass.
    """
    return Config(
        method=method, data=data, seed=seed, n_validation=1000, **_CONVERGED[method, data]
    )


def fitted_to_converged(seed: int) -> Config:
    """Return the config of an encoder fitted afterwards to a frozen decoder of all MNIST images."""
    return Config(method="autoencoder", seed=seed, n_validation=1000, epochs=12, learning_rate=2e-3)


def learnt_start(seed: int) -> Config:
    """Return the config of the encoder whose codes start the flow on the two MNIST decoders.

    Four passes were compared with one, on the decoder after six passes.
    """
    return Config(method="autoencoder", seed=seed, n_validation=1000, epochs=4, learning_rate=2e-3)


def one_pass(method: str, seed: int) -> Config:
    """Return the config of one pass over the images at a constant rate, for curves."""
    rate = {"flow": 1e-3, "autoencoder": 1e-3, "logistic_pca": 1e-2}[method]
    return Config(method=method, size=20, learning_rate=rate, schedule="constant", seed=seed)


def twelve_passes(seed: int) -> Config:
    """Return the config of the autoencoder with twelve passes, as the paper compares it."""
    return Config(method="autoencoder", epochs=12, learning_rate=2e-3, seed=seed)


_MISSING: dict[str, dict[str, Any]] = {
    "flow": {
        "size": 40,
        "epochs": 5,
        "learning_rate": 3e-3,
        "warm_up": 0.2,
        "rehearsals": 4,
        "rehearsal_size": 64,
        "weight_decay": 0.3,
    },
    "logistic_pca": {"size": 40, "epochs": 8, "learning_rate": 2e-2},
    "autoencoder": {"size": 50, "epochs": 20, "learning_rate": 2e-3},
}
_MISSING_DECAY = {"whole": 1.0, "with gaps": 0.3, "incomplete": 0.3}


def missing(method: str, seed: int, task: str = "whole") -> Config:
    """Return the config for ten thousand images, whole, with gaps, or incomplete.

    The settings were chosen by the energy of hidden pixels, not of whole images.
    """
    own = dict(_MISSING[method])
    if method == "autoencoder":
        own["weight_decay"] = _MISSING_DECAY[task]
    return Config(method=method, n_images=10_000, n_validation=500, seed=seed, **own)


EMISSION_LINES: dict[str, dict[int, dict[str, Any]]] = {
    "flow": {
        50: {
            "n_updates": 2000,
            "learning_rate": 2e-3,
            "weight_decay": 0.1,
            "updates_per_encode": 4,
        },
        500: {
            "n_updates": 3000,
            "learning_rate": 2e-3,
            "weight_decay": 0.1,
            "updates_per_encode": 4,
        },
        5000: {
            "n_updates": 6000,
            "learning_rate": 2e-3,
            "weight_decay": 0.0,
            "updates_per_encode": 4,
        },
    },
    "autoencoder": {
        50: {"n_updates": 3000, "learning_rate": 2e-3, "weight_decay": 1.0},
        500: {"n_updates": 15000, "learning_rate": 2e-3, "weight_decay": 0.1},
        5000: {"n_updates": 10000, "learning_rate": 2e-3, "weight_decay": 0.0},
    },
    "linear decoder, flow": {
        50: {
            "n_updates": 1000,
            "learning_rate": 1e-2,
            "weight_decay": 0.1,
            "updates_per_encode": 4,
        },
        500: {
            "n_updates": 2000,
            "learning_rate": 1e-2,
            "weight_decay": 0.0,
            "updates_per_encode": 4,
        },
        5000: {
            "n_updates": 3000,
            "learning_rate": 1e-2,
            "weight_decay": 0.0,
            "updates_per_encode": 4,
        },
    },
}
"""Arguments of each training, by method and number of spectra."""
