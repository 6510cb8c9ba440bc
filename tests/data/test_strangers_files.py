"""Files as people have them: each is read as it was meant or refused in a sentence, and kept.

A row of a table below is a file, what `load` is told of it, and what comes of it: the values, or
the error's text. No file is changed by being read.
"""

import gzip
import io
import pickle
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
from PIL import Image

from gfe_core.data import DataError, DataSet, load

GREY = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=2)
FLOATS = np.linspace(-3, 7, 24, dtype=np.float32).reshape(4, 6)
DEEP = np.linspace(0, 65535, 24).astype(np.uint16).reshape(4, 6)
TWO = [[1.0, 2.0], [3.0, 4.0]]
NAN = float("nan")

Files = dict[str, Any]
"""Content by name: bytes, a text, or a picture as an array or of Pillow."""


def write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, (str, bytes)):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        else:
            image = content if isinstance(content, Image.Image) else Image.fromarray(content)
            image.save(path)


def contents(folder: Path) -> dict[str, Any]:
    """Every file below a folder, with its bytes and the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def loaded(folder: Path, path: Path, **told: Any) -> DataSet:
    """Load everything, and check that no file has changed."""
    before = contents(folder)
    try:
        return load(path, told.pop("split", "all"), **told)
    finally:
        assert contents(folder) == before


def png(pixels: np.ndarray) -> bytes:
    return saved(Image.fromarray(pixels), "PNG")


def saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def npy(values: Any) -> bytes:
    return of_numpy(np.save, values, allow_pickle=True)


def npz(**arrays: Any) -> bytes:
    return of_numpy(np.savez, **arrays)


def of_numpy(save: Callable[..., None], *arrays: Any, **settings: Any) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **settings)
    return file.getvalue()


def declared(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has this many pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = {b"IHDR": head, b"IDAT": zlib.compress(b"0"), b"IEND": b""}
    whole = b"\x89PNG\r\n\x1a\n"
    for kind, content in parts.items():
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        whole += struct.pack(">I", len(content)) + kind + content + checksum
    return whole


# Tables

FRAME = pd.DataFrame([[0.5, 0.25], [0.125, 0.75], [0.375, 1.0]])

READ: dict[str, tuple[Any, dict[str, Any], list[list[float]]]] = {
    "a frame as pandas writes it": (FRAME.to_csv(), {}, FRAME.to_numpy().tolist()),
    "a part of a frame": (
        FRAME.iloc[[2, 0]].to_csv(),
        {},
        FRAME.iloc[[2, 0]].to_numpy().tolist(),
    ),
    "a frame without its index": (
        FRAME.to_csv(index=False),
        {"header": 0},
        FRAME.to_numpy().tolist(),
    ),
    "numbers in line 1 are a sample": ("1.5,2.5\n2.5,1.25\n", {}, [[1.5, 2.5], [2.5, 1.25]]),
    "row names without a name": ("a,b\nx,1,2\ny,3,4\n", {}, TWO),
    "row numbers as R writes them": ("a,b\n1,1,2\n2,3,4\n", {}, TWO),
    "numbers that name samples": ("a,b\n7,1,2\n9,3,4\n", {"index_col": 0}, TWO),
    "gaps in a table with tabs": (
        "a\tb\n1\t\n\t2\n3\t4\n",
        {"sep": "\t"},
        [[1, NAN], [NAN, 2], [3, 4]],
    ),
    "numbers set out in columns": ("   1.0   2.0\n   3.0   4.0\n", {}, TWO),
    "a separator ends each line": ("a,b,\n1,2,\n3,4,\n", {}, TWO),
    "a separator ends each line but the header": ("a,b\n1,2,\n3,4,\n", {}, TWO),
    "decimal commas": ("a;b\n1,0;2\n3;4,0\n", {"decimal": ","}, TWO),
    "decimal commas and no header": (
        "1,0;2,0\n3,5;4,0\n",
        {"decimal": ",", "header": None},
        [[1.0, 2.0], [3.5, 4.0]],
    ),
    "decimal commas name no columns": (
        "1,5;2,5\n3,5;4,5\n5,5;6,5\n",
        {"sep": ";", "decimal": ","},
        [[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]],
    ),
    "decimal commas between tabs": (
        "1,5\t2,5\n3,5\t4,5\n",
        {"decimal": ","},
        [[1.5, 2.5], [3.5, 4.5]],
    ),
    "thousands name no columns": (
        "1,500;2,500\n3,000;4,700\n",
        {"sep": ";", "thousands": ","},
        [[1500.0, 2500.0], [3000.0, 4700.0]],
    ),
    "a sign for missing in line 1": (
        "?;?\n1;2\n3;4\n",
        {"na_values": "?"},
        [[NAN, NAN], *TWO],
    ),
    "signs for missing by column": (
        "?,x\n1,2\n3,4\n",
        {"na_values": {0: "?", 1: ["x"]}, "header": None},
        [[NAN, NAN], *TWO],
    ),
    "words with commas are no title": (
        "k;b\nsoft, grey;2\n5, hard;4\n",
        {"label": "k"},
        [[2.0], [4.0]],
    ),
    "None in line 1": ("None,None\n1,2\n3,4\n", {}, [[NAN, NAN], *TWO]),
    "sodium is no missing number": ("Na,K\n1,2\n3,4\n", {}, TWO),
    "an index by its name over years": (
        "country,1990,1991\nx,1,2\ny,3,4\n",
        {"index_col": "country"},
        TWO,
    ),
    "an index of numbers over years": (
        "id,1990,1991\n7,1,2\n9,3,4\n",
        {"index_col": 0},
        TWO,
    ),
    "columns by their names": (
        "country,1990,1991\nx,1,2\ny,3,4\n",
        {"usecols": ["1990", "1991"]},
        TWO,
    ),
    "a sample behind its name": (
        "x,1.5,2.5\ny,3.5,4.5\n",
        {"index_col": 0},
        [[1.5, 2.5], [3.5, 4.5]],
    ),
    "thousands": ('a,b\n"1,000",2\n3,4\n', {"thousands": ","}, [[1000.0, 2.0], [3.0, 4.0]]),
    "UTF-16": ("ä,b\n1,2\n3,4\n".encode("utf-16"), {}, TWO),
    "Latin-1": ("ä,b\n1,2\n3,4\n".encode("latin-1"), {"encoding": "latin-1"}, TWO),
    "a byte order mark": ("\ufeffa,b\n1,2\n3,4\n", {}, TWO),
    "blanks around": ("a , b\n 1 , 2\n3 ,4 \n", {}, TWO),
    "quotes": ('"a, in m","b"\n"1","2"\n"3","4"\n', {}, TWO),
    "lines of an old Macintosh": ("a,b\r1,2\r3,4\r", {}, TWO),
    "words for missing": ("a,b\n1,NA\n,n/a\n3,4\n", {}, [[1, NAN], [NAN, NAN], [3, 4]]),
    "a number for missing": ("a,b\n1,-999\n3,4\n", {"na_values": [-999]}, [[1, NAN], [3, 4]]),
    "truth values with a gap": ("a,b\nTrue,1\n,2\nFalse,3\n", {}, [[1, 1], [NAN, 2], [0, 3]]),
    "more digits than an integer has": (
        "a,b\n1,123456789012345678901\n3,4\n",
        {},
        [[1, 123456789012345678901.0], [3, 4]],
    ),
    "names of columns twice": ("a,a\n1,2\n3,4\n", {}, TWO),
    "a title before the header": ("made at noon\n\na,b\n1,2\n3,4\n", {"header": 1}, TWO),
    "a title left out": ("made at noon\na,b\n1,2\n3,4\n", {"skiprows": 1}, TWO),
    "remarks of numpy": ("# a b\n1 2\n3 4\n", {"comment": "#", "sep": " "}, TWO),
    "two rows of names": ("a,a\nx,y\n1,2\n3,4\n", {"header": [0, 1]}, TWO),
    "some columns": ("a,k,b\n1,x,2\n3,y,4\n", {"usecols": ["a", "b"]}, TWO),
    "names of one's own": ("1,2\n3,4\n", {"names": ["p", "q"]}, TWO),
}

REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "columns called 0, 1, 2": (
        FRAME.to_csv(index=False),
        {},
        "may name the columns or be a sample. Pass `header=0`",
    ),
    "wavelengths as names": (
        "3700.5,3701,3701.5\n.2,.1,.3\n.1,.4,.2\n",
        {},
        "`header=0` if it names them, or `header=None`",
    ),
    "whole numbers over fractions": ("7,3\n.2,.1\n.1,.4\n", {}, "(7, 3) may name the columns"),
    "years behind an index": (
        "country,1990,1991,1992\nFrance,1.5,2.5,3.5\nSpain,2.5,1.5,0.5\n",
        {"index_col": 0},
        "(country, 1990, 1991, 1992) may name the columns or be a sample. Pass `header=0`",
    ),
    "years over whole numbers": (
        "country,1990,1991\nFrance,15,22\nSpain,13,12\n",
        {"index_col": [0]},
        "(country, 1990, 1991) may name the columns",
    ),
    "years in columns that are used": (
        "country,1990,1991\nFrance,1.5,2.5\nSpain,2.5,1.5\n",
        {"usecols": [1, 2]},
        "(country, 1990, 1991) may name the columns",
    ),
    "words beside numbers": (
        "kind,1,2\nx,.1,.2\ny,.3,.1\n",
        {},
        "'kind' is no number.*If line 1 names the columns, pass `header=0`",
    ),
    "decimal commas unnamed": (
        "a;b\n1,5;2\n3;4\n",
        {},
        "line 2, 'a': '1,5' is no number.*`decimal=','`",
    ),
    "Latin-1 unnamed": (
        "ä,b\n1,2\n".encode("latin-1"),
        {},
        "not a table in UTF-8 text.*`encoding='latin-1'`",
    ),
    "UTF-16 without its mark": (
        "a,b\n1,2\n".encode("utf-16-le"),
        {},
        "zero bytes.*`encoding='utf-16'`",
    ),
    "a title above a header": (
        "Study of rocks\nmass,len\n1,2\n3,4\n",
        {},
        "looks like a title, and line 2 like the header. Pass `skiprows=1`",
    ),
    "a title of one word": (
        "Rocks\n\nmass;len\n1;2\n",
        {},
        "line 3 like the header. Pass `skiprows=2`",
    ),
    "a title with commas": (
        "Rocks, found in May, by me\nmass,len\n1,2\n3,4\n",
        {},
        "Pass `skiprows=1`",
    ),
    "a title and a note": (
        "Study of rocks\nin grams\nmass,len\n1,2\n3,4\n",
        {"sep": ","},
        "line 3 like the header. Pass `skiprows=2`",
    ),
    "a title above blanks": (
        "Study of rocks\nmass len\n1 2\n3 4\n",
        {},
        "Pass `skiprows=1`",
    ),
    "a workbook called CSV": (b"PK\x03\x04" + bytes(60), {}, "it is not a text"),
    "zero bytes": (b"", {}, "it is empty"),
    "only empty lines": ("\n\n \n", {}, "it is empty"),
    "only a header": ("a,b\n", {}, "it holds 0 samples"),
    "only a header, with a label": ("k,a\n", {"label": "k"}, "it holds 0 samples"),
    "a line too long": ("a,b\n1,2\n3,4,5\n", {}, "line 3 has 3 fields, not 2"),
    "a line too short": ("a,b,c\n1,2,3\n\n4,5\n6,7,8\n", {}, "line 4 has 2 fields, not 3"),
    "a name too few": (
        "a,b\n1,2,\n3,4,5\n",
        {},
        "line 2 has 3 fields, not 2.*or pass `index_col=0` if the first column names the samples",
    ),
    "numbers without a name": (
        ",a,b\n7.5,1,2\n2.5,3,4\n",
        {},
        "a number such as 7.5 in it may be a feature.*or pass `index_col=0`",
    ),
    "two separators": ("1,5;2\n3,5;4\n", {}, "If ';' separates columns, pass `sep=';'`"),
    "a quote left open": ('a,b\n"1,2\n3,4\n', {}, "fields, not 2"),
    "dates": (
        "when,a\n2020-01-01,1\n2020-01-02,2\n",
        {},
        "line 2, 'when': '2020-01-01' is no number",
    ),
    "percent": ("a,b\n1%,2\n3,4\n", {}, "line 2, 'a': '1%' is no number"),
    "infinity": ("a,b\n1,inf\n3,4\n", {}, "infinite in float32. Rescale them, or write nan"),
    "too large for float32": ("a,b\n1,1e60\n3,4\n", {}, "infinite in float32"),
    "a column without a name": ("a,,c\n1,2,3\n4,5,6\n", {}, "must name every column"),
    "a remark unnamed": ("# a b\n1 2\n3 4\n", {}, "Pass `comment='#'` if it is a comment"),
    "a hint for Excel": ("sep=;\na;b\n1;2\n", {}, "Pass `skiprows=1`"),
    "a header beyond the end": (
        "a,b\n1,2\n",
        {"header": 5},
        "its header is line 6, but it has 2 lines",
    ),
    "a column that is not there": ("a,b\n1,2\n3,4\n", {"index_col": "id"}, "Index id invalid"),
    "an encoding that is none": (
        "a,b\n1,2\n",
        {"encoding": "utf9"},
        "`encoding` must be one that Python knows.*got 'utf9'. Did you mean 'utf-8'?",
    ),
    "an encoding of zero bytes": ("a,b\n1,2\n", {"encoding": "a\0"}, "`encoding` must be one"),
    "a number as encoding": ("a,b\n1,2\n", {"encoding": 3}, "`encoding` must be a string.*got 3"),
    "a number as separator": ("a,b\n1,2\n", {"sep": 1}, "`sep` must be a string, such as ';'"),
    "a number as delimiter": ("a,b\n1,2\n", {"delimiter": 1}, "`delimiter` must be a string"),
    "a number as remark": ("a,b\n1,2\n", {"comment": 3}, "`comment` must be one character"),
    "a remark of two signs": ("a,b\n1,2\n", {"comment": "//"}, "`comment` must be one character"),
    "two quotes": ("a,b\n1,2\n", {"quotechar": "''"}, "`quotechar` must be one character"),
    "a number as decimal sign": ("a,b\n1,2\n", {"decimal": 1}, "`decimal` must be one character"),
    "lines to leave out in words": (
        "a,b\n1,2\n",
        {"skiprows": "1"},
        "`skiprows` must be the number of lines.*got '1'",
    ),
    "a number as names": ("a,b\n1,2\n", {"names": 3}, "`names` must be a list, got 3"),
    "half a line to leave out": ("a,b\n1,2\n", {"skiprows": 1.5}, "got 1.5"),
    "fewer lines than none to leave out": ("a,b\n1,2\n", {"skiprows": -1}, "got -1"),
    "an option of another kind": (
        "a,b\n1,2\n",
        {"key": "a"},
        "takes no `key` for a .csv file.*It takes split, label, sep",
    ),
    "an option misspelt": ("a,b\n1,2\n", {"lable": "a"}, "Did you mean `label`?"),
    "the label twice": ("a,a,b\n1,2,3\n", {"label": "a"}, "the name of 2 columns"),
}


@pytest.mark.parametrize("name", READ)
def test_table_is_read_as_it_was_meant(tmp_path: Path, name: str):
    content, told, values = READ[name]
    write(tmp_path, {"mine.csv": content})
    table = loaded(tmp_path, tmp_path / "mine.csv", **told)
    expected = torch.tensor(values, dtype=torch.float32)
    torch.testing.assert_close(table.x, expected, rtol=0, atol=0, equal_nan=True)
    assert table.rows is not None and table.rows.tolist() == list(range(len(values)))


def sentence(folder: Path, path: Path, text: str, **told: Any) -> None:
    """Refused in a sentence that names the file or the argument, and says what to do."""
    with pytest.raises((DataError, ValueError, TypeError)) as caught:
        loaded(folder, path, **told)
    message = str(caught.value)
    assert all(part in message for part in text.split(".*")), message
    assert message.endswith((".", "?")) and "Traceback" not in message
    named = path.name in message or "`" in message
    assert named and not any(word in message for word in (".save(file)", "delete", "overwrite"))


@pytest.mark.parametrize("name", REFUSED)
def test_table_that_could_be_misread_is_refused_in_a_sentence(
    tmp_path: Path, name: str, unchecked: None
):
    content, told, text = REFUSED[name]
    write(tmp_path, {"mine.csv": content})
    sentence(tmp_path, tmp_path / "mine.csv", text, **told)


# Arrays

IMAGES = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)

ARRAYS: dict[str, tuple[str, bytes, dict[str, Any], Any]] = {
    "colours first": ("a.npy", npy(IMAGES), {}, (IMAGES, (3, 4, 5))),
    "colours last": ("a.npy", npy(np.moveaxis(IMAGES, 1, 3)), {}, (IMAGES, (3, 4, 5))),
    "Fortran's order": ("a.npy", npy(np.asfortranarray(IMAGES)), {}, (IMAGES, (3, 4, 5))),
    "another machine's bytes": ("a.npy", npy(IMAGES.astype(">f8")), {}, (IMAGES, (3, 4, 5))),
    "one channel": ("a.npy", npy(IMAGES[:, :1]), {}, (IMAGES[:, 0], (4, 5))),
    "bytes": ("a.npy", npy(IMAGES.astype("u1")), {}, (IMAGES / 255, (3, 4, 5))),
    "16 bits": ("a.npy", npy(IMAGES.astype(">u2")), {}, (IMAGES / 65535, (3, 4, 5))),
    "counts of 16 bits": ("a.npy", npy(IMAGES.reshape(2, -1).astype("u2")), {}, (IMAGES, None)),
    "64 bits": ("a.npy", npy(IMAGES.astype("i8")), {}, (IMAGES, (3, 4, 5))),
    "either, first": (
        "a.npy",
        npy(IMAGES[..., :3]),
        {"channels": "first"},
        (IMAGES[..., :3], (3, 4, 3)),
    ),
    "one of an archive": ("a.npz", npz(pictures=IMAGES), {}, (IMAGES, (3, 4, 5))),
    "x and y": ("a.npz", npz(x=IMAGES, y=[1, 0]), {}, (IMAGES, (3, 4, 5))),
    "a key": (
        "a.npz",
        npz(p=IMAGES, q=IMAGES + 1, k=["b", "a"]),
        {"key": "q", "label": "k"},
        (IMAGES + 1, (3, 4, 5)),
    ),
}

REFUSED_ARRAYS: dict[str, tuple[str, bytes, dict[str, Any], str]] = {
    "either": ("a.npy", npy(IMAGES[..., :3]), {}, "may be first or last. Pass `channels='first'`"),
    "objects": ("a.npy", npy(np.array([{}], object)), {}, "not a complete array of numbers"),
    "a pickle": ("a.npy", pickle.dumps([1]), {}, "not a complete array of numbers"),
    "records": (
        "a.npy",
        npy(np.zeros(3, [("a", float), ("b", int)])),
        {},
        "structured_to_unstructured",
    ),
    "one number": ("a.npy", npy(np.float64(3)), {}, "its shape is ()"),
    "one axis": ("a.npy", npy(IMAGES.ravel()), {}, "Reshape it to (n, features)"),
    "transparency": (
        "a.npy",
        npy(np.zeros((2, 4, 5, 4))),
        {},
        "leave out transparency: `values[..., :3]`",
    ),
    "grey and transparency": (
        "a.npy",
        npy(np.zeros((2, 4, 5, 2))),
        {},
        "leave out transparency: `values[..., :1]`",
    ),
    "complex": ("a.npy", npy(np.full((2, 2), 1j)), {}, "its type is complex128"),
    "cut off": ("a.npy", npy(IMAGES)[:-7], {}, "not a complete array of numbers"),
    "zero bytes": ("a.npy", b"", {}, "not a complete array of numbers"),
    "several arrays": (
        "a.npz",
        npz(p=IMAGES, q=IMAGES),
        {},
        "`key` must say which array.*'p', 'q'",
    ),
    "a key that is not there": (
        "a.npz",
        npz(p=IMAGES),
        {"key": "q"},
        "`key` must be an array of.*'p'; got 'q'",
    ),
    "labels of others": (
        "a.npz",
        npz(x=IMAGES, y=[1, 2, 3]),
        {},
        "not one label for each of the 2 samples",
    ),
    "an archive of objects": (
        "a.npz",
        npz(x=np.array([{}], object)),
        {},
        "Object arrays cannot be loaded",
    ),
    "an archive cut off": ("a.npz", npz(x=IMAGES)[:-40], {}, "not a complete file of arrays"),
    "an empty archive": ("a.npz", npz(), {}, "it holds no array"),
    "no HDF5": ("a.h5", b"hello", {}, "not a complete file of arrays"),
    "no .mat": ("a.mat", b"hello" * 60, {}, "not a complete file of arrays"),
    "no Parquet": ("a.parquet", b"PAR1hello", {}, "pandas cannot read it"),
    "no workbook": ("a.xlsx", b"hello", {}, "Copy it again"),
    "no gzip": ("a.csv.gz", b"a,b\n1,2\n", {}, "it is damaged or not whole"),
    "gzip cut off": (
        "a.csv.gz",
        gzip.compress(b"a,b\n1,2\n3,4\n" * 9)[:-9],
        {},
        "it is damaged or not whole",
    ),
    "one picture": ("a.png", png(GREY), {}, "One picture is not a data set: pass its folder"),
    "an unknown kind": ("a.csvv", b"a", {}, "Did you mean '.csv'?"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_array_is_read_as_it_was_meant(tmp_path: Path, name: str):
    file, content, told, (values, image_shape) = ARRAYS[name]
    write(tmp_path, {file: content})
    data = loaded(tmp_path, tmp_path / file, **told)
    expected = torch.from_numpy(np.ascontiguousarray(values)).float().flatten(1)
    torch.testing.assert_close(data.x, expected, rtol=0, atol=6e-8)  # one rounding of a share of 1
    assert data.image_shape == image_shape


@pytest.mark.parametrize("name", REFUSED_ARRAYS)
def test_file_that_is_no_set_of_arrays_is_refused_in_a_sentence(tmp_path: Path, name: str):
    file, content, told, text = REFUSED_ARRAYS[name]
    write(tmp_path, {file: content})
    sentence(tmp_path, tmp_path / file, text, **told)


def test_labels_beside_an_array_become_classes(tmp_path: Path):
    write(tmp_path, {"a.npz": npz(x=IMAGES, y=["cat", "ape"])})
    data = loaded(tmp_path, tmp_path / "a.npz")
    assert data.classes == ("ape", "cat") and data.y.tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["h5", "mat", "mat 7.3"])
def test_hdf5_and_matlab_give_the_samples_and_classes_that_were_saved(tmp_path: Path, kind: str):
    path = tmp_path / f"a.{kind[:3].strip()}"
    values, words = IMAGES.reshape(2, -1), np.array(["cat", "ape"], object)
    if kind == "mat":
        scipy.io.savemat(path, {"X": values, "y": words})
    else:
        # MATLAB's axes run the other way in HDF5
        with h5py.File(path, "w", userblock_size=512 if kind == "mat 7.3" else 0) as file:
            file["X"] = values.T if kind == "mat 7.3" else values
            file["y"] = [b"cat", b"ape"]
    data = loaded(tmp_path, path)
    assert torch.equal(data.x, torch.from_numpy(values))
    assert data.classes == ("ape", "cat") and data.y.tolist() == [1, 0]


def packed(values: np.ndarray) -> bytes:
    """A .mat file of doubles as MATLAB writes whole numbers: in bytes."""

    def element(kind: int, content: bytes) -> bytes:
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    parts = [
        element(6, struct.pack("<II", 6, 0)),  # of class double
        element(5, struct.pack("<ii", *values.shape)),
        element(1, b"X"),
        element(2, values.astype(np.uint8).tobytes(order="F")),
    ]
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    return head + element(14, b"".join(parts))


def test_whole_doubles_of_matlab_are_no_shares_of_white(tmp_path: Path):
    values = np.arange(6).reshape(3, 2)
    write(tmp_path, {"a.mat": packed(values)})
    assert loaded(tmp_path, tmp_path / "a.mat").x.tolist() == values.tolist()


OF_MATLAB = [
    ("double", np.float64, 1),
    ("single", np.float32, 1),
    ("int16", np.int16, 1),
    ("logical", np.bool_, 1),
    ("uint8", np.uint8, 255),
]


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize(("name", "kind", "white"), OF_MATLAB)
def test_class_in_matlab_and_not_the_bits_on_disk_says_what_is_a_share_of_white(
    tmp_path: Path, version: str, name: str, kind: Any, white: float
):
    values = np.array([[0, 1], [1, 0], [1, 1]]).astype(kind)
    if version == "5":
        scipy.io.savemat(tmp_path / "a.mat", {"X": values})
    else:
        with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
            file["X"] = values.T.astype(np.uint8) if name == "logical" else values.T
            file["X"].attrs["MATLAB_class"] = np.bytes_(name)
    data = loaded(tmp_path, tmp_path / "a.mat")
    torch.testing.assert_close(data.x, torch.from_numpy(values.astype(np.float32)) / white)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_words_of_matlab_lose_the_blanks_that_fill_them_up(tmp_path: Path, version: str):
    values, words = IMAGES.reshape(2, -1), ["cat", "shrew"]
    if version == "5":
        scipy.io.savemat(tmp_path / "a.mat", {"X": values, "y": np.array(words)})
    else:
        codes = np.array([[ord(one) for one in word.ljust(5)] for word in words], np.uint16)
        with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
            file["X"], file["y"] = values.T, codes.T
            file["y"].attrs["MATLAB_class"] = np.bytes_("char")
    assert loaded(tmp_path, tmp_path / "a.mat").classes == ("cat", "shrew")


def test_parquet_keeps_index_columns_and_classes(tmp_path: Path):
    frame = pd.DataFrame({"a": [1, 3], "b": [2, 4], "k": ["y", "x"]}, index=["r", "s"])
    frame.to_parquet(tmp_path / "a.parquet")
    data = loaded(tmp_path, tmp_path / "a.parquet", label="k")
    assert data.x.tolist() == TWO and data.features == ("a", "b") and data.names == ("r", "s")
    assert data.classes == ("x", "y") and data.y.tolist() == [1, 0]


def test_packed_table_is_read_like_a_plain_one(tmp_path: Path):
    write(tmp_path, {"a.csv.gz": gzip.compress(b"a,b\n1,2\n3,4\n")})
    assert loaded(tmp_path, tmp_path / "a.csv.gz").x.tolist() == TWO


# Folders of pictures


def turned() -> bytes:
    """A picture that its camera held upright: rows and columns are exchanged."""
    note = Image.Exif()
    note[0x0112] = 6
    return saved(Image.fromarray(COLOUR), "PNG", exif=note)


def transparent(mode: str, alpha: int) -> Image.Image:
    image = Image.fromarray(GREY).convert(mode[:-1])
    image.putalpha(alpha)
    return image


def first(values: np.ndarray) -> np.ndarray:
    """Channels first, as shares of white."""
    return np.moveaxis(values, 2, 0) / 255 if values.ndim == 3 else values / 255


AS_GREY = np.tensordot([0.299, 0.587, 0.114], first(COLOUR), 1)
THREE = np.repeat(first(GREY)[None], 3, 0)

PICTURES: dict[str, tuple[Files, dict[str, Any], list[np.ndarray]]] = {
    "grey": ({"a.png": GREY, "b.png": GREY // 2}, {}, [first(GREY), first(GREY // 2)]),
    "colour": ({"a.png": COLOUR}, {}, [first(COLOUR)]),
    "grey beside colour": ({"a.png": GREY, "b.png": COLOUR}, {}, [THREE, first(COLOUR)]),
    "colour as grey": ({"a.png": COLOUR}, {"colour": False}, [AS_GREY]),
    "grey as colour": ({"a.png": GREY}, {"colour": True}, [THREE]),
    "floats": ({"a.tif": FLOATS}, {}, [FLOATS]),
    "whole numbers of 32 bits": (
        {"a.tif": FLOATS.astype(np.int32) * 70_000},
        {},
        [np.trunc(FLOATS) * 70_000],
    ),
    "16 bits": ({"a.png": DEEP, "b.tif": DEEP}, {}, [DEEP / 65535] * 2),
    "PGM of 16 bits": ({"a.pgm": DEEP, "b.png": GREY}, {}, [DEEP / 65535, first(GREY)]),
    "PGM of 12 bits": (
        {"a.pgm": b"P5\n3 1\n4095\n" + np.array([0, 1365, 4095], ">u2").tobytes()},
        {},
        [np.array([[0, 1 / 3, 1]])],
    ),
    "PGM as colour": ({"a.pgm": DEEP}, {"colour": True}, [np.repeat(DEEP[None], 3, 0) / 65535]),
    "16 bits beside 8": ({"a.png": DEEP, "b.png": GREY}, {}, [DEEP / 65535, first(GREY)]),
    "a palette": (
        {"a.png": Image.fromarray(COLOUR).quantize(24)},
        {},
        [first(np.asarray(Image.fromarray(COLOUR).quantize(24).convert("RGB")))],
    ),
    "opaque": ({"a.png": transparent("RGBA", 255)}, {}, [THREE]),
    "opaque and grey": ({"a.png": transparent("LA", 255)}, {}, [first(GREY)]),
    "transparent before white": (
        {"a.png": transparent("LA", 0), "b.png": GREY},
        {"background": "white"},
        [np.ones((4, 6)), first(GREY)],
    ),
    "a still GIF": ({"a.gif": Image.fromarray(GREY)}, {}, [first(GREY)]),
    "WebP": (
        {"a.webp": saved(Image.fromarray(COLOUR), "WEBP", lossless=True)},
        {},
        [first(COLOUR)],
    ),
    "turned by the camera": ({"a.png": turned()}, {}, [np.rot90(first(COLOUR), -1, (1, 2))]),
    "a damaged note of the camera": (
        {"a.png": saved(Image.fromarray(COLOUR), "PNG", exif=b"Exif\0\0MM\0hello")},
        {},
        [first(COLOUR)],
    ),
    "several sizes": (
        {"a.png": np.full((8, 8), 102, np.uint8), "b.png": np.full((4, 6), 51, np.uint8)},
        {"size": (2, 3)},
        [np.full((2, 3), 0.4), np.full((2, 3), 0.2)],
    ),
    "capitals": ({"A.PNG": GREY, "b.TIFF": GREY}, {}, [first(GREY)] * 2),
    "what others leave": (
        {
            "a.png": GREY,
            ".DS_Store": b"x",
            "._a.png": b"x",
            "Thumbs.db": b"x",
            "desktop.ini": b"x",
            "__MACOSX/a.png": b"x",
            ".cache/a.png": b"x",
            "notes.csv": b"a",
        },
        {},
        [first(GREY)],
    ),
}

REFUSED_PICTURES: dict[str, tuple[Files, dict[str, Any], str]] = {
    "none": ({"notes.csv": "a"}, {}, "There are none"),
    "zero bytes": (
        {"a.png": GREY, "b.png": b""},
        {},
        "b.png cannot be used: it is damaged or no image",
    ),
    "a text": ({"a.png": "hello"}, {}, "a.png cannot be used: it is damaged or no image"),
    "cut off": ({"a.png": png(np.tile(GREY, (30, 30)))[:200]}, {}, "it is damaged or no image"),
    "only a header": ({"a.png": png(GREY)[:33]}, {}, "it is damaged or no image"),
    "a bomb": ({"a.png": declared(60_000, 60_000)}, {}, "it declares more pixels than Pillow"),
    "animated": (
        {
            "a.gif": saved(
                Image.fromarray(GREY),
                "GIF",
                save_all=True,
                append_images=[Image.fromarray(255 - GREY)],
            )
        },
        {},
        "it holds 2 pages. Save each as a file",
    ),
    "several pages": (
        {
            "a.tif": saved(
                Image.fromarray(GREY), "TIFF", save_all=True, append_images=[Image.fromarray(GREY)]
            )
        },
        {},
        "it holds 2 pages",
    ),
    "transparent": ({"a.png": transparent("RGBA", 100)}, {}, "Pass `background='white'`"),
    "several sizes": (
        {"a.png": GREY, "b.png": GREY[:, :5]},
        {},
        "b.png.*its size is 5 x 4 pixels, that of a.png 6 x 4.*while they are read: `size=(4, 6)`",
    ),
    "two scales": ({"a.tif": FLOATS, "b.png": GREY}, {}, "those of b.png are shares of white"),
    "another space of colours": (
        {"a.tif": Image.new("LAB", (6, 4))},
        {},
        "it is of mode 'LAB'. Save a copy in grey or RGB, in another folder",
    ),
    "of a phone": ({"a.png": GREY, "b.heic": b"x"}, {}, "pictures of kind .heic are not read"),
    "loose beside classes": ({"a.png": GREY, "cat/b.png": GREY}, {}, "not both, not neither"),
    "one folder too high": ({"set/cat/a.png": GREY, "set/dog/a.png": GREY}, {}, "Pass that path"),
    "classes in one split": (
        {"train/cat/a.png": GREY, "test/b.png": GREY},
        {},
        "pass that path with `split='all'`",
    ),
    "splits beside others": (
        {"train/a.png": GREY, "test/a.png": GREY, "more/a.png": GREY},
        {},
        "folders of splits (test, train) beside others (more)",
    ),
    "a split twice": (
        {"train/a.png": GREY, "Training/a.png": GREY},
        {},
        "two of its folders are one split",
    ),
    "a split that is not there": (
        {"train/a.png": GREY, "val/a.png": GREY},
        {"split": "test"},
        "one of 'train', 'val', 'all'",
    ),
    "infinite floats": ({"a.tif": np.full_like(FLOATS, np.inf)}, {}, "infinite in float32"),
    "a size of one number": ({"a.png": GREY}, {"size": 4}, "`size` must be (height, width)"),
    "a colour that is none": (
        {"a.png": GREY},
        {"background": "whit"},
        "`background` must be a colour",
    ),
    "an option misspelt": ({"a.png": GREY}, {"color": True}, "Did you mean `colour`?"),
    "a label": ({"a.png": GREY}, {"label": "kind"}, "sub-folders are classes"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_folder_of_pictures_is_read_as_it_was_meant(tmp_path: Path, name: str):
    files, told, pictures = PICTURES[name]
    write(tmp_path, files)
    data = loaded(tmp_path, tmp_path, **told)
    assert data.image_shape == pictures[0].shape
    expected = torch.from_numpy(np.stack(pictures)).float().flatten(1)
    torch.testing.assert_close(data.x, expected, rtol=1e-6, atol=2e-7)  # shares of white, rounded


@pytest.mark.parametrize("name", REFUSED_PICTURES)
def test_folder_with_an_unfit_picture_is_refused_in_a_sentence(
    tmp_path: Path, name: str, unchecked: None
):
    files, told, text = REFUSED_PICTURES[name]
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder, files)
    sentence(folder, folder, text, **told)


def test_picture_that_shrinks_is_averaged_not_sampled(tmp_path: Path):
    lines = np.zeros((32, 32), np.uint8)
    lines[:, ::8] = 255
    write(tmp_path, {"a.png": lines, "b.png": GREY})
    small = loaded(tmp_path, tmp_path, size=(4, 4)).x[0].reshape(4, 4)
    # one pixel of eight is bright, and none in the middle of the eight; away from the edges
    torch.testing.assert_close(small[:, 1:3], torch.full((4, 2), 1 / 8), rtol=0, atol=1e-6)


def test_folders_are_classes_and_each_row_knows_its_file(tmp_path: Path):
    write(tmp_path, {f"{kind}/{i}.png": GREY + i for kind in ("dog", "ape") for i in range(5)})
    test = loaded(tmp_path, tmp_path, split="test")
    every = loaded(tmp_path, tmp_path)
    assert every.classes == test.classes == ("ape", "dog") and every.names is not None
    assert every.names[:2] == ("ape/0.png", "ape/1.png") and every.y.tolist() == [0] * 5 + [1] * 5
    assert test.rows is not None and test.names == tuple(every.names[i] for i in test.rows.tolist())
    assert torch.equal(every[test.rows].x, test.x)


def test_folder_that_is_a_split_is_not_divided_without_a_word(tmp_path: Path):
    write(
        tmp_path, {f"{split}/{i}.png": GREY + i for split in ("train", "valid") for i in range(5)}
    )
    sentence(tmp_path, tmp_path / "train", "itself a split of.*Pass `split='all'`", split="train")
    assert len(loaded(tmp_path, tmp_path / "train")) == 5
    (tmp_path / "valid").rename(tmp_path / "more")
    assert len(loaded(tmp_path, tmp_path / "train", split="train")) == 4


@pytest.mark.parametrize("kinds", [("",), ("ape/", "dog/")])
def test_folders_called_train_and_test_are_the_splits(tmp_path: Path, kinds: tuple[str, ...]):
    names = [
        f"{split}/{kind}{i}.png" for split in ("train", "test") for kind in kinds for i in (0, 1)
    ]
    write(tmp_path, {name: GREY + i for i, name in enumerate(names)})
    train, test, every = (loaded(tmp_path, tmp_path, split=s) for s in ("train", "test", "all"))
    assert train.names == tuple(n for n in names if n.startswith("train"))
    assert test.names == tuple(n for n in names if n.startswith("test"))
    assert every.names == (*(train.names or ()), *(test.names or ()))
    assert every.rows is not None and sorted(every.rows.tolist()) == list(range(len(names)))
    assert every.classes == (None if kinds == ("",) else ("ape", "dog"))


def test_links_are_followed_but_not_in_a_circle_and_broken_ones_are_named(tmp_path: Path):
    write(tmp_path, {"real/a.png": GREY, "mine/b.png": GREY})
    (tmp_path / "mine" / "again").symlink_to(tmp_path / "mine")
    assert loaded(tmp_path, tmp_path / "mine").names == ("b.png",)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "ape").symlink_to(tmp_path / "real")
    assert loaded(tmp_path, tmp_path / "more").names == ("ape/a.png",)
    (tmp_path / "mine" / "c.png").symlink_to(tmp_path / "nowhere.png")
    sentence(
        tmp_path, tmp_path / "mine", "c.png cannot be used: it is a link to a file that is not"
    )


def test_folder_called_like_a_table_is_a_folder(tmp_path: Path):
    write(tmp_path, {"mine.csv/a.png": GREY})
    assert loaded(tmp_path, tmp_path / "mine.csv").image_shape == (4, 6)


@pytest.mark.parametrize(
    ("file", "package", "line"),
    [
        ("a.csv", "pandas", '`pip install "gfe_core[data]"`'),
        ("a.h5", "h5py", "`pip install h5py`"),
        ("a.mat", "scipy.io", "`pip install scipy`"),
        ("a.parquet", "pandas", '`pip install "gfe_core[data]"`'),
    ],
)
def test_missing_library_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, package: str, line: str
):
    write(tmp_path, {file: "a,b\n1,2\n3,4\n"})
    monkeypatch.setitem(sys.modules, package, None)
    sentence(tmp_path, tmp_path / file, f"reading it needs.*Install it, {line}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (",a,b\n007,1,2\n,3,4\n", {}),
        ("id,a,b\n007,1,2\n,3,4\n", {"index_col": "id"}),
        ("id,a,b\n007,1,2\n,3,4\n", {"index_col": 0}),
    ],
)
def test_index_names_samples_as_it_is_written(tmp_path: Path, text: str, told: dict[str, Any]):
    write(tmp_path, {"mine.csv": text.replace("\n,3", "\n010,3")})
    table = loaded(tmp_path, tmp_path / "mine.csv", **told)
    assert (
        table.names == ("007", "010") and table.features == ("a", "b") and table.x.tolist() == TWO
    )


def test_columns_that_are_called_as_those_without_a_name_are_named_in_the_header(tmp_path: Path):
    write(tmp_path, {"mine.csv": "column 1,column 2,7\n1,x,2\n3,y,4\n"})
    table = loaded(tmp_path, tmp_path / "mine.csv", label="column 2")
    assert table.x.tolist() == TWO and table.features == ("column 1", "7")


def test_rows_of_a_split_are_lines_of_the_table(tmp_path: Path):
    write(tmp_path, {"mine.csv": "a\n" + "\n".join(map(str, range(100, 120)))})
    for split in ("train", "test", "all"):
        data = loaded(tmp_path, tmp_path / "mine.csv", split=split)
        assert data.rows is not None and torch.equal(data.x[:, 0], 100.0 + data.rows)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n\n0,5\n\n# no sample\n1,6\n2,7\n", {"comment": "#"}),
        ("made at noon\na,b\n0,5\n1,6\n2,7\n", {"skiprows": 1}),
        ("a,b\n9,9\n0,5\n1,6\n2,7\n", {"skiprows": [1]}),
    ],
)
def test_rows_count_samples_and_no_other_lines(tmp_path: Path, text: str, told: dict[str, Any]):
    write(tmp_path, {"mine.csv": text})
    data = loaded(tmp_path, tmp_path / "mine.csv", **told)
    assert data.rows is not None and data.x[:, 0].tolist() == data.rows.tolist() == [0, 1, 2]


def test_long_lines_without_a_name_for_their_first_column_are_read(tmp_path: Path):
    names = ";".join(f"column of wavelength {i}" for i in range(8000))
    write(tmp_path, {"mine.csv": f"{names}\nx;{'1;' * 7999}2\ny;{'3;' * 7999}4\n"})
    assert loaded(tmp_path, tmp_path / "mine.csv").x[:, -2:].tolist() == [[1, 2], [3, 4]]
