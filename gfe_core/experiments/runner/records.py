"""Records of jobs, which can be selected by their fields.

A record is the content of a job's file: its results and, under "fields", the identity of the job,
such as {"protocol": "once", "n_images": 480, "method": "flow", "seed": 0}. The names of files are
only for human readers.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from gfe_core import checks

Record = Mapping[str, Any]


class Records(Sequence[Record]):
    """Records in the order of their jobs.

    Args:
        rows: records, each with its "fields".

    Example:
        >>> rows = [{"fields": {"method": "flow", "seed": i}, "energy": 0.1 * i} for i in (1, 2)]
        >>> Records(rows).where(method="flow").by("seed")[2]["energy"]
        0.2
    """

    def __init__(self, rows: Sequence[Record]) -> None:
        self.rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> "Records": ...
    def __getitem__(self, index: int | slice) -> "Record | Records":
        return Records(self.rows[index]) if isinstance(index, slice) else self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.rows)

    def where(self, **fields: Any) -> "Records":
        """Return the records whose fields have these values."""
        return Records(
            [
                record
                for record in self
                if all(record["fields"].get(name) == value for name, value in fields.items())
            ]
        )

    def only(self, **fields: Any) -> Record:
        """Return the only record with these fields.

        Raises:
            ValueError: there is none, or more than one.
        """
        matches = self.where(**fields)
        checks.require(
            len(matches) == 1,
            f"`fields` {fields} must name one record, got {len(matches)} of {len(self)}. "
            "Name more fields, or run the jobs that are missing.",
        )
        return matches[0]

    def by(self, name: str) -> dict[Any, Record]:
        """Map the values of a field to the one record that has each.

        Raises:
            ValueError: two records share a value.
        """
        by_value = {record["fields"][name]: record for record in self}
        checks.require(
            len(by_value) == len(self),
            f"`name` {name!r} must tell all {len(self)} records apart, got {len(by_value)} values. "
            "Choose with `where` first.",
        )
        return by_value
