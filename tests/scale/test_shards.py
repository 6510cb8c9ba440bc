"""Codes in shards are those of one encode, whoever finds them, interrupted or not."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import gfe_core as gfe
from gfe_core.cli.main import main
from gfe_core.models import Model
from gfe_core.scale import Rank, Rows, encode_shards, read_codes
from gfe_core.types import Encoding

pytestmark = pytest.mark.usefixtures("unchecked")
ROOT = Path(__file__).parents[2]
N = 90


@pytest.fixture
def model(generator: torch.Generator) -> Model:
    decoder = gfe.MLPDecoder(latent_dim=4, hidden=(16,), data_dim=12, generator=generator)
    return Model(decoder, gfe.Gaussian(), (12,))


@pytest.fixture
def x(generator: torch.Generator) -> torch.Tensor:
    return torch.randn(N, 12, generator=generator)


@pytest.fixture
def file(x: torch.Tensor, tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, x.numpy())
    return path


def same(a: Encoding, b: Encoding) -> bool:
    names = ("z", "energy", "grad_norm", "status")
    counts = a.statistics.work, b.statistics.work
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in names) and torch.equal(*counts)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("shard_size", [7, 16, 37, 1000])
def test_shards_together_are_one_encode_to_the_bit(model, x, file, tmp_path, shard_size):
    n = encode_shards(model, Rows.of(file), tmp_path / "out", shard_size=shard_size)
    assert n == -(-N // shard_size)
    whole = gfe.encode(model.decoder, x, loss=model.loss)
    assert same(read_codes(tmp_path / "out"), whole)


def test_ranks_share_the_shards_and_write_what_one_process_writes(model, file, tmp_path):
    encode_shards(model, Rows.of(file), tmp_path / "one", shard_size=20)
    done = [
        encode_shards(
            model, Rows.of(file), tmp_path / "two", shard_size=20, rank=Rank(number=r, n=2)
        )
        for r in (1, 0)
    ]
    assert done == [2, 3]
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_codes_of_a_strangers_decoder_agree_to_rounding(x, file, tmp_path):
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 7),
        torch.nn.Tanh(),
        torch.nn.Linear(7, 12),
        torch.nn.Unflatten(1, (3, 4)),
    )
    decoder = gfe.wrap(net.double(), latent_dim=3, data_shape=(3, 4))
    model = Model(decoder, gfe.Gaussian(), (3, 4))
    encode_shards(model, Rows.of(file), tmp_path / "out", shard_size=7, max_steps=20)
    whole = gfe.encode(decoder, x.double().reshape(-1, 3, 4), loss=gfe.Gaussian(), max_steps=20)
    # twenty steps amplify the rounding of 1e-16 by some digits
    assert torch.allclose(read_codes(tmp_path / "out").z, whole.z, atol=1e-8)


def test_gaps_are_missing_entries_and_scaling_is_the_models(model, x, tmp_path):
    gaps = torch.where(torch.arange(12) == torch.arange(N)[:, None] % 30, torch.nan, x)
    np.save(tmp_path / "gaps.npy", (3 + 2 * gaps).numpy())
    scaled = replace(model, scaling={"mean": torch.tensor(3.0), "scale": torch.tensor(2.0)})
    encode_shards(scaled, Rows.of(tmp_path / "gaps.npy"), tmp_path / "out", shard_size=20)
    whole = gfe.encode_observed(model.decoder, ((3 + 2 * gaps) - 3) / 2, loss=model.loss)
    assert same(read_codes(tmp_path / "out"), whole)


def test_finished_shards_are_skipped_and_missing_ones_made_again(model, file, tmp_path):
    out = tmp_path / "out"
    encode_shards(model, Rows.of(file), out, shard_size=20)
    before = files(out)
    assert encode_shards(model, Rows.of(file), out, shard_size=20) == 0
    (out / "codes-000002.pt").unlink()
    with pytest.raises(ValueError, match=r"lacks 1 of 5 shards: 2. Repeat the command that began"):
        read_codes(out)
    assert encode_shards(model, Rows.of(file), out, shard_size=20) == 1
    assert files(out) == before


def other_weights(given: dict[str, Any]) -> None:
    with torch.no_grad():
        next(given["model"].decoder.parameters())[0, 0] += 1e-6


def other_data(given: dict[str, Any]) -> None:
    given["data"] = Rows.of(given["data"].read(slice(None)) + 1e-3)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (other_weights, "model"),
        (other_data, "data"),
        (lambda given: given.update(solver=gfe.LBFGS()), "solver"),
        (lambda given: given.update(max_steps=7), "max_steps"),
        (lambda given: given.update(shard_size=30), "shard_size"),
    ],
)
def test_folder_of_other_codes_is_refused_and_not_touched(model, file, tmp_path, change, what):
    given: dict[str, Any] = {"model": model, "data": Rows.of(file), "folder": tmp_path / "out"}
    given["shard_size"] = 20
    encode_shards(**given)
    (tmp_path / "out" / "codes-000001.pt").unlink()
    before = files(tmp_path / "out")
    change(given)
    with pytest.raises(ValueError, match=f"holds codes with another {what}. Choose another folder"):
        encode_shards(**given)
    assert files(tmp_path / "out") == before


class Shifted(torch.nn.Module):
    """A decoder whose constant is neither a weight nor a buffer."""

    def __init__(self, shift: float = 0.5) -> None:
        super().__init__()
        self.latent_dim = 2
        self.data_shape: tuple[int, ...] = (12,)
        self.layer = torch.nn.Linear(2, 12)
        self.shift = shift
        self.n_calls = 0

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        self.n_calls += 1
        return self.layer(z) + self.shift


class Weighted:
    """Squares with a weight for each feature, more than a repr prints, and a limit."""

    def __init__(self, weights: torch.Tensor, limit: float = 50.0) -> None:
        self.weights = weights
        self.limit = limit

    def per_sample(self, output: Any, x: Any, mask: Any = None) -> Any:
        return ((output - x).square() * self.weights).clamp(max=self.limit).sum(1)


def weights_of(n: int, other: bool) -> torch.Tensor:
    weights = torch.ones(n)
    weights[n // 2] += 1e-4 * other
    return weights


def as_a_method(n: int, other: bool) -> Any:
    return Weighted(weights_of(n, other)).per_sample


def as_a_function(n: int, other: bool) -> Any:
    weights = weights_of(n, other)
    return lambda output, x: ((output - x).square() * weights).sum(1)


def as_a_partial(n: int, other: bool) -> Any:
    def loss(output: Any, x: Any, weights: Any) -> Any:
        return ((output - x).square() * torch.as_tensor(weights)).sum(1)

    return partial(loss, weights=weights_of(n, other).numpy())


@pytest.mark.parametrize(
    "loss",
    [
        lambda n, other: Weighted(weights_of(n, other)),
        as_a_method,
        as_a_function,
        as_a_partial,
        lambda n, other: Weighted(weights_of(n, False), limit=40.0 if other else 50.0),
    ],
    ids=["object", "method", "function", "partial", "limit"],
)
def test_folder_of_codes_by_another_loss_is_refused(tmp_path, generator, loss):
    n = 1100  # a repr abbreviates 1000 numbers and more
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=n, generator=generator)
    data = Rows.of(torch.randn(3, n, generator=generator))
    out = tmp_path / "out"
    assert encode_shards(Model(decoder, loss(n, False), (n,)), data, out, max_steps=2) == 1
    assert encode_shards(Model(decoder, loss(n, False), (n,)), data, out, max_steps=2) == 0
    with pytest.raises(ValueError, match="holds codes with another model"):
        encode_shards(Model(decoder, loss(n, True), (n,)), data, out, max_steps=2)


class FromHundreds(Weighted):
    """A loss that no probe can try, which counts its calls."""

    n_calls = 0

    def per_sample(self, output: Any, x: Any, mask: Any = None) -> Any:
        self.n_calls += 1
        if (x < 100).any():
            raise ValueError("counts from 100")
        return super().per_sample(output, x)


def closed_over(limit: Any) -> Any:
    def loss(output: Any, x: Any) -> Any:
        if (x < 100).any():
            raise ValueError("counts from 100")
        return (output - x).square().clamp(max=float(limit)).sum(1)

    return loss


@pytest.mark.parametrize(
    "loss",
    [
        lambda limit: FromHundreds(torch.ones(12), limit),
        lambda limit: closed_over(int(limit)),
        lambda limit: closed_over(np.float32(limit)),
        lambda limit: closed_over(str(limit)),
    ],
    ids=["object", "closure", "numpy", "text"],
)
@pytest.mark.filterwarnings("ignore:The gradient of the energy at the code 0")
def test_folder_of_codes_by_another_loss_that_no_probe_can_try_is_refused(x, tmp_path, loss):
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=12)
    data, out = Rows.of(200 + x), tmp_path / "out"
    one = Model(decoder, loss(3.0), (12,))
    assert encode_shards(one, data, out, max_steps=2) == 1
    assert encode_shards(one, data, out, max_steps=2) == 0, "its counter is no constant"
    with pytest.raises(ValueError, match="holds codes with another model"):
        encode_shards(Model(decoder, loss(1.0), (12,)), data, out, max_steps=2)


def test_folder_of_codes_by_a_decoder_with_another_constant_is_refused(x, tmp_path):
    decoder = Shifted()
    given = {"data": Rows.of(x), "folder": tmp_path / "out", "max_steps": 3}
    encode_shards(Model(decoder, gfe.Gaussian(), (12,)), **given)
    twin = Shifted()
    twin.load_state_dict(decoder.state_dict())
    assert encode_shards(Model(twin, gfe.Gaussian(), (12,)), **given) == 0
    with torch.no_grad():  # as another machine would have rounded
        path = tmp_path / "out" / "probe.pt"
        kept = torch.load(path)
        kept["decoder"]["output"] *= 1 + 1e-6
        torch.save(kept, path)
    assert encode_shards(Model(twin, gfe.Gaussian(), (12,)), **given) == 0
    twin.shift = 0.6
    with pytest.raises(ValueError, match="holds codes with another model. Choose another folder"):
        encode_shards(Model(twin, gfe.Gaussian(), (12,)), **given)
    path.unlink()  # a folder of before there were probes
    assert encode_shards(Model(decoder, gfe.Gaussian(), (12,)), **given) == 0


def test_whole_numbers_of_numpy_are_settings_and_others_leave_nothing_behind(model, x, tmp_path):
    out = tmp_path / "out"
    wrong: Any
    for wrong, error in ((2.5, TypeError), (np.int64(0), ValueError)):
        with pytest.raises(error, match="`max_steps` must be"):
            encode_shards(model, Rows.of(x), out, max_steps=wrong)
    with pytest.raises(ValueError, match="`data` must hold at least one sample, got none"):
        encode_shards(model, Rows.of(x[:0]), out)
    with pytest.raises(ValueError, match="`device` 'meta' holds shapes without numbers.*cpu"):
        encode_shards(model, Rows.of(x), out, device="meta")
    assert not out.exists()
    assert encode_shards(model, Rows.of(x), out, max_steps=np.int64(3)) == 1  # pyright: ignore[reportArgumentType]
    assert encode_shards(model, Rows.of(x), out, max_steps=3) == 0


def test_call_that_failed_before_its_first_shard_does_not_keep_the_folder(model, x, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="t1"):
        encode_shards(model, Rows.of(x), out, solver=gfe.Euler(dt=0.1))
    assert (out / "encode.json").exists()
    assert encode_shards(model, Rows.of(x[:7]), out, max_steps=3) == 1
    assert len(read_codes(out)) == 7
    with pytest.raises(ValueError, match="holds codes with another data"):
        encode_shards(model, Rows.of(x), out, max_steps=3)


def test_shards_without_a_header_or_damaged_are_refused(model, file, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match="holds no codes. Make them"):
        read_codes(out)
    encode_shards(model, Rows.of(file), out, shard_size=50)
    shard = out / "codes-000001.pt"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:500])
    with pytest.raises(ValueError, match="is damaged or no shard of codes .* Move it away"):
        read_codes(out)
    shard.write_bytes((out / "codes-000000.pt").read_bytes())
    with pytest.raises(ValueError, match=r"belongs to other codes, codes-000001.pt"):
        read_codes(out)
    (out / "encode.json").unlink()
    with pytest.raises(ValueError, match=r"holds 2 shards but no encode.json"):
        encode_shards(model, Rows.of(file), out, shard_size=50)


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (np.arange(24, dtype="uint8").reshape(2, 3, 4), np.arange(24).reshape(2, 12) / 255),
        (np.arange(6).reshape(3, 2), np.arange(6).reshape(3, 2)),
        (np.eye(3), np.eye(3)),
    ],
)
def test_rows_of_a_file_are_read_as_load_reads_them(tmp_path, values, read):
    np.save(tmp_path / "x.npy", values)
    rows = Rows.of(tmp_path / "x.npy")
    assert len(rows) == len(read) and rows.n_features == read.shape[1]
    np.testing.assert_allclose(rows.read(slice(None)), read, rtol=1e-6)
    np.testing.assert_allclose(rows.read(slice(1, 2)), read[1:2], rtol=1e-6)


@pytest.mark.parametrize("values", [np.array(["a"]), np.zeros(3), np.zeros((0, 2))])
def test_files_that_hold_no_rows_of_numbers_are_refused(tmp_path, values):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(gfe.data.DataError, match="must hold numbers of shape"):
        Rows.of(tmp_path / "x.npy")


def test_equal_data_have_equal_fingerprints_wherever_they_lie(x, file, tmp_path):
    np.save(tmp_path / "copy.npy", x.numpy())
    assert Rows.of(file).fingerprint() == Rows.of(tmp_path / "copy.npy").fingerprint()
    assert Rows.of(x).fingerprint() == Rows.of(x.clone()).fingerprint()
    assert Rows.of(x).fingerprint() != Rows.of(x[:-1]).fingerprint()


def test_command_encodes_and_prints_the_folder(model, file, tmp_path, capsys):
    gfe.save(tmp_path / "m.pt", model.decoder, loss=model.loss)
    words = ("encode", "--model", tmp_path / "m.pt", "--data", file, "--out", tmp_path / "out")
    assert main([*map(str, words), "--shard-size", "50", "--solver", "lbfgs"]) == 0
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'out'}\n"
    assert [line.split(":")[0] for line in told.err.splitlines()] == ["shard 1/2", "shard 2/2"]
    assert (
        "LBFGS" in json.loads((tmp_path / "out" / "encode.json").read_text())["settings"]["solver"]
    )
    for more, message in (
        (("--device", "cpuu"), "`device` 'cpuu' cannot be used here"),
        (("--solver", "amd"), "holds codes with another solver"),
        (("--shard-size", "0"), "`shard_size` must be at least 1"),
    ):
        assert main([*map(str, words), "--shard-size", "50", *more]) == 1
        assert message in capsys.readouterr().err


def test_command_takes_every_name_that_load_takes(tmp_path, capsys):
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(8,), data_dim=64)
    gfe.save(tmp_path / "m.pt", decoder)
    words = f"encode --model {tmp_path}/m.pt --data digits --max-steps 2 --out {tmp_path}/"
    found = {}
    for split in ("all", "train", "test"):
        assert main([*f"{words}{split} --split {split}".split()]) == 0
        found[split] = read_codes(tmp_path / split).z
    assert torch.equal(found["all"], torch.cat([found["train"], found["test"]]))
    assert main([*f"{words}all".split()]) == 0
    assert capsys.readouterr().err.endswith("1 of 1 shards are there already\n")


def torchrun(*words: object, n: int = 2) -> list[str]:
    """Return the command that runs one of ours on n processes."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    return [sys.executable, *launch, "-m", "gfe_core", *map(str, words)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_two_processes_of_torchrun_write_what_one_writes_even_after_one_is_killed(
    model, tmp_path, generator
):
    file, n = tmp_path / "many.npy", 64
    np.save(file, torch.randn(n, 12, generator=generator).numpy())
    gfe.save(tmp_path / "m.pt", model.decoder, loss=model.loss)
    out = tmp_path / "two"
    words = ("encode", "--model", tmp_path / "m.pt", "--data", file, "--out", out)
    words = (*words, "--shard-size", 1)  # many shards, so that a kill comes between two
    process = subprocess.Popen(
        torchrun(*words), env=environment(), stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        finished = killed_after_first_shard(process, out)
    finally:
        process.kill()
        process.communicate()
    left = files(out)
    assert 0 < len(finished) < n and finished.items() <= left.items(), "nothing finished is lost"
    done = subprocess.run(
        torchrun(*words),
        env=environment(),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert {name: files(out)[name] for name in finished} == finished
    encode_shards(gfe.load(tmp_path / "m.pt"), Rows.of(file), tmp_path / "one", shard_size=1)
    whole = files(tmp_path / "one")
    assert files(out) == whole, "and no part of a file is left"


def killed_after_first_shard(process: subprocess.Popen[str], out: Path) -> dict[str, bytes]:
    """Kill one worker when the first shard is there, and return the shards of that moment."""
    deadline = time.monotonic() + 120
    while not list(out.glob("codes-*.pt")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    finished = {path.name: path.read_bytes() for path in out.glob("codes-*.pt")}
    assert process.wait(timeout=120) != 0
    return finished


@pytest.mark.parametrize("kind", ["colour, last", "grey", "16 bits", "columns", "table", "folder"])
def test_rows_are_those_that_load_gives(tmp_path: Path, kind: str):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    path = tmp_path / "x.npy"
    if kind == "table":
        path = tmp_path / "x.csv"
        path.write_text("a,b\n" + "\n".join(f"{k}.5,{k}" for k in range(6)))
    elif kind == "folder":
        path = tmp_path / "photographs"
        path.mkdir()
        for k, one in enumerate(pixels):
            Image.fromarray(one).save(path / f"{k}.png")
    else:
        made = {"grey": pixels[..., 0], "16 bits": pixels.astype(np.uint16) * 257}
        made["columns"] = np.asfortranarray(pixels.reshape(6, -1))
        np.save(path, made.get(kind, pixels))
    rows = Rows.of(path)
    whole = gfe.data.load(path, "all").x
    assert torch.equal(torch.cat([rows.read(slice(0, 4)), rows.read(slice(4, 6))]), whole)


def test_images_of_another_shape_than_the_decoder_draws_are_refused(tmp_path: Path):
    decoder = gfe.ConvDecoder(latent_dim=2, image_shape=(6, 5), channels=(4,))
    model = Model(decoder, gfe.Bernoulli(), decoder.data_shape)
    np.save(tmp_path / "x.npy", np.zeros((3, 5, 6), np.uint8))
    with pytest.raises(ValueError, match=r"`data` holds images of shape \(5, 6\), but the decoder"):
        encode_shards(model, Rows.of(tmp_path / "x.npy"), tmp_path / "codes")
    assert not (tmp_path / "codes").exists()


def test_an_npy_file_has_no_splits_and_no_infinite_numbers(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.array([[1.0, np.inf]]))
    with pytest.raises(ValueError, match="`split` of an .npy file.* must be 'all', got 'test'"):
        Rows.of(tmp_path / "x.npy", split="test")
    with pytest.raises(gfe.data.DataError, match="infinite"):
        Rows.of(tmp_path / "x.npy").read(slice(0, 1))


def test_table_with_other_columns_than_the_model_is_refused(tmp_path):
    frame = {"a": [0.1, 0.5, 0.9], "b": [0.3, 0.2, 0.1]}
    for name, columns in (("same", "ab"), ("swapped", "ba")):
        rows = [
            ",".join(columns),
            *(f"{x},{y}" for x, y in zip(*map(frame.get, columns), strict=True)),
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "other.csv").write_text("a,c\n0.1,0.2\n0.3,0.4\n")
    decoder = gfe.LinearDecoder(latent_dim=1, data_dim=2)
    path = gfe.save(tmp_path / "m.pt", decoder, loss=gfe.Gaussian(), names=["a", "b"])
    nameless = gfe.save(tmp_path / "n.pt", decoder, loss=gfe.Gaussian())
    model = gfe.load(path)
    assert model.names == ("a", "b") and gfe.load(nameless).names is None

    def encoded(model: gfe.Model, name: str) -> int:
        rows = Rows.of(tmp_path / f"{name}.csv")
        return encode_shards(model, rows, tmp_path / f"{name}-{model.names}")

    assert encoded(model, "same") == encoded(gfe.load(nameless), "swapped") == 1
    with pytest.raises(
        ValueError, match=r"`data` has the features of the model in another order.*"
    ):
        encoded(model, "swapped")
    with pytest.raises(
        ValueError, match=r"it is missing 'b' and it has 'c' in addition.*\['a', 'b'\]"
    ):
        encoded(model, "other")
    with pytest.raises(ValueError, match="`names` must be one name for each of the 2 features"):
        gfe.save(tmp_path / "x.pt", decoder, names=["a"])


def test_arrays_and_frames_in_memory_keep_their_digits(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 3))
    days = 2460000.5 + 0.01 * x
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    scaling = {"mean": 2460000.5, "scale": 0.01}
    model = gfe.load(gfe.save(tmp_path / "m.pt", decoder, loss=gfe.Gaussian(), scaling=scaling))
    expected = gfe.encode(model.decoder, model.scaled(torch.tensor(days)), loss=model.loss).z
    given = {
        "frame": pd.DataFrame(days),
        "own missing values": pd.DataFrame(days).convert_dtypes(),
        "array": days,
        "byte order": days.astype(">f8"),
    }
    for name, data in given.items():
        encode_shards(model, Rows.of(data), tmp_path / name)
        assert torch.equal(read_codes(tmp_path / name).z, expected), name


def test_rows_of_float32_stay_float32():
    x = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    for data in (
        x,
        pd.DataFrame(x),
        gfe.data.DataSet.of(x),
        DataLoader(TensorDataset(torch.tensor(x))),
    ):
        rows = Rows.of(data)
        assert rows.read(slice(None)).dtype == torch.float32
        assert rows.fingerprint() == Rows.of(torch.tensor(x)).fingerprint()


def test_codes_of_another_solver_are_refused_also_where_its_repr_is_the_same(tmp_path: Path):
    decoder = gfe.LinearDecoder(latent_dim=1, data_dim=2)
    model = Model(decoder, gfe.Gaussian(), (2,))
    steps = torch.full((2000,), 1e-2)
    others = steps.clone()
    others[5:-5] = 1.0
    x = torch.rand(8, 2)
    assert repr(gfe.Euler(steps=steps)) == repr(gfe.Euler(steps=others))
    encode_shards(model, x, tmp_path, solver=gfe.Euler(steps=steps))
    with pytest.raises(ValueError, match="solver"):
        encode_shards(model, x, tmp_path, solver=gfe.Euler(steps=others))
