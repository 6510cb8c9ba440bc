"""Tables, read by pandas: text with separators, Parquet, Excel.

Before pandas reads a text, its first lines are inspected: which separator they have, whether line 1
names the columns, and whether column 1 names the samples. If that is ambiguous, an error asks.

Shapes: `n` lines are samples; their numbers are `features`.
"""

import bz2
import codecs
import csv
import difflib
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from gfe_core import checks
from gfe_core.data.frames import columns_of
from gfe_core.data.in_memory import Parts
from gfe_core.data.sources import Source, missing_library, require, unfit, whole_source
from gfe_core.data.values import UnfitError

TEXT = (".csv", ".tsv", ".tab", ".txt", ".dat")
"""Suffixes of tables in text; .gz, .bz2 or .xz may follow."""
PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_BOTH_TAKE = (
    "header",
    "names",
    "index_col",
    "usecols",
    "skiprows",
    "nrows",
    "na_values",
    "keep_default_na",
    "decimal",
    "thousands",
)
TEXT_TAKES = (
    "sep",
    "delimiter",
    *_BOTH_TAKE,
    "true_values",
    "false_values",
    "comment",
    "encoding",
    "quotechar",
    "escapechar",
)
"""Options that `load` passes on to pandas' `read_csv`."""
EXCEL_TAKES = ("sheet_name", *_BOTH_TAKE)
PARQUET_TAKES = ("columns",)

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?inf(inity)?|nan", re.IGNORECASE)
_TRUTH = ("true", "false")
_MISSING = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "1.#IND", "1.#QNAN", "<NA>"),
    *("N/A", "NA", "NULL", "None", "n/a", "null"),
)
"""Words that stand for a missing number, as in pandas."""
_WHOLE = re.compile(r"[-+]?\d+")
_COLUMN = re.compile(r"column \d+")
_SEVERAL = (list, tuple, set, frozenset, range, np.ndarray)
"""Types of an option that holds several values."""
_SUCH = {
    **{"sep": ";", "delimiter": ";", "encoding": "utf-8", "comment": "#", "quotechar": '"'},
    **{"escapechar": "\\", "decimal": ",", "thousands": ","},
}
"""An example for each option that is a string."""
_ENCODINGS = ("utf-8", "utf-16", "latin-1", "cp1252", "ascii", "utf-32")
_N_HEAD = 50
"""Number of lines that are inspected before pandas reads."""
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """The format of a text for reading it line by line; pandas gets the same."""

    sep: str
    encoding: str
    comment: str | None
    quotechar: str
    skipped: Callable[[int], bool]


@dataclass(frozen=True)
class _Numbers:
    """The notation of values in a text; missing values and truth values count, names do not.

    Args:
        options: options of the text: decimal, thousands, na_values, true_values and false_values.
    """

    options: Mapping[str, Any]

    def plain(self, field: str) -> str:
        """Turn a number of this text into one that Python reads."""
        without = field.strip().replace(self.options.get("thousands") or "", "")
        return without.replace(self.options.get("decimal") or ".", ".")

    def has(self, field: str) -> bool:
        """Whether a field is a value."""
        return self._is_number(field) or field.lower() in _TRUTH or field in self._words

    def whole(self, field: str) -> bool:
        """Whether a field is a whole number."""
        return _WHOLE.fullmatch(self.plain(field)) is not None

    def floats(self, line: Sequence[str]) -> np.ndarray:
        """Return the numbers of a line; any other field becomes NaN."""
        return np.array(
            [float(self.plain(one)) if self._is_number(one) else np.nan for one in line]
        )

    def _is_number(self, field: str) -> bool:
        return _NUMBER.fullmatch(self.plain(field)) is not None

    @cached_property
    def _words(self) -> set[str]:
        """Words that are values: those for missing values, and for true and false."""
        given = [self.options.get(name) for name in ("na_values", "true_values", "false_values")]
        return {*_MISSING, *(word for words in given for word in _flat(words))}


def _flat(given: Any) -> list[str]:
    """Return one value, several, or several for each column, as a flat list of strings."""
    if isinstance(given, Mapping):
        return [word for words in given.values() for word in _flat(words)]
    if isinstance(given, _SEVERAL):
        return list(map(str, given))
    return [] if given is None else [str(given)]


def open_text(path: Path, label: str | None, options: Mapping[str, Any]) -> Source:
    """Return the samples of a text with separators.

    Args:
        path: path of the file.
        label: name of the column that is y.
        options: some of `TEXT_TAKES`; the first lines of the file decide what they leave open.

    Raises:
        ValueError: label is not a column.
        DataError: the file is damaged, is not a table, or is ambiguous.
    """
    _check_options(options)
    try:
        form = _form(path, options)
        head = list(islice(_lines(path, form), _N_HEAD))
        require(len(head) > 0, path, "it is empty: its header must name every column, one at least")
        if not {"header", "names"} & options.keys():
            _check_title(path, form, options)
        settings = {**options, **_chosen(path, head, label, options)}
        n_before = _n_before(settings.get("header"))
        frame = _read(path, form, settings, _as_written(head, label, settings), n_before)
    except (UnicodeError, csv.Error) as error:
        encoding = options.get("encoding", "UTF-8")
        raise unfit(
            path,
            f"it is not a table in {encoding} text ({error}). Pass its encoding, such as "
            "`encoding='latin-1'`, or save it again as CSV (UTF-8)",
        ) from error
    except _DAMAGED as error:
        raise unfit(path, f"it is damaged or not whole ({error}). Copy it again") from error
    first = "" if "header" in options or n_before > 0 else f"line {head[0][0]}"
    return _source(path, frame, label, partial(_place, path, form, n_before), first, options)


_LENGTHS = {
    **dict.fromkeys(("sep", "delimiter", "encoding"), "a string"),
    **dict.fromkeys(
        ("comment", "quotechar", "escapechar", "decimal", "thousands"), "one character"
    ),
}
"""Options that are strings, each with its permitted length."""


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that would fail before pandas gets them."""
    for name, wanted in _LENGTHS.items():
        value = options.get(name)
        long = wanted == "a string"
        fits = isinstance(value, str) and (len(value) == 1 or (long and len(value) > 1))
        checks.require(
            value is None or fits,
            f"`{name}` must be {wanted}, such as {_SUCH[name]!r}, got {value!r}.",
            ValueError if isinstance(value, str) else TypeError,
        )
    encoding = options.get("encoding")
    try:
        codecs.lookup(encoding or "utf-8")
    except (LookupError, ValueError) as error:
        near = difflib.get_close_matches(str(encoding).lower(), _ENCODINGS, n=1, cutoff=0)[0]
        raise ValueError(
            f"`encoding` must be one that Python knows, such as 'utf-8' or 'latin-1', got "
            f"{encoding!r}. Did you mean {near!r}?"
        ) from error
    if options.get("names") is not None:
        checks.sequence("names", options["names"])
    skip = options.get("skiprows")
    lines = [skip] if isinstance(skip, int) and not isinstance(skip, bool) else skip
    several = isinstance(lines, _SEVERAL)
    fits = skip is None or callable(skip)
    fits = fits or (several and all(isinstance(i, (int, np.integer)) and i >= 0 for i in lines))
    wanted = "`skiprows` must be the number of lines to skip at the start, or a list of lines"
    checks.require(fits, f"{wanted}, counted from 0, got {skip!r}.", TypeError)


def _form(path: Path, options: Mapping[str, Any]) -> _Form:
    """Return the format of a text, with the most frequent separator of line 1 unless one is given.

    The first bytes of the file decide the encoding unless one is given.
    """
    with _open(path, None) as file:
        start = file.read(1024)
    marked = start[:2] in (b"\xff\xfe", b"\xfe\xff")
    require(
        marked or options.get("encoding") is not None or b"\0" not in start,
        path,
        "it is not a text: it contains zero bytes. Save it as CSV (UTF-8), or pass its encoding, "
        "such as `encoding='utf-16'`",
    )
    form = _Form(
        sep=options.get("sep") or options.get("delimiter") or "\n",
        encoding=options.get("encoding") or ("utf-16" if marked else "utf-8-sig"),
        comment=options.get("comment"),
        quotechar=options.get("quotechar") or '"',
        skipped=_skipped(options.get("skiprows")),
    )
    if form.sep != "\n":
        return form
    at = max(0, _n_before(options.get("header")) - 1)
    with _open(path, form.encoding) as file:
        line = next(islice((line for line in _kept(file, form) if line.strip()), at, None), "")
    named = line.strip().strip('"').lower().startswith("sep=")
    require(not named, path, f"its first line says {line.strip()!r}. Pass `skiprows=1`")
    # a character within numbers is no separator, unless numbers are quoted and there is no other
    within = (options.get("decimal"), options.get("thousands"))
    sep = max(",;\t", key=lambda char: (char not in within and char in line, line.count(char)))
    blanks = line.count(sep) == 0 and len(line.split()) > 1
    return _Form(**{**vars(form), "sep": r"\s+" if blanks else sep})


def _skipped(skip: Any) -> Callable[[int], bool]:
    """Return a function that says whether pandas skips a line, counted from 0."""
    if callable(skip):
        return lambda number: bool(skip(number))
    lines = range(skip) if isinstance(skip, int) else skip or ()
    return lambda number: number in lines


def _open(path: Path, encoding: str | None) -> Any:
    """Open a text, compressed or not; without an encoding, open its bytes."""
    opener = PACKED.get(path.suffix.lower(), open)
    mode = "rb" if encoding is None else "rt"
    newline = None if encoding is None else ""
    return opener(path, mode, encoding=encoding, newline=newline)


def _kept(file: Iterable[str], form: _Form) -> Iterator[str]:
    """Yield the lines; skipped ones become empty, so that the others keep their numbers."""
    for number, line in enumerate(file):
        if form.skipped(number):
            yield "\n"
        else:
            yield line.split(form.comment)[0] if form.comment else line


def _lines(path: Path, form: _Form) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty, each with its number from 1."""
    with _open(path, form.encoding) as file:
        kept = _kept(file, form)
        if form.sep == r"\s+":
            split = ((i + 1, line.split()) for i, line in enumerate(kept))
        else:
            reader = csv.reader(kept, delimiter=form.sep[:1], quotechar=form.quotechar)
            split = ((reader.line_num, [field.strip() for field in line]) for line in reader)
        yield from ((number, line) for number, line in split if line not in ([], [""]))


# The first lines.


def _check_title(path: Path, form: _Form, options: Mapping[str, Any]) -> None:
    """Refuse lines of text above a header, which have another number of fields than those below."""
    numbers = _Numbers(options)
    head = list(islice(_lines(path, form), _N_HEAD))
    if len({len(line) for _, line in head}) == 1 and len(head[0][1]) > 1:
        return
    own = options.get("sep") or options.get("delimiter")
    for sep in (form.sep,) if own else (",", ";", "\t", r"\s+"):
        try:
            lines = list(islice(_lines(path, _Form(**{**vars(form), "sep": sep})), _N_HEAD))
        except csv.Error:  # long lines that this character does not separate
            continue
        at = _below_a_title(lines, numbers)
        require(
            at is None,
            path,
            f"its first line looks like a title, and line {at} like the header. Pass "
            f"`skiprows={(at or 1) - 1}` to skip the lines above, or `header=0` if line 1 names "
            "the columns",
        )


def _below_a_title(head: list[tuple[int, list[str]]], numbers: _Numbers) -> int | None:
    """Return the number of the line that names the columns, if a title is above it, or None.

    Such a line holds only words, as many as the lines below have fields. Some of those fields are
    numbers, and the lines above have another number of fields.
    """
    n = len(head[-1][1])
    start = len(head)
    while start > 0 and len(head[start - 1][1]) == n:
        start -= 1
    if n < 2 or start == 0 or len(head) - start < 2:
        return None
    number, names = head[start]
    above = [field for _, line in head[:start] for field in line]
    words = all(names) and not any(map(numbers.has, names))
    below = any(numbers.has(field) for _, line in head[start + 1 :] for field in line)
    return number if words and below and not all(map(numbers.has, above)) else None


def _chosen(
    path: Path, head: list[tuple[int, list[str]]], label: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the header and index that the first lines show, where the caller gives none."""
    if "names" in options:
        return {}
    header = options.get("header")
    if "header" not in options:
        header = _header(path, head[0][1], [line for _, line in head[1:]], label, options)
    n_before = _n_before(header)
    few = f"its header is line {n_before}, but it has {len(head)} lines that are not empty"
    require(n_before <= len(head) or len(head) == _N_HEAD, path, f"{few}. Lower `header`")
    names = head[min(len(head), max(1, n_before)) - 1][1]
    if header is None:
        return {"header": None, "names": [f"column {i + 1}" for i in range(len(names))]}
    n_labels = names.count(label or "")
    checks.require(
        n_labels < 2 or label is None,
        f"`label` must be one column of {path}, got {label!r}, the name of {n_labels} columns.",
    )
    if not isinstance(header, int) or "index_col" in options or "usecols" in options:
        return {"header": header}
    return {"header": header} | _index(path, names, head[n_before:], _Numbers(options))


def _index(
    path: Path, names: list[str], following: list[tuple[int, list[str]]], numbers: _Numbers
) -> dict[str, int | bool]:
    """Return `index_col` if the first column, without a name in the header, names the samples."""
    lines = [line for _, line in following]
    longer = len(lines) > 0 and all(len(line) == len(names) + 1 for line in lines)
    ends = longer and all(line[-1] == "" for line in lines)
    first = [line[0] for line in lines]
    counts = first in ([str(i + start) for i in range(len(first))] for start in (0, 1))
    words = not any(map(numbers.has, first))
    require(
        not longer or ends or counts or words,
        path,
        f"line {following[0][0] if following else 0} has {len(names) + 1} fields, not "
        f"{len(names)}, and so have all others. Name every column in the header, or pass "
        "`index_col=0` if the first column names the samples",
    )
    index = names[0] == "" and len(names) > 1 and not ends
    are_numbers = np.isfinite(numbers.floats(first))
    fractions = [
        value
        for value, is_number in zip(first, are_numbers, strict=True)
        if is_number and not numbers.whole(value)
    ]
    require(
        not index or not fractions,
        path,
        f"its first column has no name, and a number such as {(fractions or [''])[0]} in it may "
        "be a feature or the name of a sample. Name the column in the header, or pass "
        "`index_col=0` if it names the samples",
    )
    named = names[1:] if index else names
    named = named[:-1] if _ends_empty(names, lines) else named
    require(
        len(named) > 0 and all(named),
        path,
        "its header must name every column, one at least. Name them, or pass `header=None` if its "
        "first line is a sample",
    )
    # False: each line ends with a separator, and no column follows it.
    return {"index_col": False} if ends else {"index_col": 0} if index else {}


def _ends_empty(names: list[str], following: list[list[str]]) -> bool:
    """Whether every line, the header included, ends with a separator."""
    lines = [line for line in following if len(line) == len(names)]
    return names[-1] == "" and len(names) > 1 and all(line[-1] == "" for line in lines)


def _header(
    path: Path,
    names: list[str],
    following: list[list[str]],
    label: str | None,
    options: Mapping[str, Any],
) -> int | None:
    """Return 0 if line 1 names the columns, None if it is a sample.

    Line 1 names the columns if it holds the label or a column that an option names, or words and no
    number. After an empty first field, numbers are names if they count from 0, or if the first
    column counts from 0 or holds words, because pandas writes frames like that. Words beside
    numbers belong to a sample. Numbers alone are a sample, unless they look like names. Columns
    that are not features do not count.
    """
    numbers = _Numbers(options)
    called = [name for name in (label, *_called(options)) if name in names]
    remark = names[0].startswith("#") and not called and not numbers.has(names[0])
    require(
        not remark,
        path,
        "its first line begins with '#'. Pass `comment='#'` if it is a comment, or `header=0` if "
        "it names the columns",
    )
    if called or not any(map(numbers.has, names)):
        return 0
    if label is not None and _COLUMN.fullmatch(label):
        return None
    aside = _aside(names, options)
    fields = [name for i, name in enumerate(names) if i not in aside]
    beside = [names[i] for i in sorted(aside)]
    below = [[line[i] for i in sorted(aside) if i < len(line)] for line in following]
    words = [name for name in beside if name and not numbers.has(name)]
    if names[0] == "" and len(following) > 0:
        first = [line[0] for line in following]
        counted = (names[1:], first)
        counts = any(line == [str(i) for i in range(len(line))] for line in counted)
        if counts or not any(map(numbers.has, first)):
            return 0
    elif not all(map(numbers.has, filter(None, fields))):
        return None if any(map(numbers.has, fields)) else 0
    elif words and following and all(all(map(numbers.has, line)) for line in below):
        return 0  # a word over numbers
    rest = [[one for i, one in enumerate(line) if i not in aside] for line in following]
    doubtful = names[0] == "" or _look_like_names(fields, rest, numbers, beside_words=bool(words))
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    require(
        not doubtful,
        path,
        f"its first line ({shown}) may name the columns or be a sample. Pass `header=0` if it "
        "names them, or `header=None` if it is a sample",
    )
    return None


def _called(options: Mapping[str, Any]) -> list[str]:
    """Return the names of columns that options give."""
    given = [options.get(name) for name in ("index_col", "usecols")]
    lists = [value if isinstance(value, _SEVERAL) else [value] for value in given]
    return [name for names in lists for name in names if isinstance(name, str)]


def _aside(names: list[str], options: Mapping[str, Any]) -> set[int]:
    """Return the positions of columns that are not features: the index and unused columns."""
    index, used = options.get("index_col"), options.get("usecols")
    indices = index if isinstance(index, _SEVERAL) else [index]
    places = [i for i in range(len(names)) if not callable(used) or used(names[i])]
    if isinstance(used, _SEVERAL):
        places = sorted({*places} & {one for one in used if isinstance(one, (int, np.integer))})
    held = [i for i in indices if isinstance(i, int) and not isinstance(i, bool)]
    held = [places[i] for i in held if -len(places) <= i < len(places)]
    return {*range(len(names))} - {*places} | {*held}


def _look_like_names(
    names: list[str], following: list[list[str]], numbers: _Numbers, beside_words: bool = False
) -> bool:
    """Whether numbers in line 1 may be names of columns.

    That is so if they count from 0; or if they are distinct whole numbers, and either all numbers
    below are fractions or they stand beside words that name a sample or a column; or if they rise
    or fall while most lines below do not, and do so in even steps, outside the range of the numbers
    below, or over at least eight columns.
    """
    if names and all(map(numbers.whole, names)):
        fractions = len(following) > 0 and not any(
            numbers.whole(field) for line in following for field in line
        )
        distinct = len(set(names)) == len(names)
        counted = [int(numbers.plain(name)) for name in names] == list(range(len(names)))
        if counted or (distinct and (beside_words or (len(names) > 1 and fractions))):
            return True
    values, below = numbers.floats(names), [numbers.floats(line) for line in following]
    others = [_rises(line) for line in below]
    if len(names) < 3 or not _rises(values) or not others or 2 * sum(others) >= len(others):
        return False
    steps = np.diff(values)
    known = np.concatenate(below)
    low, high = np.nanmin(known, initial=np.inf), np.nanmax(known, initial=-np.inf)
    outside = bool((values < low).all() or (values > high).all())
    return outside or len(names) >= 8 or bool(np.allclose(steps, steps[0]))


def _rises(values: np.ndarray) -> bool:
    """Whether numbers rise throughout, or fall throughout."""
    with np.errstate(invalid="ignore"):
        steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all())


# The table.


def _as_written(
    head: list[tuple[int, list[str]]], label: str | None, settings: Mapping[str, Any]
) -> list[str]:
    """Return the columns that pandas must leave as they are written: the label and the index."""
    index = settings.get("index_col")
    at = _n_before(settings.get("header")) - 1
    names = head[at][1] if 0 <= at < len(head) else list(settings.get("names") or [])
    if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(names):
        index = names[index] or f"Unnamed: {index}"
    return [name for name in (label, index) if isinstance(name, str)]


def _read(
    path: Path, form: _Form, settings: Mapping[str, Any], as_written: list[str], n_before: int
) -> Any:
    """Let pandas read the text, and refuse lines with another number of fields."""
    pd = _pandas(path)
    passed = {key: value for key, value in settings.items() if key != "delimiter"}
    passed |= {"sep": form.sep, "encoding": form.encoding}
    try:
        frame = pd.read_csv(
            path,
            engine="c",
            low_memory=False,
            skipinitialspace=True,
            dtype=dict.fromkeys(as_written, str),
            **passed,
        )
    except pd.errors.ParserError as error:
        _check_lengths(path, form, n_before)
        raise unfit(path, f"pandas cannot read it ({error}). Correct it") from error
    except UnicodeError:
        raise
    except (ValueError, TypeError, IndexError, OSError) as error:
        raise unfit(path, f"pandas cannot read it ({error}). Correct what was passed") from error
    # pandas fills lines that are too short silently: then the last column has gaps
    gaps = frame.shape[1] == 0 or bool(frame.iloc[:, -1].isna().any())
    if gaps or settings.get("index_col") is False:
        _check_lengths(path, form, n_before)
    return frame


def _check_lengths(path: Path, form: _Form, n_before: int) -> None:
    """Refuse lines with another number of fields than the header, or than the first line.

    If all lines have one field more than the header, that field is the index, or follows a
    separator at the end of the line.
    """
    records = list(islice(_lines(path, form), n_before + _N_HEAD))
    n = len(records[max(0, n_before - 1)][1])
    following = {len(line) for _, line in records[n_before:]}
    n += n_before > 0 and following == {n + 1}
    for number, line in islice(_lines(path, form), n_before, None):
        fits = len(line) == n
        require(fits, path, f"line {number} has {len(line)} fields, not {n}. Correct it")


def _n_before(header: Any) -> int:
    """Return the number of lines before the first sample."""
    if header is None or header == "infer":
        return 0 if header is None else 1
    lines: list[Any] = list(header) if isinstance(header, (list, tuple)) and header else [header]
    fits = all(isinstance(line, int) and line >= 0 for line in lines)
    wanted = "`header` must be the line that names the columns, counted from 0, or None"
    checks.require(fits, f"{wanted}, got {header!r}.")
    return max(lines) + 1


def _place(path: Path, form: _Form, n_before: int, row: int) -> str:
    """Return the name of a sample's line."""
    number, _ = next(islice(_lines(path, form), row + n_before, None), (row + n_before + 1, []))
    return f"line {number}"


def _source(
    path: Path,
    frame: Any,
    label: str | None,
    place: Callable[[int], str] | None = None,
    first: str = "",
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Source:
    """Turn a frame into samples; errors name the file.

    Args:
        path: path of the file.
        frame: frame that pandas read.
        label: name of the column that is y.
        place: function that names a sample by its number, for errors.
        first: name that `place` gives to a first line that was taken for a sample.
        options: notation of numbers: `decimal` and `thousands`.
    """
    if frame.shape[1] > 1 and str(frame.columns[-1]).startswith("Unnamed: "):
        last = frame.iloc[:, -1]
        frame = frame.iloc[:, :-1] if bool(last.isna().all()) else frame
    try:
        columns = columns_of(frame, label, place, str(path), _Numbers(options).plain)
    except UnfitError as error:
        header = first != "" and str(error).startswith(f"{first}, ")
        hint = f". If {first} names the columns, pass `header=0`" if header else ""
        raise unfit(path, f"{error}{hint}") from error
    parts = Parts(
        x=columns.x,
        y=columns.y,
        names=columns.names,
        classes=columns.classes,
        features=columns.features,
    )
    return whole_source(parts)


def open_parquet(path: Path, label: str | None, options: Mapping[str, Any]) -> Source:
    """Return the samples of a Parquet file.

    Raises:
        ValueError: label is not a column.
        DataError: the file is damaged, or the package that reads it is not installed.
    """
    return _source(path, _frame(path, "read_parquet", "pyarrow", options), label)


def open_excel(path: Path, label: str | None, options: Mapping[str, Any]) -> Source:
    """Return the samples of one sheet of an Excel file.

    Raises:
        ValueError: label is not a column.
        DataError: the file is damaged, or the package that reads it is not installed.
    """
    frame = _frame(path, "read_excel", "openpyxl", options)
    sheets = ", ".join(map(repr, frame)) if isinstance(frame, dict) else ""
    require(not sheets, path, f"it has several sheets. Pass one as `sheet_name=`: {sheets}")
    return _source(path, frame, label)


def _frame(path: Path, read: str, package: str, options: Mapping[str, Any]) -> Any:
    """Let pandas read a file whose format describes its columns."""
    pd = _pandas(path)
    try:
        return getattr(pd, read)(path, **options)
    except ImportError as error:
        raise missing_library(path, package, "save it as CSV") from error
    except Exception as error:  # damaged bytes fail in too many ways to list
        text = " ".join(str(error).split())
        raise unfit(
            path, f"pandas cannot read it ({type(error).__name__}: {text}). Copy it again"
        ) from error


def _pandas(path: Path) -> Any:
    try:
        import pandas as pd  # here, because importing it takes a second
    except ImportError as error:
        otherwise = "pass an array: `gfe.data.DataSet.of(values)`"
        raise missing_library(path, "pandas", otherwise, extra=True) from error
    return pd
