"""What `encode` returns can be counted, cut, moved, read and put into a table."""

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from problems import digits, fresh
from torch import Tensor

import gfe_core as gfe
from gfe_core.types import Encoding, Statistics, Status, Stop


@pytest.fixture(scope="module")
def enc() -> Encoding:
    timed = gfe.AMD(trial="carry")
    saved = gfe.SaveAt.steps()
    return gfe.encode(fresh("mlp"), digits(7), solver=timed, max_steps=12, save_at=saved)


def tensors(encoding: Encoding) -> dict[str, Tensor]:
    """Every tensor of an encoding, the batch axis first."""
    parts: dict[str, Any] = {f.name: getattr(encoding, f.name) for f in fields(encoding)}
    parts |= {f.name: getattr(encoding.statistics, f.name) for f in fields(Statistics)}
    if encoding.trajectory is not None:
        for f in fields(encoding.trajectory):
            value = getattr(encoding.trajectory, f.name)
            parts[f"trajectory.{f.name}"] = None if value is None else value.transpose(0, 1)
    return {name: value for name, value in parts.items() if isinstance(value, Tensor)}


ROWS = {
    "slice": (slice(1, 4), [1, 2, 3]),
    "slice with a step": (slice(None, None, 3), [0, 3, 6]),
    "slice backwards": (slice(None, None, -2), [6, 4, 2, 0]),
    "nothing": (slice(3, 3), []),
    "number": (2, [2]),
    "number from the end": (-1, [6]),
    "list": ([5, 0, 5], [5, 0, 5]),
    "empty list": ([], []),
    "indices": (torch.tensor([6, -7]), [6, 0]),
    "small integers": (torch.tensor([3, 1], dtype=torch.uint8), [3, 1]),
    "mask": (torch.tensor([True, False, True, False, False, False, True]), [0, 2, 6]),
    "list of booleans": ([False] * 6 + [True], [6]),
    "no row": (torch.zeros(7, dtype=torch.bool), []),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_those_of_every_tensor_and_of_the_trajectory(enc, name):
    rows, numbers = ROWS[name]
    chosen = enc[rows]
    assert isinstance(chosen, Encoding) and len(chosen) == len(numbers)
    whole = tensors(enc)
    found = tensors(chosen)
    assert found.keys() == whole.keys() and len(whole) == 18
    for key, value in found.items():
        assert torch.equal(value, whole[key][torch.tensor(numbers, dtype=torch.long)]), key


def test_rows_can_be_chosen_by_what_is_known_of_them_and_iterated(enc):
    few = enc[enc.energy < enc.energy.median()]
    assert len(few) == 3 and bool((few.energy < enc.energy.median()).all())
    assert [one.energy.item() for one in enc] == enc.energy.tolist()
    without = replace(enc, trajectory=None)
    assert without[:2].trajectory is None


def test_rows_keep_the_gradient_of_their_codes():
    decoder: Any = fresh("mlp")
    enc = gfe.encode(decoder, digits(3), adjoint=gfe.Implicit(), max_steps=5)
    enc[1:].z.square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.parameters())
    decoder.zero_grad(set_to_none=True)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (7, IndexError, r"`rows` must lie between -7 and 6, got \[7\]"),
        ([0, -8], IndexError, "must lie between -7 and 6"),
        (torch.ones(3, dtype=torch.bool), IndexError, r"mask of shape \(7,\), got a mask of shape"),
        (torch.ones(2), TypeError, "`rows` must be a slice, a whole number, whole numbers or a"),
        ((0, 1), TypeError, r"got \(0, 1\). Other axes are those of the tensors: `enc.z\[:, 0\]`"),
        ("z", TypeError, "got 'z'"),
        (torch.ones(2, 2, dtype=torch.long), TypeError, r"got shape \(2, 2\), torch.int64"),
        ({"a": 1}, TypeError, "got dict"),
    ],
)
def test_rows_that_make_no_sense_are_refused(enc, rows, error, message):
    with pytest.raises(error, match=message):
        enc[rows]


def test_to_converts_floats_and_leaves_counts(enc):
    for moved in (enc.to(torch.float32), enc.to(dtype=torch.float32), enc.to("cpu", torch.float32)):
        for name, value in tensors(moved).items():
            before = tensors(enc)[name]
            expected = torch.float32 if before.is_floating_point() else before.dtype
            assert value.dtype == expected, name
            assert torch.equal(value, before.to(expected)), name
    assert enc.to("meta").statistics.n_steps.device.type == "meta"
    assert enc.to("meta").trajectory.z.device.type == "meta"
    assert enc.z.dtype == torch.float64, "the encoding itself stays"
    with pytest.raises(TypeError, match="`dtype` must be a float dtype for codes, got torch.int32"):
        enc.to(torch.int32)


def test_repr_is_one_line_of_counts_without_tensors(enc):
    status = torch.tensor([1, 1, 6, 3, 1, 3, 1])
    energy = torch.tensor([1.0, 2, float("nan"), 3, 4, 5, 6]).double()
    text = repr(replace(enc, status=status, energy=energy))
    states = len(enc.trajectory.t)
    assert text == (
        f"Encoding(7 samples, 8 latents, mean energy 3.5, {states} states kept; "
        "4 CONVERGED, 2 MAX_STEPS, 1 NON_FINITE)"
    )
    assert repr(enc[:0]).endswith("states kept; no status)") and "energy" not in repr(enc[:0])
    other = replace(enc, status=torch.full((7,), 99), trajectory=None)
    assert repr(other).endswith("; 7 99)"), "a status of another kit"


def test_to_frame_without_pandas_names_it(enc, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="`to_frame` needs pandas.*`pip install pandas`"):
        enc.to_frame()


def test_to_frame_hands_pandas_one_column_for_each_thing_known(enc, monkeypatch):
    pandas = ModuleType("pandas")
    pandas.DataFrame = dict  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    frame = enc.to_frame()
    assert list(frame)[:12] == [f"z_{i}" for i in range(8)] + ["energy", "grad_norm", "t", "status"]
    assert list(frame)[12:] == [*(f.name for f in fields(Statistics)), "work"]
    assert frame["z_3"] == enc.z[:, 3].tolist() and frame["energy"] == enc.energy.tolist()
    assert frame["status"] == [Status(code).name for code in enc.status.tolist()]
    assert frame["work"] == enc.statistics.work.tolist()
    assert {len(column) for column in frame.values()} == {7}


def test_to_frame_is_a_frame_of_pandas(enc):
    pandas = pytest.importorskip("pandas")
    frame = enc.to_frame()
    assert isinstance(frame, pandas.DataFrame) and frame.shape == (7, 19)
    assert frame["z_0"].tolist() == enc.z[:, 0].tolist()
    half = enc.to(torch.bfloat16).to_frame()  # numpy knows no such type
    assert half["z_0"].tolist() == enc.z[:, 0].bfloat16().tolist()


def test_window_of_a_stop_rule_may_be_a_whole_number_of_numpy(unchecked: None):
    assert Stop(window=np.int64(3)) == Stop(window=3)  # pyright: ignore[reportArgumentType]
    assert type(Stop(window=np.int64(3)).window) is int  # pyright: ignore[reportArgumentType]


def test_nothing_cannot_be_joined():
    with pytest.raises(ValueError, match="`parts` must hold at least one encoding"):
        Encoding.joined([])


class Own:
    """A loss that defines no equality."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def per_sample(self, output: Tensor, x: Tensor) -> Tensor:
        return self.weight * (output - x).square().mean(1)


def told(loss: Any, context: Any = None) -> Encoding:
    enc = gfe.encode(fresh("mlp"), digits(3), max_steps=2)
    return replace(enc, loss=loss, context=context)


def weighted(weight: Any) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda output, x: (weight * (output - x).square()).mean(1)


def by_default(weight: Any) -> Callable[..., Tensor]:
    def loss(output: Tensor, x: Tensor, *, w: Any = weight) -> Tensor:
        return (w * (output - x).square()).mean(1)

    return loss


def partly(weight: Any) -> Callable[..., Tensor]:
    return partial(lambda output, x, w: (w * (output - x).square()).mean(1), w=weight)


HOLDING: dict[str, Callable[[Any], Any]] = {
    "closure": weighted,
    "default": by_default,
    "partial": partly,
    "attribute": Own,
    "method": lambda weight: Own(weight).per_sample,
    "closure in a closure": lambda weight: (lambda inner: lambda output, x: inner(output, x))(
        weighted(weight)
    ),
}


@pytest.mark.parametrize("one, other", [(1.0, 5.0), (torch.ones(64), torch.arange(64.0))])
@pytest.mark.parametrize("kind", HOLDING)
def test_losses_with_other_constants_are_not_joined_and_those_with_equal_ones_are(kind, one, other):
    make = HOLDING[kind]
    assert len(Encoding.joined([told(make(one)), told(make(one + 0))])) == 6
    with pytest.raises(ValueError, match="one encoding has one loss"):
        Encoding.joined([told(make(one)), told(make(other))])


ALIKE: dict[str, Callable[[], Any]] = {
    "kit": gfe.Gaussian,
    "own": lambda: Own(2.0),
    "function": lambda: lambda output, x: (output - x).square().mean(1),
    "none": lambda: None,
}


@pytest.mark.parametrize("kind", ALIKE)
def test_encodings_by_losses_that_do_the_same_are_joined(kind):
    make = ALIKE[kind]
    whole = Encoding.joined(told(make()) for _ in range(2))
    assert len(whole) == 6, "from a generator"


@pytest.mark.usefixtures("unchecked")
def test_encodings_of_other_kinds_are_not_joined():
    c = torch.zeros(3, 2)
    first = told(gfe.Gaussian())
    for other, message in (
        (told(gfe.Bernoulli()), r"`parts\[1\]` was found by the loss Bernoulli.*`parts\[0\]` by G"),
        (told(gfe.Gaussian(variance=2.0)), r"found by the loss Gaussian.*variance=2.0"),
        (told(Own()), "found by the loss .*Own"),
        (told(gfe.Gaussian(), c), r"`parts\[1\]` has a context of shape \(n, 2\).*no context"),
        (replace(first, z=first.z[:, :3]), r"has 3 latents of torch.float64, but `parts\[0\]` has"),
        (first.to(torch.float32), r"has 8 latents of torch.float32"),
    ):
        with pytest.raises(ValueError, match=message):
            Encoding.joined([first, other])
        with pytest.raises(ValueError, match="found by the loss|context|latents"):
            Encoding.joined([other, first])
    for other in ({"c": c}, {"d": c}, c.double(), c[:, :1]):
        with pytest.raises(ValueError, match="Encode all samples with a context of one form"):
            Encoding.joined([told(None, {"c": c, "e": c}), told(None, other)])
    with pytest.raises(ValueError, match="found by the loss"):
        Encoding.joined([told(Own(1.0)), told(Own(2.0))])
    with pytest.raises(TypeError, match=r"`parts\[1\]` is of type Tensor"):
        Encoding.joined([first, first.z])  # pyright: ignore[reportArgumentType]
    kept = Encoding.joined([told(None, {"c": c}), told(None, {"c": c + 1})]).context
    assert isinstance(kept, dict) and kept["c"].shape == (6, 2)


def test_a_part_without_a_mask_was_observed_everywhere():
    x, mask = digits(5), torch.rand(5, 64) > 0.5
    half = gfe.encode(fresh("mlp"), x, mask=mask, max_steps=1)
    whole = gfe.encode(fresh("mlp"), x, max_steps=1)
    assert whole.mask is None and half.mask is not None
    assert torch.equal(half.mask, mask) and half.mask is not mask, "the caller's may change"
    for parts in ([half[:2], whole], [whole[:2], half]):
        joined = Encoding.joined(parts)
        pieces = [torch.ones(len(p), 64).bool() if p.mask is None else p.mask for p in parts]
        assert joined.mask is not None and torch.equal(joined.mask, torch.cat(pieces))
    other = replace(half, mask=mask[:, :3])
    with pytest.raises(ValueError, match=r"`parts\[1\]` has a mask of samples of shape \(3,\)"):
        Encoding.joined([half, other])


def test_encoding_is_equal_to_itself_alone(enc):
    again = gfe.encode(fresh("mlp"), digits(7), max_steps=12)
    assert enc in [again, enc] and enc != again and enc.statistics != again.statistics
    assert enc.trajectory != replace(enc.trajectory)


def test_deep_copy_of_an_encoding_is_without_a_gradient():
    context = torch.zeros(3, 64, dtype=torch.float64)

    def loss(output: Tensor, x: Tensor, context: Tensor) -> Tensor:
        return (output - x - context).square().mean(1)

    enc = gfe.encode(
        fresh("mlp"), digits(3), loss=loss, context=context, adjoint=gfe.Unrolled(), max_steps=2
    )
    copied = copy.deepcopy(enc)
    assert enc.z.requires_grad and not copied.z.requires_grad
    for name, tensor in tensors(enc).items():
        same = torch.equal(tensors(copied)[name].nan_to_num(), tensor.nan_to_num())
        assert same, name
        assert tensors(copied)[name].data_ptr() != tensor.data_ptr(), name
    assert copied.loss is loss


@dataclass
class Noted:
    """A loss with a note that does not count."""

    weight: float
    note: list[int] = field(default_factory=list, compare=False)

    def per_sample(self, output: Tensor, x: Tensor) -> Tensor:
        return (self.weight * (output - x).square()).mean(1)


def test_a_loss_decides_itself_what_it_is_equal_to():
    one, other = Noted(1.0), Noted(1.0)
    other.note.append(3)
    assert len(Encoding.joined([told(one), told(other)])) == 6
    with pytest.raises(ValueError, match="one encoding has one loss"):
        Encoding.joined([told(one), told(Noted(2.0))])
