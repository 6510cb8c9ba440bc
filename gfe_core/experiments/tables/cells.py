"""Cells of the tables: few images, converged decoders, and decoders crossed with encoders.

A cell is one training run judged on all test images by every encoder that it has: "flow" (from the
origin), "encoder" (its own network, or one fitted afterwards to its frozen decoder) and
"encoder_then_flow".
"""

import statistics
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import gfe_core as gfe
from gfe_core import encoders
from gfe_core.experiments.runner.callbacks import Watch
from gfe_core.experiments.runner.config import (
    SOLVER,
    Config,
    chosen_images,
    optimizer_of,
    schedule_of,
)
from gfe_core.experiments.runner.judging import TO_REST, encoders_of, in_words, judged
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.runner.runs import describe, train

SETTINGS: dict[str, Any] = {"training": {"solver": repr(SOLVER)}, "judging": in_words(TO_REST)}
"""Settings of a cell beside its config."""


def trained_cell(config: dict[str, Any], *, fitted: dict[str, Any] | None = None) -> dict[str, Any]:
    """Train one decoder and judge it on the test images by every encoder that it has.

    Args:
        config: fields of the config of the run.
        fitted: fields of the config of an encoder that is fitted to the decoder afterwards; None
            fits none.
    """
    run = train(Config(**config))
    network = run.autoencoder
    if fitted is not None:
        assert isinstance(run.decoder, gfe.MLPDecoder)
        network = fit_afterwards(run.decoder, run.x, Config(**fitted))
    return describe(run) | {"test": judged(run.decoder, encoders_of(network), run.config.data)}


def fit_afterwards(decoder: gfe.MLPDecoder, x: Tensor, config: Config) -> encoders.Autoencoder:
    """Fit an encoder to a frozen decoder on these images; validation chooses the pass."""
    network = encoders.Autoencoder.mirror(
        decoder, generator=torch.Generator().manual_seed(config.seed)
    )
    batches = gfe.data.Batches(x, size=config.size, seed=config.seed)
    optimizer = optimizer_of(config, network.parameters())
    schedule = schedule_of(
        config, optimizer, config.epochs * len(batches) * config.updates_per_encode
    )
    validation = chosen_images(config)[1]
    watch = Watch(torch.nn.ModuleList([network]), network, validation, len(batches))
    encoders.fit_encoder(
        network,
        decoder,
        batches,
        optimizer=optimizer,
        schedule=schedule,
        epochs=config.epochs,
        updates_per_encode=config.updates_per_encode,
        callbacks=[watch],
        on_interrupt="raise",
    )
    watch.restore()
    return network


def pca_cell(data: str, n_images: int, latent_dim: int, seed: int) -> dict[str, Any]:
    """Judge PCA, or the mean image if latent_dim is 0, of the training images of a seed."""
    x, validation = chosen_images(
        Config(data=data, n_images=n_images, seed=seed, n_validation=1000)
    )

    decoder = encoders.PCA(x, latent_dim=latent_dim)

    def energy(clip: float) -> float:
        decoder.clip = clip
        return gfe.evaluate(decoder, validation, encoder=encoders.project).energy.mean().item()

    decoder.clip = min((0.0025, 0.005, 0.01, 0.02, 0.04), key=energy)
    return {
        "clip": decoder.clip,
        "seed": seed,
        "test": judged(decoder, {"encoder": encoders.project}, data),
    }


def summary(values: Mapping[int, float]) -> dict[str, Any]:
    """Return mean and standard deviation over seeds (None for one seed), and the value at each.

    Args:
        values: energy, or another number, of each seed.
    """
    return {
        "mean": statistics.fmean(values.values()),
        "sd": statistics.stdev(values.values()) if len(values) > 1 else None,
        "by_seed": {str(seed): value for seed, value in values.items()},
    }


def summaries(energies: Mapping[str, Mapping[int, float]]) -> dict[str, dict[str, Any]]:
    """Return the summary of every column."""
    return {label: summary(values) for label, values in energies.items()}


def collect(records: Records, measure: str = "energy") -> dict[str, dict[int, float]]:
    """Return "method, encoder" -> seed -> mean of a measure on test images.

    Args:
        records: records of cells.
        measure: name of the measure, "energy" or "excess".
    """
    means: dict[str, dict[int, float]] = {}
    for record in records:
        fields = record["fields"]
        for encoder, value in record["test"].items():
            means.setdefault(f"{fields['method']}, {encoder}", {})[fields["seed"]] = value[measure]
    return means


def head(*names: object) -> list[str]:
    """Return the first two rows of a Markdown table."""
    return [row(*names), row(*["---"] * len(names))]


def row(*entries: object) -> str:
    """Return one row of a Markdown table."""
    return f"| {' | '.join(map(str, entries))} |"


def cells_of(summaries: Mapping[str, Any], columns: Mapping[str, str]) -> list[str]:
    """Return the mean of each column and, if there are several seeds, its spread."""
    chosen = [summaries[key] for key in columns.values()]
    return [f"{s['mean']:.4f}" + ("" if s["sd"] is None else f" ± {s['sd']:.4f}") for s in chosen]


def spread(moments: Mapping[str, Any]) -> str:
    """Return mean and spread over several seeds, with two decimals for errors above one."""
    return f"{moments['mean']:.2f} ± {moments['sd']:.2f}"
