"""`reproduce spectra`: physical parameters predicted from codes of noisy spectra with gaps.

Each method learns codes from n spectra. A probe learns the physical parameters from the codes of
the same n spectra, and is judged on a thousand others. PCA and the autoencoder get the mean in
place of missing flux; the flow leaves missing flux out of the energy.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import gfe_core as gfe
from gfe_core import encoders
from gfe_core.data import DataSet, emission_lines
from gfe_core.experiments.runner.config import SOLVER, STOP
from gfe_core.experiments.runner.jobs import Experiment, Job
from gfe_core.experiments.runner.judging import TO_REST, in_words
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.runner.runs import machine
from gfe_core.experiments.tables.cells import cells_of, head, row, summary
from gfe_core.experiments.tables.settings import EMISSION_LINES
from gfe_core.types import Encoder

SEEDS = range(3)
SIZES = (50, 500, 5000)
N_TEST = 1000
LATENT = 8
HIDDEN = (64, 128, 128)
NOISE = 0.02
METHODS = ("PCA", "autoencoder", "linear decoder, flow", "flow")
RAW = "the spectrum itself"
LOSS = gfe.Gaussian(variance=NOISE**2)
TRAINING: dict[str, Any] = {"loss": LOSS, "solver": SOLVER, "stop": STOP, "max_steps": 30}
JUDGING: dict[str, Any] = {"loss": LOSS, **TO_REST}
"""Options of the flow while a decoder learns and when it is judged."""


def cell(method: str, n: int, seed: int, *, judged_on: int = 1) -> dict[str, Any]:
    """Learn from n spectra, and judge reconstructions and probe on spectra of another seed."""
    train = emission_lines.make(n, seed=100 + seed, noise=NOISE)
    test = emission_lines.make(N_TEST, seed=judged_on, noise=NOISE)
    mean = train.x.nanmean(0)
    codes = {"PCA": _pca, RAW: _raw}.get(method, partial(_learnt, method, seed))
    z_train, z_test, drawn = codes(train, test, mean)
    result: dict[str, Any] = {"r2": probe(z_train, train.y, z_test, test.y), "seed": seed}
    if drawn is not None:
        result["energy"] = (
            LOSS.per_sample(drawn, emission_lines.clean(test.y)).double().mean().item()
        )
    return result | machine()


def probe(z: Tensor, y: Tensor, z_test: Tensor, y_test: Tensor) -> dict[str, float]:
    """Return the R^2 on test spectra of kernel ridge regression from codes to each parameter.

    The settings of the regression are cross-validated on the training spectra.
    """
    grid = {"kernelridge__alpha": [1e-3, 1e-2, 1e-1], "kernelridge__gamma": [0.01, 0.03, 0.1, 0.3]}
    search = GridSearchCV(make_pipeline(StandardScaler(), KernelRidge(kernel="rbf")), grid, cv=3)
    scale = y.std(0)
    search.fit(z.double().numpy(), ((y - y.mean(0)) / scale).numpy())
    predicted = torch.from_numpy(search.predict(z_test.double().numpy())) * scale + y.mean(0)
    scores = np.atleast_1d(r2_score(y_test.numpy(), predicted.numpy(), multioutput="raw_values"))
    return dict(zip(emission_lines.PARAMETERS, scores.tolist(), strict=True))


def _filled(x: Tensor, mean: Tensor) -> Tensor:
    return torch.where(x.isnan(), mean, x)


def _raw(train: DataSet, test: DataSet, mean: Tensor) -> tuple[Tensor, Tensor, None]:
    """Return the spectra themselves, with the mean in their gaps, in place of codes."""
    return _filled(train.x, mean), _filled(test.x, mean), None


def _pca(train: DataSet, test: DataSet, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    pca = PCA(LATENT).fit(_filled(train.x, mean).numpy())
    z_train, z_test = (
        torch.from_numpy(pca.transform(_filled(data.x, mean).numpy())) for data in (train, test)
    )
    return z_train, z_test, torch.from_numpy(pca.inverse_transform(z_test.numpy())).float()


def _learnt(
    method: str, seed: int, train: DataSet, test: DataSet, mean: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return codes and reconstructions of a decoder trained with its encoder."""
    decoder, encoder = train_decoder(
        method, train.x, seed, **EMISSION_LINES[method][len(train)], fill=mean
    )
    with torch.no_grad():
        z_train = encoder(decoder, train.x).z
        z_test = encoder(decoder, test.x).z
        return z_train, z_test, decoder(z_test)


def train_decoder(
    method: str,
    x: Tensor,
    seed: int,
    *,
    fill: Tensor,
    n_updates: int,
    learning_rate: float,
    weight_decay: float,
    updates_per_encode: int = 1,
) -> tuple[Any, Encoder]:
    """Train a decoder on incomplete spectra; return it with the encoder for new spectra."""
    generator = torch.Generator().manual_seed(seed)
    sizes: dict[str, Any] = {"latent_dim": LATENT, "data_dim": x.shape[1], "generator": generator}
    linear = method.startswith("linear")
    decoder = gfe.LinearDecoder(**sizes) if linear else gfe.MLPDecoder(hidden=HIDDEN, **sizes)
    trained = [*decoder.parameters()]
    encoder = partial(gfe.encode_observed, **TRAINING)
    judge: Encoder = partial(gfe.encode_observed, **JUDGING)
    if method == "autoencoder":
        assert isinstance(decoder, gfe.MLPDecoder)
        network = encoders.Autoencoder.mirror(decoder, loss=LOSS, generator=generator)
        trained += network.parameters()
        judge = encoder = encoders.Filled(network, fill)
    batches = gfe.data.Batches(x, size=min(len(x), 50), seed=seed)
    epochs = max(1, round(n_updates / updates_per_encode / len(batches)))
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=weight_decay)
    n_steps = epochs * len(batches) * updates_per_encode + 1
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=n_steps)
    gfe.fit(
        decoder,
        batches,
        encoder=encoder,
        loss=LOSS,
        optimizer=optimizer,
        schedule=schedule,
        epochs=epochs,
        updates_per_encode=updates_per_encode,
        on_interrupt="raise",
    )
    return decoder, judge


def _job(method: str, n: int, seed: int) -> Job:
    name = f"spectra-{n}-{method.replace(', ', '_').replace(' ', '_')}-{seed}"
    fields = {"method": method, "n": n, "seed": seed}
    settings: dict[str, Any] = {"n_test": N_TEST, "noise": NOISE}
    if method != RAW:
        settings["latent_dim"] = LATENT
    if method in EMISSION_LINES:
        settings |= {"learning": EMISSION_LINES[method][n], "hidden": HIDDEN}
        settings |= {"training": in_words(TRAINING), "judging": in_words(JUDGING)}
    return Job(name, cell, fields, fields, settings)


def _gather(records: Records) -> dict[str, Any]:
    content: dict[str, Any] = {
        "r2": {},
        "energy": {},
        "parameters": list(emission_lines.PARAMETERS),
    }
    for n in SIZES:
        of = {method: records.where(method=method, n=n).by("seed") for method in (*METHODS, RAW)}
        content["r2"][str(n)] = {
            method: {
                name: summary({seed: c["r2"][name] for seed, c in seeds.items()})
                for name in emission_lines.PARAMETERS
            }
            for method, seeds in of.items()
        }
        content["energy"][str(n)] = {
            method: summary({seed: c["energy"] for seed, c in of[method].items()})
            for method in METHODS
        }
    return content


def _table(content: Mapping[str, Any]) -> str:
    names = {method: method for method in METHODS}
    lines = ["Energy against the clean flux, nats per wavelength.", "", *head("spectra", *METHODS)]
    lines += [row(n, *cells_of(scores, names)) for n, scores in content["energy"].items()]
    lines += [
        "",
        "R² of the parameters, probed from the codes.",
        "",
        *head("spectra", "codes", *emission_lines.PARAMETERS),
    ]
    for n, methods in content["r2"].items():
        for method, scores in methods.items():
            lines.append(
                row(
                    n,
                    method,
                    *(f"{scores[name]['mean']:.2f}" for name in emission_lines.PARAMETERS),
                )
            )
    return "\n".join(lines)


EXPERIMENT = Experiment(
    name="spectra",
    question="Do codes of incomplete spectra tell the physics that made them, and from how few?",
    jobs=[_job(method, n, seed) for seed in SEEDS for n in SIZES for method in (*METHODS, RAW)],
    gather=_gather,
    table=_table,
    note="Spectra with gaps and noise to learn from, a thousand new ones to judge; three seeds.",
)
