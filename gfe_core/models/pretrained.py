"""Trained decoders in the package, one file each in trained/.

    pretrained(data, latent_dim)  ->  Model  ->  encode

`python -m gfe_core bundled decoders` trains them. Decoders of other data, made by the same command,
are loaded from the data folder.
"""

import difflib
from pathlib import Path

from gfe_core import arguments, checks
from gfe_core.data import data_folder
from gfe_core.models.files import Model, load

FOLDER = Path(__file__).with_name("trained")
OWN_FOLDER = "trained"
"""Folder within `data_folder()` for decoders that are not in the package."""
CURVES = ("circle", "sine", "line")


@arguments.in_own_words
def pretrained(data: str, *, latent_dim: int | None = None) -> Model:
    """Load a trained decoder.

    | data | latent_dim | decoder | loss |
    |---|---|---|---|
    | "mnist-sample" | 2, 8, 20 | `MLPDecoder`, hidden (64, 128), 784 pixels | `Bernoulli()` |
    | "digits" | 2, 8, 20 | `MLPDecoder`, hidden (48, 96), 64 pixels | `Bernoulli()` |
    | "circle", "sine", "line" | 1 | `MLPDecoder`, hidden (32, 32), tanh, 2 coordinates | \
`Gaussian()` |
    | "spectra" | 8 | `MLPDecoder`, hidden (48, 96, 128), 128 wavelengths | \
`Gaussian(variance=0.0004)` |

    Files hold half precision; the weights are converted to float32. Decoders of other data are
    loaded from `data_folder()`/trained, where `python -m gfe_core bundled decoders --data NAME`
    stores decoders that it trains in the same way.

    Args:
        data: name of the data that the decoder was trained on, as for `gfe.data.load`.
        latent_dim: size of a code; by default 8, or 1 for a curve.

    Returns:
        A new model each time. Its card describes its training and its quality on test data.

    Raises:
        ValueError: there is no such decoder. The message lists the decoders, and says how to train
            this one.

    Example:
        >>> import gfe_core as gfe
        >>> model = pretrained("mnist-sample")
        >>> model.decoder.latent_dim, model.loss
        (8, Bernoulli(reduction='mean'))
        >>> x = gfe.data.load("mnist-sample", "test").x[:5]
        >>> gfe.encode(model.decoder, x, loss=model.loss).z.shape
        torch.Size([5, 8])
    """
    checks.text("data", data)
    latent_dim = usual_latents(data) if latent_dim is None else latent_dim
    checks.at_least_one("latent_dim", latent_dim)
    name = file_name(data, latent_dim)
    for folder in (FOLDER, data_folder() / OWN_FOLDER):
        if (folder / name).is_file():
            return _float32(load(folder / name))
    raise ValueError(_missing(data, latent_dim))


def usual_latents(data: str) -> int:
    """Return the default size of a code."""
    return 1 if data in CURVES else 8


def file_name(data: str, latent_dim: int) -> str:
    """Return the name of a decoder's file."""
    return f"{data}-{latent_dim}.pt"


def _float32(model: Model) -> Model:
    """Convert the weights; the file is in half precision."""
    model.decoder.float()  # type: ignore[attr-defined]
    return model


def _missing(data: str, latent_dim: int) -> str:
    """Return a message that lists the decoders and says how to make the requested one."""
    latents: dict[str, list[int]] = {}
    for file in FOLDER.glob("*.pt"):
        known, _, size = file.stem.rpartition("-")
        latents.setdefault(known, []).append(int(size))
    listed = ", ".join(
        f"{known!r} ({', '.join(map(str, sorted(sizes)))})" for known, sizes in latents.items()
    )
    near = difflib.get_close_matches(data.lower(), latents, n=1)
    guess = f" Did you mean {near[0]!r}?" if near and near[0] != data else ""
    return (
        f"`pretrained` has no decoder of {data!r} with latent_dim={latent_dim}.{guess} The package "
        f"has, with their latents: {listed}. A decoder of any other data set that `gfe.data.load` "
        f"knows is trained by `python -m gfe_core bundled decoders --data {data} --latent-dim "
        f"{latent_dim}`."
    )
