"""One cell of a table: one method of training and judging, at the committed seeds or at another.

The command is `python -m gfe_core reproduce NAME --only CELL --seed S`. It never writes a result
file, so that no table and no page changes. At a committed seed the job is the one of the whole
table and is kept with the others; at any other seed it is kept in a separate folder, which no table
reads.
"""

import difflib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gfe_core import checks
from gfe_core.data import results
from gfe_core.experiments.runner.jobs import Experiment, Job, default_folder, finished
from gfe_core.experiments.tables.cells import head, row

OTHER_SEEDS = "other_seeds"
"""Folder, below that of the finished jobs, for jobs at seeds that are not committed."""

_SETUP = ("fields", "arguments", "settings", "config", "seed", "seconds")
_MACHINE = ("versions", "machine", "threads")
_Seeds = Mapping[int, Mapping[str, Any]]


def reproduce_cell(
    experiment: Experiment,
    cell: str,
    *,
    seed: int | None = None,
    folder: Path | None = None,
    processes: int = 1,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[int, dict[str, Any]]:
    """Do the missing jobs of one cell, and write no result file.

    Args:
        experiment: experiment that the cell belongs to.
        cell: name of the cell, one of `cells`.
        seed: seed from 0 to 4,294,967,295; None takes all committed seeds.
        folder: folder of the jobs' files; data/runs by default. Jobs at other than the committed
            seeds are kept below it, in `OTHER_SEEDS`.
        processes: number of jobs that run at the same time.
        tell: function called with a line for every finished job, and with one that names the files.

    Returns:
        The record of each seed.

    Raises:
        ValueError: the experiment has no such cell, a seed is out of range, or processes is below
            1.
    """
    committed = _jobs_of(experiment, cell)
    folder = folder or default_folder()
    jobs = list(committed.values())
    if seed is not None:
        fits = 0 <= seed < 2**32
        checks.require(fits, f"`seed` must be from 0 to {2**32 - 1}, got {seed}.")
        jobs = [committed.get(seed) or jobs[0].with_seed(seed)]
        folder = folder if seed in committed else folder / OTHER_SEEDS
    title = f"{experiment.name}, {cell}"
    records = finished(jobs, folder, processes=processes, title=title, tell=tell)
    tell(f"kept as {', '.join(str(job.file(folder)) for job in jobs)}")
    return {job.fields["seed"]: records[job.name] for job in jobs}


def cells(experiment: Experiment) -> list[str]:
    """Return the names of an experiment's cells: the names of its jobs without the seeds."""
    return list(dict.fromkeys(job.cell for job in experiment.jobs))


def _jobs_of(experiment: Experiment, cell: str) -> dict[int, Job]:
    """Return the committed jobs of a cell by their seeds."""
    committed = {job.fields["seed"]: job for job in experiment.jobs if job.cell == cell}
    known = cells(experiment)
    near = difflib.get_close_matches(cell, known, n=5)
    others = [name for name in known if name not in near]
    checks.require(
        bool(committed),
        f"`only` must be a cell of {experiment.name}, got {cell!r}. The cells, nearest first: "
        f"{', '.join([*near, *others])}.",
    )
    return committed


def figures(experiment: Experiment, records: _Seeds) -> str:
    """Return the numbers of one cell as a Markdown table, beside the shipped ones.

    For a list, such as a curve, the last entry is shown; pictures are left out.

    Args:
        experiment: experiment that the cell belongs to.
        records: records of the cell by seed, as returned by `reproduce_cell`.
    """
    ours = {seed: dict(_numbers(_results(record))) for seed, record in records.items()}
    shipped = _shipped(experiment, records)
    titles = [f"seed {seed}" for seed in ours]
    if len(ours) > 1:
        titles.append("mean ± sd")
    if shipped:
        titles.append(f"shipped, {'seeds' if len(shipped) > 1 else 'seed'} {_listed(shipped)}")
    lines = head("figure", *titles)
    for name in dict.fromkeys(name for values in ours.values() for name in values):
        values = [values.get(name) for values in ours.values()]
        entries = [_spread([value]) for value in values]
        if len(ours) > 1:
            entries.append(_spread(values))
        if shipped:
            entries.append(_spread([values.get(name) for values in shipped.values()]))
        lines.append(row(name, *entries))
    return "\n".join(lines)


def _shipped(experiment: Experiment, records: _Seeds) -> dict[int, dict[str, float]]:
    """Return the numbers in the result file, at the same seeds if it has them all, else at all."""
    if results.find(experiment.name) is None:
        return {}
    any_seed = next(iter(records.values()))["fields"]
    alike = {
        record["fields"]["seed"]: dict(_numbers(_results(record)))
        for record in results.load(experiment.name)["cells"].values()
        if record["fields"] | {"seed": 0} == any_seed | {"seed": 0}
    }
    return {seed: alike[seed] for seed in records} if records.keys() <= alike.keys() else alike


def _results(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the results of a record, without its setup and machine."""
    return {name: value for name, value in record.items() if name not in (*_SETUP, *_MACHINE)}


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Yield all numbers in nested plain values, each named by its path."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _numbers(entry, f"{name}, {key}" if name else key)
    elif isinstance(value, list) and value:
        yield from _numbers(value[-1], f"{name}, last of {len(value)}")
    elif isinstance(value, (int, float)):
        yield name, value


def _spread(values: Sequence[float | None]) -> str:
    """Return mean and, if values differ, standard deviation; a dash if a number is missing."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return "–"
    if len(set(known)) > 1:
        return f"{statistics.fmean(known):.4f} ± {statistics.stdev(known):.4f}"
    return f"{known[0]:.4f}" if isinstance(known[0], float) else str(known[0])


def _listed(seeds: Mapping[int, Any]) -> str:
    return ", ".join(map(str, seeds))
