"""Own data are read as they are, and what does not fit is refused with its place and a remedy."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gfe_core as gfe
from gfe_core.data import images, pixels
from gfe_core.data.readers import read
from gfe_core.data.sets import DataError, DataSet, load

RAMP = np.linspace(0, 1, 60).reshape(10, 6)
"""Ten samples of six features, no two numbers alike."""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.csv"
    path.write_bytes(text.encode())
    return path


def whole(path: Path, **arguments: Any) -> DataSet:
    """Both splits as one set, sorted by the first feature."""
    parts = [read(path, split, **arguments) for split in ("train", "test")]
    x = torch.cat([part.x for part in parts])
    y = torch.cat([part.y for part in parts])
    order = x[:, 0].argsort()
    return DataSet(x[order], y[order], parts[0].image_shape, str(path), "train")


def save_images(folder: Path, pixels: Any, suffix: str = "png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i:03}.{suffix}")
    return folder


def grey(n: int = 5, height: int = 2, width: int = 3) -> np.ndarray:
    return np.arange(n * height * width, dtype=np.uint8).reshape(n, height, width)


# splits and paths


def test_a_fifth_is_for_the_test_every_sample_is_in_one_split_and_nothing_changes_from_call_to_call(
    tmp_path: Path,
):
    np.save(tmp_path / "mine.npy", np.arange(104.0).reshape(52, 2))
    train, again, test = (
        read(tmp_path / "mine.npy", split) for split in ("train", "train", "test")
    )
    assert (len(train), len(test)) == (42, 10)
    assert sorted(torch.cat([train.x, test.x])[:, 0].tolist()) == list(range(0, 104, 2))
    assert torch.equal(train.x, again.x)
    assert (
        train.x[:, 0].diff().sign().unique().numel() == 2
    )  # mixed: a set sorted by class gives all of them to `take`
    assert (test.x[:, 0] / 2).tolist() == [
        16,
        4,
        35,
        26,
        23,
        21,
        51,
        2,
        25,
        6,
    ]  # the split never changes between versions
    assert train.split == "train" and test.split == "test" and train.image_shape is None


def test_the_split_depends_on_the_number_of_samples_alone(tmp_path: Path):
    save_images(tmp_path / "images", grey(10))
    np.save(tmp_path / "mine.npy", grey(10))
    write(tmp_path, "\n".join(",".join(map(str, image)) for image in grey(10).reshape(10, 6) / 255))
    sets = [load(tmp_path / name, "test") for name in ("images", "mine.npy", "mine.csv")]
    torch.testing.assert_close(sets[0].x, sets[1].x, rtol=0, atol=0)
    torch.testing.assert_close(
        sets[0].x, sets[2].x, rtol=0, atol=6e-8
    )  # decimals of float64, rounded once
    assert sets[0].image_shape == sets[1].image_shape == (2, 3)


@pytest.mark.parametrize("kind", [str, Path])
def test_load_takes_a_path_and_a_text_with_a_suffix_or_a_separator(
    tmp_path: Path, kind: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    np.save("mine.npy", RAMP)
    save_images(Path("digits"), grey())
    assert torch.equal(load(kind("mine.npy")).x, read(tmp_path / "mine.npy").x)
    assert load(kind(tmp_path / "digits")).image_shape == (2, 3)
    assert load(Path("digits")).image_shape == load("./digits").image_shape == (2, 3)
    assert load("digits").image_shape == (8, 8)  # a text is the name of a set


def test_home_is_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    np.save(tmp_path / "mine.npy", RAMP)
    assert len(load("~/mine.npy")) == 8


def test_missing_unknown_and_unlabelled_paths_are_refused_with_a_remedy(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"nowhere.csv cannot be used: it does not exist .*Correct the path"
    ):
        load("nowhere.csv")
    (tmp_path / "mine.parque").write_bytes(b"")
    with pytest.raises(
        ValueError,
        match=r"kinds .csv, .*a folder of images, got .*mine.parque\. Did you mean '.parquet'\?",
    ):
        load(tmp_path / "mine.parque")
    (tmp_path / "mine.png").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"got .*mine.png. One picture is not a data set: pass its folder"
    ):
        load(tmp_path / "mine.png")
    np.save(tmp_path / "mine.npy", RAMP)
    with pytest.raises(
        ValueError, match=r"`label` is the column of a table .*, got 'kind' for .*Leave it out"
    ):
        load(tmp_path / "mine.npy", label="kind")
    with pytest.raises(
        ValueError, match=r"`label` is the column of a table .*, got 'kind' for 'digits'"
    ):
        load("digits", label="kind")


# CSV files

TABLE = [[0.0, 1.5], [1.0, -2e-3], [2.0, float("nan")]]


@pytest.mark.parametrize(
    "text",
    [
        "0,1.5\n1,-2e-3\n2,\n",
        "a,b\n0,1.5\n1,-2e-3\n2,nan\n",
        '"a","b, in m"\r\n"0","1.5"\r\n"1","-2e-3"\r\n"2",""\r\n',
        "a;b\n0;1.5\n1;-2e-3\n2;\n",
        "a\tb\n0\t1.5\n1\t-2e-3\n2\tNaN",
        "\ufeffa, b\n0, 1.5\n\n1, -2e-3\n2, \n\n",
        "\ufeff0,+1.5\n1,-.002\n2,\n",
    ],
    ids=[
        "no header",
        "header",
        "quotes",
        "semicolons",
        "tabs",
        "byte order mark, blanks",
        "byte order mark, no header",
    ],
)
def test_tables_are_read_in_the_ways_that_they_are_written(tmp_path: Path, text: str):
    table = whole(write(tmp_path, text))
    torch.testing.assert_close(table.x, torch.tensor(TABLE), equal_nan=True, rtol=0, atol=0)
    assert (
        table.x.dtype == torch.float32
        and table.image_shape is None
        and table.y.tolist() == [0, 0, 0]
    )


@pytest.mark.parametrize(
    ("labels", "y"),
    [
        (["rock", "ash", "rock", "sand"], [1, 0, 1, 2]),  # in sorted order
        (["7", "3", "7", "-1"], [7, 3, 7, -1]),
        (["1.0", "0.0", "1.0", "2.0"], [1, 0, 1, 2]),
        (
            ["16777216", "16777217", "5", "5"],
            [16777216, 16777217, 5, 5],
        ),  # float32 cannot tell the first two
        (["7", "3", "7", "nine"], [1, 0, 1, 2]),
    ],
)
def test_label_is_y_and_no_feature_and_the_same_in_both_splits(
    tmp_path: Path, labels: list[str], y: list[int]
):
    lines = "".join(f"{i},{label},{i / 8}\n" for i, label in enumerate(labels))
    for text, label in (("a,kind,b\n" + lines, "kind"), (lines, "column 2")):
        table = whole(write(tmp_path, text), label=label)
        assert table.y.tolist() == y and table.y.dtype == torch.long
        torch.testing.assert_close(
            table.x, torch.tensor([[i, i / 8] for i in range(4)]), rtol=0, atol=0
        )


def test_fractions_in_the_label_are_a_known_parameter(tmp_path: Path):
    table = whole(write(tmp_path, "mass,a\n0.25,0\n1.5,1\n2,2\ninf,3\n"), label="mass")
    assert table.y.tolist() == [0.25, 1.5, 2, float("inf")] and table.y.dtype == torch.float32


def test_header_of_numbers_is_recognised_by_the_label(tmp_path: Path):
    assert len(whole(write(tmp_path, "kind,3700,3701\n0,1,2\n1,2,3\n"), label="kind")) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a,b\n1,2\n\n3,oops\n5,6\n",
            r"mine.csv cannot be used: line 4, 'b': 'oops' is no number\. .*`label=`",
        ),
        ("1,oops\n2,3\n", r"line 1, 'column 2': 'oops' is no number"),
        ("a;b\n1;3,14\n2;4,2\n", r"line 2, 'b': '3,14' is no number\. .*`decimal=','`"),
        ("a,b\n1,2\n3\n", r"line 3 has 1 fields, not 2"),
        ("a,b\n1,2\n3,4,5\n", r"line 3 has 3 fields, not 2"),
        ("a,,b\n0,1,2\n1,3,4\n", r"its header must name every column"),
        ("", r"its header must name every column, one at least"),
        ("a,b\n", r"it holds 0 samples. Give at least 2"),
        ("a,b\n1,2\n", r"it holds 1 samples"),
        ("a,b\n1,2\n3,inf\n4,inf\n", r"infinite in float32\. Rescale"),
        ("a,b\n1,2\n3,1e39\n4,1e39\n", r"infinite in float32\. Rescale"),
        ("a,b\n1,1\n1,1\n1,1\n", r"its values are all the same, or all missing"),
        ("a,b\n,\n,\n,\n", r"its values are all the same, or all missing"),
    ],
)
def test_unfit_table_is_refused_with_its_place_and_a_remedy(tmp_path: Path, text: str, told: str):
    with pytest.raises(DataError, match=told):
        read(write(tmp_path, text))


def test_table_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "mine.csv").write_bytes("ä,b\n1,2\n3,4".encode("latin-1"))
    with pytest.raises(DataError, match=r"it is not a table in UTF-8 text .*save it again as CSV"):
        read(tmp_path / "mine.csv")


def test_label_must_be_a_column_beside_others_and_known_for_every_sample(tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"`label` must be a column of .*mine.csv, such as a, b; got 'kind'"
    ):
        read(write(tmp_path, "a,b\n1,2\n3,4\n"), label="kind")
    with pytest.raises(DataError, match=r"line 3 has no 'a'\. Fill it in"):
        read(write(tmp_path, "a,b\nx,2\n ,4\n"), label="a")
    with pytest.raises(DataError, match="it has no column besides the label"):
        read(write(tmp_path, "a\nx\ny\n"), label="a")


# arrays


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("uint8", 255), ("bool", 1), ("int64", 1), (">i2", 1), ("float16", 1), (">f4", 1), ("f8", 1)],
)
def test_only_bytes_are_divided_by_255(tmp_path: Path, dtype: str, scale: int):
    values = (10 * RAMP).astype(dtype)
    np.save(tmp_path / "mine.npy", values)
    x = whole(tmp_path / "mine.npy").x
    assert x.dtype == torch.float32
    expected = torch.from_numpy(values.astype(np.float64) / scale).float()
    torch.testing.assert_close(
        x[x.sum(1).argsort()], expected[expected.sum(1).argsort()], rtol=0, atol=0
    )


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [((10, 6), None), ((10, 2, 3), (2, 3)), ((10, 2, 3, 1), (2, 3)), ((10, 6, 1), (6, 1))],
)
def test_shape_of_an_array_says_whether_it_holds_images(
    tmp_path: Path, shape: Any, image_shape: Any
):
    np.save(tmp_path / "mine.npy", RAMP.reshape(shape))
    got = whole(tmp_path / "mine.npy")
    assert got.image_shape == image_shape and got.y.tolist() == [0] * 10
    torch.testing.assert_close(got.x, torch.from_numpy(RAMP).float(), rtol=0, atol=0)


def test_missing_numbers_of_an_array_stay_missing(tmp_path: Path):
    np.save(tmp_path / "mine.npy", np.where(RAMP > 0.5, np.nan, RAMP))
    assert whole(tmp_path / "mine.npy").x.isnan().sum() == 30


def test_negative_and_large_values_are_not_clipped(tmp_path: Path):
    np.save(tmp_path / "mine.npy", 2000 * RAMP - 1000)
    x = whole(tmp_path / "mine.npy").x
    assert (x.min().item(), x.max().item()) == (-1000, 1000)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            np.array([[{}], [{}]], dtype=object),
            "not a complete array of numbers .*Python objects.*`numpy.save`",
        ),
        (np.array([["a"], ["b"]]), r"its type is <U1\. Convert it: `values.astype\('float32'\)`"),
        (RAMP + 1j, "its type is complex128"),
        (RAMP.ravel(), r"its shape is \(60,\)\. Reshape it to \(n, features\)"),
        (np.float64(3), r"its shape is \(\)"),
        (RAMP.reshape(5, 2, 3, 2), r"its shape is \(5, 2, 3, 2\)\. .*grey images"),
        (RAMP[:0], r"its shape is \(0, 6\)"),
        (RAMP[:1], "it holds 1 samples. Give at least 2"),
        (np.where(RAMP > 0.4, np.inf, RAMP), "infinite in float32"),
        (RAMP * 1e300, "infinite in float32"),
        (np.full((10, 6), 0.5), "its values are all the same"),
        (np.full((10, 6), np.nan), "its values are all the same, or all missing"),
    ],
)
def test_unfit_array_is_refused_with_a_remedy(tmp_path: Path, values: Any, told: str):
    np.save(tmp_path / "mine.npy", values, allow_pickle=True)
    with pytest.raises(DataError, match=told):
        read(tmp_path / "mine.npy")


class Trap:
    """An object whose unpickling leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_pickles_archives_and_torn_files_are_refused_and_nothing_in_them_runs(tmp_path: Path):
    path = tmp_path / "mine.npy"
    archive = io.BytesIO()
    plain = io.BytesIO()
    np.savez(archive, RAMP)
    np.save(plain, RAMP)
    for content in (
        pickle.dumps(Trap(tmp_path / "trace")),
        archive.getvalue(),
        plain.getvalue()[:-1],
        b"",
        b"text",
    ):
        path.write_bytes(content)
        with pytest.raises(
            DataError, match=r"mine.npy cannot be used: it is not a complete array of numbers"
        ):
            read(path)
    np.save(path, np.array([Trap(tmp_path / "trace")] * 2), allow_pickle=True)
    with pytest.raises(DataError, match="not a complete array"):
        read(path)
    assert not (tmp_path / "trace").exists()


# folders of images


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "TIFF", "PNG"])
def test_grey_images_become_fractions_of_white_row_after_row(tmp_path: Path, suffix: str):
    got = whole(save_images(tmp_path, grey(), suffix))
    assert got.image_shape == (2, 3) and got.y.tolist() == [0] * 5
    torch.testing.assert_close(got.x, torch.from_numpy(grey().reshape(5, 6)) / 255, rtol=0, atol=0)


def test_jpegs_are_read_as_far_as_their_compression_lets_them(tmp_path: Path):
    flat = np.repeat([10, 60, 110, 160, 210], 64).astype(np.uint8).reshape(5, 8, 8)
    got = whole(save_images(tmp_path, flat, "jpg"))
    torch.testing.assert_close(
        got.x, torch.from_numpy(flat.reshape(5, 64)) / 255, rtol=0, atol=2 / 255
    )  # lossy


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_and_one_bit_keep_their_full_range(tmp_path: Path, suffix: str):
    deep = np.linspace(0, 65535, 30).astype(np.uint16).reshape(5, 2, 3)
    got = whole(save_images(tmp_path / "deep", deep, suffix))
    torch.testing.assert_close(
        got.x, torch.from_numpy(deep.reshape(5, 6) / 65535).float(), rtol=0, atol=0
    )
    bits = save_images(tmp_path / "bits", (grey() % 2).astype(bool), suffix)
    assert whole(bits).x.unique().tolist() == [0, 1]


def test_sub_folders_are_classes_and_hidden_and_other_files_do_not_count(tmp_path: Path):
    for i, name in enumerate(("ash", "rock", "sand")):
        save_images(tmp_path / name, grey()[i : i + 2])
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "ash" / "._000.png").write_text("not an image either")
    save_images(tmp_path / ".ipynb_checkpoints", grey(height=9))
    got = whole(tmp_path)
    assert sorted(got.y.tolist()) == [0, 0, 1, 1, 2, 2]
    assert [(255 * x).round().item() // 6 for x in got.x[got.y == 2][:, 0]] == [2, 3]


def test_no_image_is_decoded_twice_or_for_the_other_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    decoded: list[str] = []
    save_images(tmp_path, grey(20))
    original = pixels.read_pixels
    monkeypatch.setattr(
        images,
        "read_pixels",
        lambda image, how: decoded.append(Path(image.filename).name) or original(image, how),
    )
    read(tmp_path, "test")
    assert len(decoded) == 4 + 1 and decoded[0] == "000.png"  # the first tells the size
    read(tmp_path)
    assert len(decoded) == 20 + 2


def test_unfit_images_are_named_with_what_is_wrong_and_a_remedy(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"cannot be used: it must hold images \(.png, .*not both, not neither"
    ):
        read(tmp_path)
    file = save_images(tmp_path, grey(2)) / "001.png"
    Image.new("L", (4, 2)).save(file)
    with pytest.raises(
        DataError, match=r"001.png .* its size is 4 x 2 pixels, that of 000.png 3 x 2"
    ):
        whole(tmp_path)
    Image.new("L", (3, 2)).save(
        tmp_path / "001.tif", save_all=True, append_images=[Image.new("L", (3, 2))]
    )
    file.unlink()
    with pytest.raises(DataError, match=r"001.tif .*holds 2 pages"):
        whole(tmp_path)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"<html>", lambda b: b[:8]]
)
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_damaged_image_is_named(tmp_path: Path, suffix: str, damage: Any):
    file = save_images(tmp_path, grey(2, 20, 30), suffix) / f"001.{suffix}"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(
        DataError, match=rf"001.{suffix} cannot be used: it is damaged or no image .*Replace"
    ):
        whole(tmp_path)


def test_images_beside_sub_folders_of_images_are_refused(tmp_path: Path):
    save_images(save_images(tmp_path, grey()) / "ash", grey())
    with pytest.raises(DataError, match="not both, not neither"):
        read(tmp_path)


def test_own_images_train_a_decoder(tmp_path: Path, generator: torch.Generator):
    digits = gfe.data.load("digits").take(40)
    save_images(tmp_path, (255 * digits.x).round().byte().reshape(40, 8, 8).numpy())
    mine = load(tmp_path)
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=64, generator=generator)
    before = gfe.evaluate(decoder, mine.x).energy.mean()
    gfe.fit(decoder, gfe.data.Batches(mine.x, size=8), epochs=4)
    assert gfe.evaluate(decoder, mine.x).energy.mean() < before


def test_a_slip_is_found_where_it_is_in_a_file_with_commas_for_points(tmp_path: Path):
    path = write(tmp_path, "a;b\n1,5;1.000,5\n2,5;2.000,5\nl,5;3.000,5\n")
    with pytest.raises(DataError, match=r"line 4, 'a': 'l,5' is no number\. Leave it empty"):
        read(path, decimal=",", thousands=".")
