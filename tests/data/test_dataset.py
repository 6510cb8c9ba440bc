"""A data set leads back to one's own rows, names and classes, wherever its samples came from."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset, TensorDataset
from torchvision.datasets import ImageFolder

from gfe_core.data import Batches, DataSet, load
from gfe_core.data.samples import samples_for
from gfe_core.decoders import LinearDecoder

FIVE = np.arange(10, dtype=np.float32).reshape(5, 2)
IMAGES = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
FRAME = pd.DataFrame(
    {"a": [1, 2, 3], "b": [0.5, None, 1.5], "kind": ["ash", "rock", "ash"]}, index=["r", "s", "t"]
)


def known() -> DataSet:
    """Five samples of which everything is known."""
    return DataSet.of(
        FIVE, [0, 1, 0, 1, 0], names=list("abcde"), classes=["ash", "rock"], features=["m", "l"]
    )


def rows(data: DataSet) -> list[int]:
    assert data.rows is not None
    return data.rows.tolist()


# What is known of samples goes with them.


def test_data_set_of_five_arguments_is_one_and_counts_its_rows():
    data = DataSet(torch.zeros(3, 4), torch.zeros(3), (2, 2), "mine", "train")
    assert rows(data) == [0, 1, 2]
    assert (data.names, data.classes, data.features) == (None, None, None)


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        (slice(1, 3), [1, 2]),
        (slice(None, None, -2), [4, 2, 0]),
        ([3, -5], [3, 0]),
        (torch.tensor([2, 2]), [2, 2]),
        (np.array([4, 1]), [4, 1]),
        (FIVE[:, 0] > 5, [3, 4]),
        (torch.tensor([True, False, False, False, True]), [0, 4]),
        (2, [2]),
        ([], []),
        (range(2), [0, 1]),
    ],
)
def test_rows_that_are_chosen_keep_their_numbers_names_and_classes(chosen: Any, kept: list[int]):
    some = known()[chosen]
    assert rows(some) == kept
    assert some.names == tuple("abcde"[row] for row in kept)
    assert torch.equal(some.x, torch.from_numpy(FIVE[kept])) and len(some.y) == len(kept)
    assert (some.classes, some.features) == (("ash", "rock"), ("m", "l"))


def test_rows_of_rows_still_lead_to_the_source():
    assert rows(known()[[4, 2, 0]][1:]) == [2, 0]
    assert rows(known()[1:].take(2)) == [1, 2]
    assert known()[1:].x.data_ptr() != 0 and torch.equal(known()[1:3].x, known().x[1:3])


@pytest.mark.parametrize(
    ("chosen", "error", "text"),
    [
        ([5], IndexError, "`rows` must lie between 0 and 4, got 5"),
        ([-6], IndexError, "got -6"),
        ([True, False], IndexError, "one bool a sample"),
        ([0.5], TypeError, "`rows` must be a slice, whole numbers"),
        ("a", TypeError, "`rows` must be a slice, whole numbers"),
    ],
)
def test_rows_that_are_none_are_refused(chosen: Any, error: type[Exception], text: str):
    with pytest.raises(error, match=text):
        known()[chosen]


def test_a_share_or_given_rows_divide_a_data_set_in_two():
    train, test = known().train_test(0.4, seed=3)
    assert (train.split, test.split, len(train), len(test)) == ("train", "test", 3, 2)
    assert sorted(rows(train) + rows(test)) == [0, 1, 2, 3, 4]
    assert rows(known().train_test(0.4, seed=3)[1]) == rows(test)
    assert {tuple(rows(known().train_test(0.4, seed=s)[1])) for s in range(9)} != {
        tuple(rows(test))
    }
    train, test = known().train_test(test=[4, 1])
    assert (train.names, test.names) == (("a", "c", "d"), ("b", "e"))


@pytest.mark.parametrize(
    ("told", "error", "text"),
    [
        ({"share": 0.2, "test": [0]}, ValueError, "pass one of them"),
        ({"share": 1.0}, ValueError, "`share` must lie strictly between 0 and 1"),
        ({"seed": -1}, ValueError, "`seed` must lie between 0 and 2^63 - 1, got -1"),
        ({"seed": 2**64}, ValueError, "`seed` must lie between 0"),
        ({"test": []}, ValueError, "must leave samples on both sides, got 0 of 5"),
        ({"test": range(5)}, ValueError, "got 5 of 5"),
        ({"test": [7]}, IndexError, "`test` must lie between 0 and 4"),
        ({"test_size": 0.2}, TypeError, "takes no `test_size`"),
    ],
)
def test_division_that_leaves_a_side_empty_is_refused(
    told: dict[str, Any], error: type[Exception], text: str
):
    with pytest.raises(error, match=re.escape(text)):
        known().train_test(**told)


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({"names": ["a"]}, "`names` must be 5, one a sample, got 1"),
        ({"names": []}, "`names` must be 5, one a sample, got 0"),
        ({"features": []}, "`features` must be 2, one a feature, got 0"),
        ({"features": ["a"]}, "`features` must be 2, one a feature, got 1"),
        ({"classes": ["a"]}, "`y` must be whole numbers from 0 to 0, the places of `classes`"),
        ({"image_shape": (3, 3)}, "`image_shape` (3, 3) has 9 pixels, but samples have 2"),
        ({"names": "abcde"}, "`names` must be a list, got 'abcde'"),
    ],
)
def test_what_does_not_belong_to_the_samples_is_refused(told: dict[str, Any], text: str):
    with pytest.raises((ValueError, TypeError)) as caught:
        DataSet.of(FIVE, [0, 1, 0, 1, 0], **told)
    assert text in str(caught.value)


def test_channels_at_the_end_of_a_shape_are_refused():
    with pytest.raises(ValueError, match=r"`image_shape` \(4, 5, 3\) has its channels last"):
        DataSet(torch.zeros(2, 60), torch.zeros(2), (4, 5, 3), "mine", "train")


# Data in memory


@pytest.mark.parametrize(
    ("x", "image_shape", "first"),
    [
        (IMAGES, (3, 4, 5), IMAGES / 255),
        (np.moveaxis(IMAGES, 1, 3), (3, 4, 5), IMAGES / 255),
        (torch.from_numpy(IMAGES), (3, 4, 5), IMAGES / 255),
        (IMAGES[:, 0], (4, 5), IMAGES[:, 0] / 255),
        (IMAGES[:, :1], (4, 5), IMAGES[:, 0] / 255),
        (IMAGES.astype(np.uint16), (3, 4, 5), IMAGES / 65535),
        (IMAGES.astype(np.int64), (3, 4, 5), IMAGES),
        (IMAGES.astype(float) * 9, (3, 4, 5), IMAGES * 9.0),
        (torch.from_numpy(IMAGES.reshape(2, -1)).bfloat16(), None, IMAGES),
        ([[1.0, 2.0], [3.0, 4.0]], None, np.array([[1, 2], [3, 4]])),
        (np.ma.masked_equal(FIVE, 3), None, np.where(FIVE == 3, np.nan, FIVE)),
        (scipy.sparse.csr_array(FIVE), None, FIVE),
        (list(IMAGES), (3, 4, 5), IMAGES / 255),
        ([Image.fromarray(IMAGES[0, 0])] * 2, (4, 5), np.stack([IMAGES[0, 0]] * 2) / 255),
        (TensorDataset(torch.from_numpy(IMAGES)), (3, 4, 5), IMAGES / 255),
    ],
)
def test_arrays_in_their_many_layouts_become_the_same_rows(x: Any, image_shape: Any, first: Any):
    data = DataSet.of(x)
    assert data.image_shape == image_shape and data.x.dtype == torch.float32
    expected = torch.from_numpy(np.asarray(first, np.float64)).flatten(1).float()
    # bfloat16 keeps 8 bits of a number below 256
    torch.testing.assert_close(data.x, expected, rtol=0, atol=6e-8, equal_nan=True)


def test_channels_that_could_be_either_are_asked_about():
    either = np.zeros((2, 3, 4, 3), np.float32)
    either[:, 0] = 1
    with pytest.raises(ValueError, match=r"may be first or last\. Pass `channels='first'`"):
        DataSet.of(either)
    first, last = (DataSet.of(either, channels=place) for place in ("first", "last"))
    assert first.image_shape == (3, 4, 3) and last.image_shape == (3, 3, 4)
    assert first.x[0, :12].tolist() == [1] * 12 and last.x[0, :12].tolist() == [1] * 4 + [0] * 8


@pytest.mark.parametrize("y", ["kind", FRAME["kind"], FRAME["kind"].astype("category")])
def test_frame_keeps_its_columns_index_and_classes(y: Any):
    data = DataSet.of(FRAME if isinstance(y, str) else FRAME[["a", "b"]], y)
    expected = torch.tensor([[1, 0.5], [2, torch.nan], [3, 1.5]])
    torch.testing.assert_close(data.x, expected, equal_nan=True)
    assert data.features == ("a", "b") and data.names == ("r", "s", "t")
    assert data.classes == ("ash", "rock") and data.y.tolist() == [0, 1, 0]


def test_frame_with_other_kinds_of_columns_is_read_or_named():
    kinds = pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "f": [True, False]})
    torch.testing.assert_close(
        DataSet.of(kinds).x, torch.tensor([[1.0, 1.0], [torch.nan, 0.0]]), equal_nan=True
    )
    with pytest.raises(ValueError, match=r"row 0 \(index 'r'\), 'kind': 'ash' is no number"):
        DataSet.of(FRAME)
    with pytest.raises(ValueError, match="row 0 .*'d': '2020-01-01 00:00:00' is no number"):
        DataSet.of(pd.DataFrame({"d": pd.to_datetime(["2020-01-01"]), "a": [1]}))
    with pytest.raises(ValueError, match="`label` must be a column of `x`, such as a, b, kind"):
        DataSet.of(FRAME, "sort")


def test_index_that_only_counts_names_nothing_unless_it_has_a_name_itself():
    counted = pd.DataFrame(FIVE)
    assert DataSet.of(counted).names is None
    named = counted.set_index(pd.RangeIndex(5, 10, name="star"))
    assert DataSet.of(named).names == ("5", "6", "7", "8", "9")


def test_pictures_in_memory_are_in_colour_if_one_of_them_is():
    grey, colour = Image.fromarray(IMAGES[0, 0]), Image.fromarray(np.moveaxis(IMAGES[0], 0, 2))
    data = DataSet.of([grey, colour])
    assert data.image_shape == (3, 4, 5)
    assert torch.equal(data.x[0].reshape(3, 20)[0], data.x[0].reshape(3, 20)[2])


def test_labels_of_another_order_are_refused_not_mixed_up():
    with pytest.raises(ValueError, match=r"`y` must have the index of `x`.*`y.loc\[x.index\]`"):
        DataSet.of(FRAME[["a", "b"]], FRAME["kind"].iloc[::-1])


@pytest.mark.parametrize(
    ("y", "stored", "classes"),
    [
        ([3, 1, 3], [3, 1, 3], None),
        ([0.5, 1.0, 2.0], [0.5, 1.0, 2.0], None),
        (["b", "a", "b"], [1, 0, 1], ("a", "b")),
        ([True, False, True], [1, 0, 1], None),
        (torch.tensor([[2], [1], [0]]), [2, 1, 0], None),
        (np.ones((3, 2)), [[1, 1]] * 3, None),
    ],
)
def test_labels_are_classes_names_or_parameters(y: Any, stored: Any, classes: Any):
    data = DataSet.of(FIVE[:3], y)
    assert data.y.tolist() == stored and data.classes == classes


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (["a", None, "b"], "a label is missing"),
        ([1, float("nan"), 2], "a label is missing (nan)"),
        (pd.to_datetime(["2020-01-01"] * 3), "labels are of type datetime64"),
        ([1, 2], "for each of the 3 samples, got shape (2,)"),
        ("kind", "it may name a column only if `x` is a frame"),
    ],
)
def test_labels_that_are_none_are_refused(y: Any, text: str, unchecked: None):
    with pytest.raises((ValueError, TypeError)) as caught:
        DataSet.of(FIVE[:3], y)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("x", "text"),
    [
        ("mine.csv", "Load it: `gfe.data.load('mine.csv')`"),
        (None, "`x` must hold samples, got None"),
        ({"a": [1]}, "`x` must hold samples"),
        (known(), "That is a data set already"),
        (DataLoader(TensorDataset(torch.zeros(2, 2))), "`loader.dataset`"),
        ([[1.0, 2.0], [3.0]], "its samples differ in shape"),
        ([np.zeros(2), np.zeros(3)], "sample 1 has shape (3,), sample 0 (2,)"),
        (np.full((2, 2), np.inf), "infinite in float32"),
        (np.zeros((0, 2)), "its shape is (0, 2)"),
        (np.array([["a"]]), "its type is <U1"),
    ],
)
def test_what_holds_no_samples_is_refused_by_name(x: Any, text: str):
    with pytest.raises((ValueError, TypeError)) as caught:
        DataSet.of(x)
    assert text in str(caught.value)


def test_image_folder_of_torchvision_and_part_of_it_keep_files_and_classes(tmp_path: Path):
    for kind in ("ape", "dog"):
        (tmp_path / kind).mkdir()
        for i in range(3):
            shade = np.full((4, 5, 3), 40 * i + len(kind), np.uint8)
            Image.fromarray(shade).save(tmp_path / kind / f"{i}.png")
    ours, theirs = load(tmp_path, "all"), DataSet.of(ImageFolder(tmp_path))
    assert torch.equal(ours.x, theirs.x) and ours.image_shape == theirs.image_shape == (3, 4, 5)
    assert (ours.names, ours.classes) == (theirs.names, theirs.classes)
    part = DataSet.of(Subset(Subset(ImageFolder(tmp_path), [5, 0, 3]), [2, 0]))
    assert rows(part) == [3, 5] and part.names == ("dog/0.png", "dog/2.png")
    assert part.y.tolist() == [1, 1] and torch.equal(part.x, theirs[[3, 5]].x)


def test_batches_of_a_data_set_of_colours_are_its_rows():
    data = DataSet.of(IMAGES)
    (batch,) = Batches(data, size=2, shuffle=False)
    assert torch.equal(batch, data.x)


# Named sets


def test_all_of_a_named_set_is_train_and_then_test():
    train, test, every = (load("digits", split) for split in ("train", "test", "all"))
    assert torch.equal(every.x, torch.cat([train.x, test.x])) and every.split == "all"
    assert torch.equal(every.y, torch.cat([train.y, test.y])) and every.image_shape == (8, 8)
    assert rows(every) == list(range(1797)) and rows(test) == list(range(360))


def test_named_set_takes_no_option_of_files():
    with pytest.raises(TypeError, match="`load` takes no `header` for 'digits'"):
        load("digits", header=0)


# Labels


@pytest.mark.parametrize(
    ("labels", "classes", "y"),
    [
        (["dog", "cat", "dog"], ["dog", "cat"], [0, 1, 0]),
        (pd.Series(["dog", "cat", "dog"]), ["cow", "cat", "dog"], [2, 1, 2]),
        (["1", "0", "1"], ["1", "0"], [0, 1, 0]),
        (["1", "0", "1"], ["ash", "rock"], [1, 0, 1]),
        ([1, 0, 1], ["dog", "cat"], [1, 0, 1]),
    ],
)
def test_words_count_into_the_classes_that_are_given(labels: Any, classes: list[str], y: list[int]):
    data = DataSet.of(FIVE[:3], labels, classes=classes)
    assert data.classes == tuple(classes) and data.y.tolist() == y


def test_words_of_a_column_and_of_pairs_count_into_the_classes_that_are_given():
    for classes, y in ((["rock", "ash"], [1, 0, 1]), (["ash", "rock"], [0, 1, 0])):
        assert DataSet.of(FRAME, "kind", classes=classes).y.tolist() == y
        pairs = list(zip(FIVE[:3], FRAME["kind"], strict=True))
        assert DataSet.of(pairs, classes=classes).y.tolist() == y


def test_classes_of_a_folder_are_put_in_another_order_by_name_or_renamed(tmp_path: Path):
    for kind, grey in (("ape", 0), ("dog", 200)):
        (tmp_path / kind).mkdir()
        Image.new("L", (3, 2), grey).save(tmp_path / kind / "a.png")
    folder = ImageFolder(str(tmp_path))
    assert DataSet.of(folder).y.tolist() == [0, 1]
    assert DataSet.of(folder, classes=["dog", "ape"]).y.tolist() == [1, 0]
    assert DataSet.of(folder, classes=["Affe", "Hund"]).y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "told", "text"),
    [
        (["dog", "cow", "cat"], {"classes": ["dog", "cat"]}, "the label 'cow' is none of the"),
        (["dog", "cat", "dog"], {"classes": []}, "`classes` must hold the name of each class"),
        ([0.0, 1e20, 2.0], {}, "too large for classes. Number the classes from 0"),
        (np.array([0, 2**63, 1], np.uint64), {}, "too large for classes"),
        ([0, 1, 2**70], {}, "too large for classes"),
        (["0", "1", str(2**70)], {}, "too large for classes"),
        (pd.Series(["a", None, "b"], dtype="string"), {}, "a label is missing"),
        (pd.Series([1, None, 2], dtype="Int64"), {}, "a label is missing"),
        (np.ma.masked_equal([1, 2, 3], 2), {}, "a label is missing"),
    ],
)
def test_labels_that_cannot_be_classes_are_refused(labels: Any, told: dict[str, Any], text: str):
    with pytest.raises(ValueError, match="`") as caught:
        DataSet.of(FIVE[:3], labels, **told)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [
        [2**53, 2**53 + 1, 0],
        np.array([2**53, 2**53 + 1, 0], np.uint64),
        [str(2**53), str(2**53 + 1), "0"],
        pd.Series([2**53, 2**53 + 1, 0], dtype="Int64"),
    ],
)
def test_large_whole_labels_stay_apart(labels: Any):
    assert DataSet.of(FIVE[:3], labels).y.tolist() == [2**53, 2**53 + 1, 0]


# Masks


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 4, 5, 3), (2, 60), (2, 15, 4)])
@pytest.mark.parametrize(("kind", "white"), [("u1", 255), ("u2", 65535), ("f4", 1)])
def test_masked_values_are_missing_and_the_others_as_without_a_mask(
    shape: tuple[int, ...], kind: str, white: int
):
    values = np.arange(120).reshape(shape).astype(kind)
    plain = DataSet.of(values).x
    for masked in (np.ma.masked_equal(values, 7), list(np.ma.masked_equal(values, 7))):
        x = DataSet.of(masked).x
        assert int(x.isnan().sum()) == 1
        assert torch.equal(x[~x.isnan()], plain[~x.isnan()])
    white = 1 if kind == "u2" and len(shape) == 2 else white
    assert plain.max().item() == pytest.approx(119 / white)


# Names


def test_index_that_only_counts_names_no_samples_and_any_other_does():
    frame = pd.DataFrame({"v": [1.0, 2.0, 3.0, 4.0]})
    assert DataSet.of(frame).names is None
    assert DataSet.of(frame[frame.v > 2]).names == ("2", "3")
    assert DataSet.of(frame.iloc[::2]).names == ("0", "2")


# Scales and shapes


def test_floats_that_numpy_lacks_become_float32():
    values = torch.tensor([[0.5, 1.0], [2.0, -4.0]])
    for kind in (torch.float8_e4m3fn, torch.bfloat16):
        assert torch.equal(DataSet.of(values.to(kind)).x, values)


def test_tensor_that_is_no_array_is_refused():
    with pytest.raises(ValueError, match="its type is torch.float32, sparse_coo. Convert it: `"):
        DataSet.of(torch.eye(3).to_sparse())


def test_pictures_of_two_scales_are_refused():
    grey, floats = Image.new("L", (3, 2), 9), Image.new("F", (3, 2), 9.5)
    for pictures in ([grey, floats], [floats, grey], [(grey, 0), (floats, 1)]):
        with pytest.raises(ValueError, match="sample 1 and sample 0 are pictures of two scales"):
            DataSet.of(pictures)
    assert DataSet.of([floats, floats]).x.unique().tolist() == [9.5]


def test_shape_that_contradicts_the_axes_of_an_array_is_refused():
    with pytest.raises(
        ValueError, match=r"`image_shape` \(6, 4\) is not that of the images in `x`"
    ):
        DataSet.of(np.zeros((5, 4, 6)), image_shape=(6, 4))
    assert DataSet.of(np.zeros((5, 4, 6)), image_shape=(4, 6)).image_shape == (4, 6)
    assert DataSet.of(np.zeros((5, 24)), image_shape=(6, 4)).image_shape == (6, 4)


def far_from_zero() -> pd.DataFrame:
    """Columns for which float32 has too few digits, and others that are resolved."""
    random = np.random.default_rng(0)
    days = 2460000.5 + random.normal(size=200)
    numbers = 100_000_001 + np.arange(200)
    kelvin = 300 + random.normal(size=200)
    constant = np.full(200, 0.1) + np.tile([0.0, 2e-17], 100)
    gaps = np.where(np.arange(200) % 2, np.nan, kelvin)
    return pd.DataFrame({"day": days, "id": numbers, "T": kelvin, "c": constant, "gaps": gaps})


def test_columns_that_float32_cannot_resolve_are_named(tmp_path, unchecked: None):
    frame = far_from_zero()
    frame.to_csv(tmp_path / "t.csv", index=False)
    floats = frame.to_numpy()
    told = "float32, whose 7 digits are too few for the features {}: they vary.*Subtract an offset"
    readers: list[Any] = [
        lambda: DataSet.of(frame),
        lambda: DataSet.of(frame.convert_dtypes()),
        lambda: load(tmp_path / "t.csv"),
        lambda: Batches(frame.astype(float), size=10),
        lambda: samples_for(LinearDecoder(latent_dim=1, data_dim=5), frame.astype(float)),
    ]
    for read in readers:
        with pytest.warns(UserWarning, match=told.format("'day', 'id'")):
            read()
    for read in (DataSet.of, partial(Batches, size=10)):
        with pytest.warns(UserWarning, match=told.format("'0', '1'")):
            read(floats)


def test_columns_that_float32_resolves_pass_without_a_word(tmp_path, unchecked: None):
    frame = far_from_zero()
    frame["day"] -= 2460000
    frame["id"] -= 100_000_000
    frame.to_csv(tmp_path / "t.csv", index=False)
    for given in (
        frame,
        frame.to_numpy(),
        frame.convert_dtypes(),
        far_from_zero().astype("float32"),
    ):
        DataSet.of(given)
    load(tmp_path / "t.csv")
    Batches(frame.astype(float), size=10)
    DataSet.of(far_from_zero().head(1))
