"""Arguments of a wrong kind: accepted where they are plainly meant, otherwise refused in words."""

import functools
import itertools
import json
import re
import traceback
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

import gfe_core
import gfe_core.encoders
from gfe_core.arguments import in_own_words

pytestmark = pytest.mark.usefixtures("unchecked")

gfe: Any = gfe_core  # a stranger's editor checks no types
encoders, gon, narrowing = gfe.encoders, gfe.gon, gfe.narrowing
posterior, variational = gfe.posterior, gfe.variational
DIGITS = gfe_core.data.load("digits").take(12)
X = DIGITS.x
SHORT = functools.partial(gfe.encode, max_steps=2)


def fresh() -> Any:
    source = torch.Generator().manual_seed(0)
    return gfe.MLPDecoder(latent_dim=3, hidden=(8,), data_dim=64, generator=source)


DECODER: Any = fresh()
MODEL: Any = gfe.Model(DECODER, gfe.Bernoulli(), (64,))
Z = torch.zeros(2, 3)
LOSS = gfe.Bernoulli()
PRIOR = posterior.GaussianPrior.standard(3)


class Frame:
    """What a pandas frame can do, as far as the kit asks."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.columns = ["a", "b"]

    def to_numpy(self, dtype: Any = None, na_value: Any = None) -> np.ndarray:
        return self.values.astype(dtype or self.values.dtype)


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter(X)


class Numbered(Dataset):
    """A data set of the items of a list."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        return self.items[i]


def encode(**options: Any) -> Any:
    return gfe.encode(DECODER, X, **{"max_steps": 2} | options)


def loader(**how: Any) -> Any:
    return DataLoader(TensorDataset(X), **how)


def in_fives(sampler: Any) -> BatchSampler:
    return BatchSampler(sampler, batch_size=5, drop_last=False)


def batches() -> Any:
    return gfe.data.Batches(X, size=6)


def fit(data: Any = None, **options: Any) -> Any:
    """Train a decoder of its own; options may be functions of that decoder."""
    decoder = fresh()
    made = {
        name: value(decoder) if getattr(value, "__name__", "") == "of_decoder" else value
        for name, value in options.items()
    }
    data = batches() if data is None else data
    return gfe.fit(decoder, data, **{"encoder": SHORT} | made)


def of(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Mark a function that makes an option of the decoder that is trained."""

    def of_decoder(decoder: Any) -> Any:
        return make(decoder)

    return of_decoder


def plateau(decoder: nn.Module) -> Any:
    return torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.Adam(decoder.parameters()))


def steps(decoder: nn.Module) -> Any:
    return torch.optim.lr_scheduler.StepLR(torch.optim.Adam(decoder.parameters()), 1)


REFUSED: list[tuple[str, Callable[[], Any], str]] = [
    # words, classes and numbers in place of objects
    ("loss word", lambda: encode(loss="bernoulli"), r"Write `loss=gfe.Bernoulli\(\)`"),
    ("loss class", lambda: encode(loss=gfe.Gaussian), r"Write `loss=gfe.Gaussian\(\)`"),
    ("loss of torch", lambda: encode(loss=nn.MSELoss()), r"Use `loss=gfe.Gaussian\(\)`"),
    ("loss zero", lambda: encode(loss=0), "`loss` must be an object"),
    ("solver word", lambda: encode(solver="amd"), r"Write `solver=gfe.AMD\(\)`"),
    ("solver class", lambda: encode(solver=gfe.AMD), "got the class AMD"),
    ("solver of torch", lambda: encode(solver=torch.optim.Adam), "`solver` must be an object"),
    ("solver empty", lambda: encode(solver=""), "`solver` must be an object"),
    ("flow word", lambda: encode(flow="nesterov"), r"Write `flow=gfe.NesterovFlow\(\)`"),
    ("flow class", lambda: encode(flow=gfe.NesterovFlow), "got the class NesterovFlow"),
    ("adjoint word", lambda: encode(adjoint="implicit"), r"Write `adjoint=gfe.Implicit\(\)`"),
    ("adjoint class", lambda: encode(adjoint=gfe.Implicit), "got the class Implicit"),
    ("stop number", lambda: encode(stop=1e-3), "`stop` must be a `Stop`, got 0.001"),
    ("stop zero", lambda: encode(stop=0), "`stop` must be a `Stop`"),
    ("stop class", lambda: encode(stop=gfe.Stop), "got the class Stop"),
    ("save_at True", lambda: encode(save_at=True), r"Write `save_at=gfe.SaveAt.steps\(\)`"),
    ("save_at times", lambda: encode(save_at=[1, 2]), r"Write `save_at=gfe.SaveAt.times\(t\)`"),
    ("save_at method", lambda: encode(save_at=gfe.SaveAt.steps), "got the function steps"),
    ("t1 word", lambda: encode(t1="5"), "`t1` must be a number, got '5'. Write `t1=5`"),
    ("t1 flag", lambda: encode(t1=True), "`t1` must be a number, got True"),
    ("max_steps 10.5", lambda: encode(max_steps=10.5), "`max_steps` must be a whole number"),
    ("max_steps 10.0", lambda: encode(max_steps=10.0), "Write `max_steps=10`"),
    ("penalty number", lambda: encode(penalty=0.1), r"Write `penalty=lambda z: 0.1 \* z.square"),
    ("penalty arity", lambda: encode(penalty=lambda: 0), "`penalty` must be callable"),
    ("z0 list", lambda: encode(z0=[0.0] * 3), "`z0` must be a torch.Tensor"),
    ("on_failure flag", lambda: encode(on_failure=True), "`on_failure` must be 'mark' or 'raise'"),
    # names and places
    ("tol", lambda: encode(tol=1e-3), r"`encode` takes no `tol`: write `stop=gfe.Stop\(...\)`"),
    ("lr", lambda: encode(lr=0.1), r"`encode` takes no `lr`: write `solver=gfe.Euler"),
    ("near name", lambda: encode(max_step=3), "write `max_steps=...`"),
    ("positional loss", lambda: gfe.encode(DECODER, X, gfe.Bernoulli()), r"got 3.*loss=\.\.\."),
    ("no data", lambda: gfe.encode(DECODER), r"`encode` needs `x`: write `encode\(decoder, x\)`"),
    ("swapped", lambda: gfe.encode(X, DECODER), r"`encode\(decoder, x\)`"),
    ("decoder class", lambda: gfe.encode(gfe.MLPDecoder, X), "got the class MLPDecoder"),
    ("model", lambda: gfe.encode(MODEL, X), r"gfe.encode\(model.decoder, model.scaled\(x\)"),
    ("plain module", lambda: gfe.encode(nn.Linear(3, 64), X), r"gfe.wrap\(decoder, latent_dim"),
    # data
    ("path", lambda: gfe.encode(DECODER, "mine.csv"), r"Load it: `gfe.data.load\(x\)`"),
    ("bytes", lambda: gfe.encode(DECODER, (16 * X).byte().numpy()), r"/ 255` for grey values"),
    ("ints", lambda: gfe.encode(DECODER, (16 * X).int().numpy()), "must have a float dtype"),
    ("texts", lambda: gfe.encode(DECODER, Frame(np.array([["a", "b"]], object))), "float"),
    (
        "shuffled loader",
        lambda: gfe.encode(DECODER, DataLoader(TensorDataset(X), shuffle=True)),
        "`shuffle=False`",
    ),
    ("subset", lambda: gfe.encode(DECODER, loader(sampler=SubsetRandomSampler([2, 0]))), "Subset"),
    (
        "shuffled batches",
        lambda: gfe.encode(DECODER, loader(batch_sampler=in_fives(RandomSampler(X)))),
        "`shuffle=False`",
    ),
    ("dropped", lambda: gfe.encode(DECODER, loader(batch_size=5, drop_last=True)), "`drop_last=F"),
    ("observed and mask", lambda: gfe.encode_observed(DECODER, X, mask=X > 0), "Leave `mask` out"),
    ("observed word", lambda: gfe.encode_observed(DECODER, "x"), "`x` must be a torch.Tensor"),
    # reconstruct
    ("one code", lambda: gfe.reconstruct(DECODER, Z[0], LOSS), r"Add a batch axis: `z\[None\]`"),
    ("other codes", lambda: gfe.reconstruct(DECODER, Z[:, :2], LOSS), r"shape \(batch, 3\)"),
    ("whole codes", lambda: gfe.reconstruct(DECODER, Z.long(), LOSS), "float dtype"),
    ("double codes", lambda: gfe.reconstruct(DECODER, Z.double(), LOSS), r"z.to\('cpu', torch"),
    ("loss word", lambda: gfe.reconstruct(DECODER, Z, "gaussian"), r"`loss=gfe.Gaussian\(\)`"),
    # training
    ("fit lr", lambda: fit(lr=1e-2), r"write `optimizer=torch.optim.Adam\(decoder.parameters"),
    ("optimizer word", lambda: fit(optimizer="adam"), r"Write `optimizer=torch.optim.Adam\("),
    ("optimizer class", lambda: fit(optimizer=torch.optim.SGD), "got the class SGD"),
    (
        "optimizer with a closure",
        lambda: fit(optimizer=of(lambda d: torch.optim.LBFGS(d.parameters()))),
        "step without a closure, which LBFGS needs",
    ),
    (
        "optimizer of another decoder",
        lambda: fit(optimizer=torch.optim.Adam(fresh().parameters())),
        "`optimizer` holds no weight of `decoder`",
    ),
    ("schedule alone", lambda: fit(schedule=of(steps)), "pass `optimizer=schedule.optimizer`"),
    (
        "schedule of another optimizer",
        lambda: fit(
            optimizer=of(lambda d: torch.optim.Adam(d.parameters())), schedule=steps(fresh())
        ),
        "`schedule` was built for another optimizer",
    ),
    (
        "plateau",
        lambda: fit(
            optimizer=of(lambda d: torch.optim.Adam(d.parameters())), schedule=plateau(fresh())
        ),
        r"callbacks=\[lambda report: schedule.step\(report.energy\)\]",
    ),
    ("callback class", lambda: fit(callbacks=[gon.Recent]), r"Call it: `Recent\(...\)`"),
    ("callback without report", lambda: fit(callbacks=[lambda: 1]), "functions of a report"),
    (
        "callback with a value",
        lambda: fit(callbacks=[lambda _: X]),
        "`callbacks` must return nothing, or True to end the training; one returned Tensor",
    ),
    ("callback number", lambda: fit(callbacks=3), "`callbacks` must be functions of a report"),
    ("encoder word", lambda: fit(encoder="flow"), r"functools.partial\(gfe.encode"),
    ("encoder of codes", lambda: fit(encoder=lambda d, x: x), "`encoder` must return an `Enc"),
    ("encoder arity", lambda: fit(encoder=lambda x: x), r"function \(decoder, x\) -> Encoding"),
    ("history word", lambda: fit(history="h"), "`history` must be a `History`"),
    ("epochs 1.5", lambda: fit(epochs=1.5), "`epochs` must be a whole number, got 1.5"),
    ("batches word", lambda: fit("x"), r"`gfe.data.Batches\(x, size=64\)`"),
    ("list of batches", lambda: fit([X, X]), r"`gfe.data.Batches\(x, size=64\)`"),
    ("images in a loader", lambda: fit(DataLoader(TensorDataset(X.reshape(-1, 8, 8)))), "Reshape"),
    ("function", lambda: gfe.fit(lambda z: z, batches()), "`decoder` must have `latent_dim`"),
    ("evaluate size", lambda: gfe.evaluate(DECODER, X, size=2.5), "`size` must be a whole number"),
    ("evaluate word", lambda: gfe.evaluate(DECODER, "x"), "`x` must be a torch.Tensor"),
    ("Batches size", lambda: gfe.data.Batches(X, 32), r"as in `Batches\(x, size=...\)`"),
    ("batch_size", lambda: gfe.data.Batches(X, batch_size=3), r"write `size=\.\.\.`"),
    ("Batches size 2.5", lambda: gfe.data.Batches(X, size=2.5), "`size` must be a whole number"),
    # files
    ("save number", lambda: gfe.save(3, DECODER), "`path` must be the path of a file"),
    ("save function", lambda: gfe.save("a.pt", lambda z: z), "must be a torch.nn.Module"),
    ("save loss", lambda: gfe.save("a.pt", DECODER, loss="x"), "`loss` must be an object"),
    ("load None", lambda: gfe.load(None), "`path` must be the path of a file"),
    ("load array", lambda: gfe.data.load(X.numpy()), "`encode` and `fit` take it as it is"),
    ("load number", lambda: gfe.data.load(5), "`name` must be one of"),
    ("checkpoint", lambda: gfe.save_checkpoint("a.pt", decoder="x"), "`decoder` must be an object"),
    # decoders
    ("hidden=64", lambda: gfe.MLPDecoder(latent_dim=2, hidden=64, data_dim=64), r"hidden=\(64,\)"),
    (
        "data_dim=(8, 8)",
        lambda: gfe.MLPDecoder(latent_dim=2, hidden=(4,), data_dim=(8, 8)),
        "Write `data_dim=64`",
    ),
    ("latent_dim=2.0", lambda: gfe.LinearDecoder(latent_dim=2.0, data_dim=4), "latent_dim=2`"),
    ("latent_dim=True", lambda: gfe.LinearDecoder(latent_dim=True, data_dim=4), "whole number"),
    (
        "seed for generator",
        lambda: gfe.LinearDecoder(latent_dim=2, data_dim=4, generator=3),
        r"generator=torch.Generator\(\).manual_seed\(3\)",
    ),
    (
        "three axes",
        lambda: gfe.ConvDecoder(latent_dim=2, image_shape=(1, 8, 8)),
        r"`image_shape` must be \(height, width\) of grey images",
    ),
    ("channels=8", lambda: gfe.ConvDecoder(latent_dim=2, image_shape=(8, 8), channels=8), "(8,)"),
    ("data_set y", lambda: gfe.data.DataSet(X, DIGITS.y[:3], None, "a", "b"), "`y` must hold"),
    # methods
    ("Origin steps", lambda: gon.Origin(n_steps=1.5), "`n_steps` must be a whole number"),
    ("Origin loss", lambda: gon.Origin(loss=gfe.Gaussian), "`loss` must be an object"),
    ("labels of floats", lambda: gon.labelled(X, X[:, 0], 10), r"Convert it: `y.long\(\)`"),
    ("WithLabels", lambda: gon.WithLabels("x", 10), "`decoder` must be a decoder"),
    ("variational", lambda: variational.VariationalDecoder(X), "`decoder` must be a decoder"),
    ("Gated", lambda: narrowing.Gated(gfe.MLPDecoder), "got the class MLPDecoder"),
    ("prior word", lambda: posterior.laplace(DECODER, X, prior="normal"), "GaussianPrior.standard"),
    (
        "prior array",
        lambda: posterior.GaussianPrior(mean=[0.0], precision=X),
        "`mean` must be a te",
    ),
    (
        "mean loss",
        lambda: posterior.laplace(DECODER, X, prior=PRIOR, loss=gfe.Bernoulli()),
        "`reduction='sum'`",
    ),
    ("mirror", lambda: encoders.Autoencoder.mirror("x"), r"Autoencoder\(latent_dim=..."),
]
"""Calls, and what the refusal says to do."""


@pytest.mark.parametrize(
    ("call", "line"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_wrong_kind_is_refused_in_words_with_the_line_to_write(
    call: Callable[[], Any], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=line) as refusal:
        call()
    raised_in = traceback.extract_tb(refusal.value.__traceback__)[-1]
    assert "gfe_core" in raised_in.filename and (raised_in.line or "").startswith("raise")
    assert "`" in str(refusal.value), "a raw error names no argument"
    assert not list(tmp_path.iterdir()), "a refused call leaves no file"


SOLVERS = (gfe.AMD, gfe.BFGS, gfe.LBFGS, gfe.GaussNewton, gfe.Dopri5, gfe.Euler, gfe.RK4)
OTHERS = (gfe.NesterovFlow, gfe.GradientFlow, gfe.Gaussian, gfe.Stop, gfe.Implicit)


@pytest.mark.parametrize("kind", [*SOLVERS, *OTHERS], ids=lambda kind: kind.__name__)
def test_no_field_takes_a_word_for_a_number(kind: Any):
    numbers = [one.name for one in fields(kind) if isinstance(one.default, (int, float))]
    for name in (*numbers, *(["dt"] if kind in (gfe.Euler, gfe.RK4) else [])):
        with pytest.raises((TypeError, ValueError), match=f"`{name}` must be"):
            kind(**({"dt": 1.0} if kind in (gfe.Euler, gfe.RK4) else {}) | {name: "much"})
    assert numbers or kind in (gfe.Euler, gfe.RK4)


def expected() -> Any:
    return gfe.encode(DECODER, X, max_steps=2)


SAME: dict[str, Callable[[], Any]] = {
    "array": lambda: X.numpy(),
    "array of doubles": lambda: X.double().numpy(),
    "read-only array": lambda: np.broadcast_to(X.numpy(), X.shape),
    "array of another byte order": lambda: X.numpy().astype(">f4"),
    "array read backwards": lambda: X.flip(0).numpy()[::-1],
    "frame": lambda: Frame(X.double().numpy()),
    "frame of objects": lambda: Frame(X.numpy().astype(object)),
    "data set": lambda: DIGITS,
    "data set of torch": lambda: TensorDataset(X, DIGITS.y),
    "loader": lambda: DataLoader(TensorDataset(X, DIGITS.y), batch_size=5),
    "batches": lambda: gfe.data.Batches(X, size=6),
}
"""The same samples in other forms."""


@pytest.mark.parametrize("form", SAME)
def test_samples_in_another_form_have_the_codes_of_the_tensor(form: str):
    found = gfe.encode(DECODER, SAME[form](), max_steps=2)
    assert torch.equal(found.z, expected().z) and found.z.dtype == torch.float32


@pytest.mark.parametrize("form", SAME)
def test_a_decoder_learns_the_same_from_samples_in_another_form(form: str):
    ours, theirs = fresh(), fresh()
    history = gfe.fit(ours, SAME[form](), encoder=SHORT)
    usual = gfe.data.Batches(X, size=64)
    in_its_order = gfe.data.Batches(X, size=5, shuffle=False)
    same = {"loader": in_its_order, "batches": batches()}.get(form, usual)
    assert history.energy == gfe.fit(theirs, same, encoder=SHORT).energy
    assert all(
        torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    "in_order",
    [
        loader(batch_sampler=in_fives(SequentialSampler(X))),
        loader(batch_size=6, drop_last=True),
        DataLoader(Stream(), batch_size=5),
        loader(batch_sampler=[[0, 1, 2], [*range(3, 12)]]),
        DataLoader(Numbered(X), sampler=in_fives(SequentialSampler(X)), batch_size=None),
        DataLoader(Numbered(X.split(4)), batch_size=None),
    ],
    ids=["batches of its own", "none to drop", "stream", "listed", "indexed", "data in batches"],
)
def test_a_loader_in_a_fixed_order_is_read_whole(in_order: Any):
    assert torch.equal(gfe.data.samples.rows_of(in_order), X)


class Backwards(SequentialSampler):
    def __iter__(self) -> Any:
        return iter(range(len(X))[::-1])


class Batchwise(BatchSampler):
    """Batches of five that are changed after their sampler, which is in order, has made them."""

    def __init__(self, change: Callable[[list[Any]], list[Any]], *, drop_last: bool = False):
        super().__init__(SequentialSampler(X), 5, drop_last)
        self.change = change

    def __iter__(self) -> Any:
        return iter(self.change([*super().__iter__()]))


NO_FIXED_ROWS: dict[str, Any] = {
    "sampler of a class in order": {"sampler": Backwards(X)},
    "batches reordered": {"batch_sampler": Batchwise(lambda batches: batches[::-1])},
    "samples dropped": {"batch_sampler": Batchwise(lambda batches: [b[:3] for b in batches])},
    "batches repeated": {"batch_sampler": Batchwise(lambda batches: [*batches, *batches])},
    "a batch dropped": {"batch_sampler": Batchwise(lambda batches: batches[:-1])},
    "dropped and reordered": {
        "batch_sampler": Batchwise(lambda batches: batches[::-1], drop_last=True)
    },
    "indices one by one": {"sampler": [*range(11), 0], "batch_size": None},
    "endless": {"sampler": itertools.cycle(range(12))},
}


@pytest.mark.parametrize("how", NO_FIXED_ROWS)
def test_a_loader_is_judged_by_the_indices_that_it_yields(how: str):
    with pytest.raises(TypeError, match="shuffles, selects or repeats.*`shuffle=False` and with"):
        gfe.encode(DECODER, loader(**NO_FIXED_ROWS[how]))


def test_stream_that_changes_its_order_between_passes_is_refused():
    class Shuffled(Stream):
        def __init__(self) -> None:
            self.random = torch.Generator().manual_seed(0)

        def __iter__(self) -> Any:
            return iter(X[torch.randperm(len(X), generator=self.random)])

    class Once(Stream):
        def __init__(self) -> None:
            self.rows = iter(X)

        def __iter__(self) -> Any:
            return self.rows

    with pytest.raises(TypeError, match="`x` is a DataLoader of a stream that changes its order"):
        gfe.encode(DECODER, DataLoader(Shuffled(), batch_size=5))
    once = DataLoader(Once(), batch_size=5)
    assert torch.equal(gfe.data.samples.rows_of(once), X), "of one pass there is one order"


def test_arrays_take_the_dtype_of_the_decoder():
    double = fresh().double()
    assert gfe.encode(double, X.numpy(), max_steps=2).z.dtype == torch.float64
    assert gfe.data.Batches(X.double().numpy(), size=3).x.dtype == torch.float32


def test_masked_numbers_are_missing():
    values = np.ma.masked_less(X.numpy(), 0.1)
    whole = torch.where(X < 0.1, torch.nan, X)
    ours = gfe.encode_observed(DECODER, values, max_steps=2)
    assert torch.equal(ours.z, gfe.encode_observed(DECODER, whole, max_steps=2).z)


def test_mask_start_and_codes_may_be_arrays():
    z0, mask = 0.1 * torch.ones(12, 3), X > 0.5
    ours = gfe.encode(DECODER, X.numpy(), z0=z0.double().numpy(), mask=mask.numpy(), max_steps=2)
    theirs = gfe.encode(DECODER, X, z0=z0, mask=mask, max_steps=2)
    assert torch.equal(ours.z, theirs.z)
    drawn = gfe.reconstruct(DECODER, ours.z.numpy(), LOSS)
    assert torch.equal(drawn, gfe.reconstruct(DECODER, ours.z, LOSS))


def test_a_callback_may_stand_alone():
    reports: list[Any] = []
    fit(callbacks=reports.append)
    assert len(reports) == 2


def test_a_schedule_that_steps_is_stepped():
    optimizers: list[torch.optim.Optimizer] = []

    def optimizer(decoder: nn.Module) -> torch.optim.Optimizer:
        optimizers.append(torch.optim.SGD(decoder.parameters(), lr=1.0))
        return optimizers[0]

    decoder = fresh()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer(decoder), 1, gamma=0.5)
    gfe.fit(decoder, batches(), encoder=SHORT, optimizer=optimizers[0], schedule=schedule)
    assert optimizers[0].param_groups[0]["lr"] == 0.25


def test_sizes_of_numpy_are_sizes():
    decoder = gfe.MLPDecoder(
        latent_dim=np.int64(2),
        hidden=np.array([4, 8]),
        data_dim=np.int32(16),
    )
    assert type(decoder.latent_dim) is int and decoder.data_shape == (16,)
    assert decoder.image_shape == (4, 4)


def test_numbers_of_numpy_and_tensors_without_axes_are_numbers():
    solver = gfe.Euler(dt=np.float32(0.5))  # pyright: ignore[reportArgumentType]
    assert encode(solver=solver, t1=torch.tensor(1.0)).z.shape == (12, 3)


WHOLE = {"uint8": np.uint8, "int64": np.int64, "tensor": torch.tensor}
"""Whole numbers other than Python's."""


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_numbers_of_numpy_and_torch_are_kept_as_pythons(kind: str):
    n = WHOLE[kind](3)
    for make in (
        lambda n: gfe.AMD(memory=n),
        lambda n: gfe.BFGS(memory=n, matrix_at=n),
        lambda n: gfe.LBFGS(pairs=n, memory=n),
        lambda n: gfe.RK4(n_steps=n),
        lambda n: gfe.Stop(window=n),
        lambda n: gon.Origin(n_steps=n).n_steps,
        lambda n: gfe.Dopri5(atol=n),
        lambda n: gfe.GradientFlow(rate=n),
    ):
        assert repr(make(n)) == repr(make(3))
    for solver in (gfe.AMD(memory=n), gfe.BFGS(memory=n), gfe.LBFGS(pairs=n, memory=n)):
        assert len(encode(solver=solver, max_steps=n)) == 12


@pytest.mark.parametrize("kind", WHOLE)
def test_counts_of_a_verb_neither_overflow_nor_end_up_in_a_history(kind: str):
    hundred = torch.tensor(100, dtype=torch.uint8) if kind == "tensor" else WHOLE[kind](100)
    many = X.repeat(21, 1)[:250]
    status = gfe.encode(DECODER, many, max_steps=1, size=hundred).status
    assert not (status == gfe.Status.NOT_REACHED).any()
    two = WHOLE[kind](2)
    history = fit(epochs=two, updates_per_encode=two)
    assert json.loads(json.dumps(asdict(history)))["step"] == [2, 4, 6, 8]


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.tensor])
def test_numbers_of_settings_are_kept_as_pythons(kind: Any):
    for make in (
        lambda v: gfe.AMD(armijo_slope=v, dt_init=v),
        lambda v: gfe.Dopri5(rtol=v, dt_init=v),
        lambda v: gfe.Stop(gain_rtol=v),
        lambda v: gfe.NesterovFlow(damping=v),
        lambda v: gfe.Gaussian(variance=v),
    ):
        assert repr(make(kind(0.5))) == repr(make(0.5))


def test_words_of_an_error_name_what_the_function_takes():
    @in_own_words
    def draw(decoder: Any, *, size: int, title: str = "") -> str:
        return f"{size} {title}"

    assert draw(DECODER, size=3, title="a") == "3 a"
    with pytest.raises(TypeError, match=r"`draw` needs `size`: write `draw\(decoder, size=...\)`"):
        draw(DECODER)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="`title` must be a string, got 3"):
        draw(DECODER, size=3, title=3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="It takes `decoder` and, by name, `size`, `title`"):
        draw(DECODER, colour="red", size=3)  # pyright: ignore[reportCallIssue]


WITH_LABELS = TensorDataset(X, torch.arange(len(X)))
OTHER_FORMS: dict[str, Callable[[], Any]] = {
    "subset": lambda: Subset(WITH_LABELS, range(len(X))),
    "data set of one's own": lambda: Numbered([*X]),
    "list of pairs": lambda: [*WITH_LABELS],
    "list of samples": lambda: [*X],
    "list of lists": lambda: X.tolist(),
    "generator": lambda: iter(X),
    "dict": lambda: {"name": "digits", "x": X},
    "sparse": lambda: csr_array(X.numpy()),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
@pytest.mark.parametrize("name", ["x", "batches", "Batches"])
def test_the_line_given_for_data_in_another_form_makes_samples(form, name, unchecked):
    data = OTHER_FORMS[form]()
    verbs: dict[str, Callable[[Any], Any]] = {
        "x": lambda data: gfe.encode(DECODER, data, max_steps=1),
        "batches": lambda data: gfe.fit(fresh(), data, encoder=SHORT),
        "Batches": lambda data: gfe.data.Batches(data, size=4),
    }
    with pytest.raises(TypeError, match="`(x|batches)` must be") as refusal:
        verbs[name](data)
    remedy = re.findall(r"(?:Pass|Join|Collect|Convert)[^`]*: `([^`]+)`", str(refusal.value))[0]
    data = OTHER_FORMS[form]()
    verbs[name](eval(remedy, {"torch": torch, "x": data, "batches": data}))


def test_what_torch_cannot_read_is_not_said_to_be_convertible(unchecked):
    none: Any
    for none in (None, object(), ["a"], X + 0j):
        with pytest.raises(TypeError, match="`x` must (be|have)") as refusal:
            gfe.encode(DECODER, none)
        assert "as_tensor" not in str(refusal.value) and ".float()" not in str(refusal.value)
