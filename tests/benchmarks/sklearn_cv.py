"""GradientFlowEncoder beside PCA and an MLP autoencoder, by cross-validation.

    python tests/benchmarks/sklearn_cv.py [--epochs 20]

Spectra (with gaps) and digits, three folds that all methods share, three seeds for what is learnt
by gradients. The autoencoder has the same decoder and its mirror as the encoder, the same
optimizer, schedule and batches, and as many passes through networks: a batch of the flow costs the
passes of its steps and of its updates, a batch of the autoencoder those of one update of both
networks, so that it makes more epochs. The learning rate of each is the best of the same four on a
part of the first training fold. Steps and updates in an encode, which are defaults of the
estimator, were chosen on these two sets, which favours the flow. PCA with gaps is fitted and
projected by expectation-maximisation.

Printed is the test error 1 - R^2 over observed entries (0 is perfect, 1 is the mean of the training
data): mean and standard deviation over folds and seeds, and the paired margin between methods.
Takes about two minutes.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from sklearn.model_selection import KFold

import gfe_core as gfe
from gfe_core.encoders import Autoencoder, Filled
from gfe_core.sklearn import GradientFlowEncoder

RATES = (2e-3, 5e-3, 1e-2, 2e-2)
SEEDS = (0, 1, 2)
N_FOLDS = 3
N_SAMPLES = 900
HIDDEN = (64, 128)
SIZE = 64
COMPONENTS = {"spectra": 4, "digits": 8}


def error(x: np.ndarray, found: np.ndarray, mean: np.ndarray) -> float:
    """1 - R^2 over observed entries."""
    return float(np.nansum((x - found) ** 2) / np.nansum((x - mean) ** 2))


Method = Callable[[np.ndarray, np.ndarray, int, float, int, int], tuple[float, float]]


def flow(
    x: np.ndarray, test: np.ndarray, k: int, rate: float, seed: int, epochs: int
) -> tuple[float, float]:
    """Test error of the gradient flow, and the passes that a sample took in training."""
    model = GradientFlowEncoder(
        k, hidden=HIDDEN, epochs=epochs, batch_size=SIZE, learning_rate=rate, random_state=seed
    ).fit(x)
    passes = epochs * float(np.mean(model.history_.work) + 3 * model.updates_per_encode)
    return 1 - model.score(test), passes


def autoencoder(
    x: np.ndarray, test: np.ndarray, k: int, rate: float, seed: int, epochs: int
) -> tuple[float, float]:
    """Test error of the autoencoder, and the passes that a sample took: 6 in an update of both."""
    mean = np.nanmean(x, 0)
    scale = np.sqrt(np.nanmean((x - mean) ** 2))
    source = torch.Generator().manual_seed(seed)
    decoder = gfe.MLPDecoder(latent_dim=k, hidden=HIDDEN, data_dim=x.shape[1], generator=source)
    loss = gfe.Gaussian()
    network = Autoencoder.mirror(decoder, loss=loss, generator=source)
    encoder = Filled(network, 0.0, loss)
    batches = gfe.data.Batches(torch.tensor((x - mean) / scale), size=SIZE, seed=seed)
    both = [*decoder.parameters(), *network.parameters()]
    optimizer = torch.optim.Adam(both, lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=epochs * len(batches) + 2
    )
    gfe.fit(
        decoder,
        batches,
        encoder=encoder,
        loss=loss,
        optimizer=optimizer,
        schedule=schedule,
        epochs=epochs,
    )
    with torch.no_grad():
        found = decoder(encoder(decoder, torch.tensor((test - mean) / scale)).z).numpy()
    return error(test, found * scale + mean, mean), 6 * epochs


def pca(x: np.ndarray, test: np.ndarray, k: int) -> float:
    """Test error of principal components, by expectation-maximisation where entries are missing."""
    mean = np.nanmean(x, 0)

    def filled(x: np.ndarray, components: np.ndarray) -> np.ndarray:
        found = np.zeros_like(x)
        for _ in range(50 if np.isnan(x).any() else 1):
            full = np.where(np.isnan(x), found, x - mean)
            found = full @ components.T @ components
        return found

    found = np.zeros_like(x)
    components = found[:k]
    for _ in range(30 if np.isnan(x).any() else 1):
        full = np.where(np.isnan(x), found, x - mean)
        components = np.linalg.svd(full, full_matrices=False)[2][:k]
        found = full @ components.T @ components
    return error(test, filled(test, components) + mean, mean)


def chosen_rate(method: Method, x: np.ndarray, k: int, epochs: int) -> float:
    """The rate with the least error on the last quarter of a training fold."""
    n = 3 * len(x) // 4
    found = {rate: method(x[:n], x[n:], k, rate, 10, epochs)[0] for rate in RATES}
    return min(found, key=lambda rate: found[rate])


def compared(name: str, epochs: int) -> None:
    """Print the table of one data set."""
    data = gfe.data.load(name).x
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:N_SAMPLES]
    x = data[order].numpy()
    k = COMPONENTS[name]
    folds = list(KFold(N_FOLDS).split(x))
    first = x[folds[0][0]]
    passes = flow(first[:200], first[:200], k, RATES[0], 0, 2)[1] / 2
    ae_epochs = round(epochs * passes / 6)
    methods: dict[str, tuple[Method, int]] = {
        "gradient flow": (flow, epochs),
        "autoencoder": (autoencoder, ae_epochs),
    }
    errors = {"PCA": np.repeat([pca(x[a], x[b], k) for a, b in folds], len(SEEDS))}
    print(f"{name}: {len(x)} samples, {k} components, {np.isnan(x).mean():.0%} missing", flush=True)
    told = {"PCA": ""}
    for label, (method, n) in methods.items():
        rate = chosen_rate(method, first, k, n)
        runs = [method(x[a], x[b], k, rate, seed, n) for a, b in folds for seed in SEEDS]
        errors[label] = np.array([one[0] for one in runs])
        spent = np.mean([one[1] for one in runs])
        told[label] = f"rate {rate}, {n} epochs, {spent:.0f} passes a sample"
    for label, values in errors.items():
        print(f"  {label:14} {values.mean():.4f} ± {values.std(ddof=1):.4f}  {told[label]}")
    for other in ("PCA", "autoencoder"):
        margin = errors[other] - errors["gradient flow"]
        verb = "better" if margin.mean() > 0 else "worse"
        beyond = abs(margin.mean()) > margin.std(ddof=1)
        print(
            f"  gradient flow is {verb} than {other} by {abs(margin.mean()):.4f} "
            f"± {margin.std(ddof=1):.4f}: {'more' if beyond else 'no more'} than the spread",
            flush=True,
        )


def main() -> None:
    """Compare on both sets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20, help="of the gradient flow")
    epochs = parser.parse_args().epochs
    torch.set_num_threads(1)
    for name in COMPONENTS:
        compared(name, epochs)


if __name__ == "__main__":
    main()
