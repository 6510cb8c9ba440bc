"""Experiments as jobs.

Each job is done once and kept in a file of its own; data/results gathers them when all are done.

An interrupted experiment continues with the missing jobs. Jobs are independent, so that several
processes can share them; each works with one thread. A job's file holds its identity (`fields`) and
how it was made (`arguments`, `settings`). If these have changed since, the job is done again, and
its old file is kept.
"""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from gfe_core import checks
from gfe_core.data import results
from gfe_core.data.files import write_json
from gfe_core.experiments.runner.records import Records
from gfe_core.experiments.runner.runs import machine


@dataclass(frozen=True)
class Job:
    """One piece of an experiment.

    Args:
        name: name of its file, for human readers; it ends with the "seed" of `fields`. Experiments
            that need the same job give it the same name.
        work: function at the top level of a module, which takes the arguments and returns plain
            values.
        arguments: arguments of `work`; plain values.
        fields: identity of the job, by which its record is selected; plain values.
        settings: everything else that determines its result, such as the rule by which codes are
            judged; plain values.
    """

    name: str
    work: Callable[..., dict[str, Any]]
    arguments: Mapping[str, Any]
    fields: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cell(self) -> str:
        """Name without the seed, which the job shares with the same job at other seeds."""
        return self.name.removesuffix(f"-{self.fields.get('seed')}")

    def with_seed(self, seed: int) -> "Job":
        """Return the same job at another seed."""
        return replace(
            self,
            name=f"{self.cell}-{seed}",
            arguments=_reseeded(self.arguments, seed),
            fields=_reseeded(self.fields, seed),
        )

    def file(self, folder: Path) -> Path:
        """Return the path of its result."""
        return folder / f"{self.name}.json"

    @property
    def description(self) -> dict[str, Any]:
        """Fields, arguments and settings, as they are after reading them back from JSON."""
        made = {"fields": self.fields, "arguments": self.arguments, "settings": self.settings}
        return json.loads(json.dumps({name: dict(value) for name, value in made.items()}))


def _reseeded(values: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return these values with another seed wherever one occurs, also in configs."""
    return {
        name: seed
        if name == "seed"
        else _reseeded(value, seed)
        if isinstance(value, Mapping)
        else value
        for name, value in values.items()
    }


@dataclass(frozen=True)
class Experiment:
    """An experiment that `python -m gfe_core reproduce NAME` runs.

    Args:
        name: name in the command.
        question: question in one sentence, kept in the result file.
        jobs: all jobs, in the order in which they run.
        gather: function from the records of all jobs to the content of the result file beside them.
        table: function from the content of the result file to a Markdown table.
        note: explanation of how the table was made, for its readers.
    """

    name: str
    question: str
    jobs: Sequence[Job]
    gather: Callable[[Records], dict[str, Any]]
    table: Callable[[dict[str, Any]], str]
    note: str = ""


def reproduce(
    experiment: Experiment,
    *,
    folder: Path | None = None,
    processes: int = 1,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Do the jobs that are missing or outdated, gather all records, and write the result file.

    Args:
        experiment: experiment to run.
        folder: folder of the jobs' files, which experiments share; data/runs by default.
        processes: number of jobs that run at the same time.
        tell: function called with a line for every outdated job and for every finished job.

    Returns:
        The content of the result file.

    Raises:
        ValueError: processes is below 1.
    """
    title = experiment.name
    folder = folder or default_folder()
    records = finished(experiment.jobs, folder, processes=processes, title=title, tell=tell)
    content = gathered(experiment, records)
    write_json(results.path(experiment.name), content)
    return content


def default_folder() -> Path:
    """Return the folder of finished jobs: data/runs, beside the results."""
    return results.folder().parent / "runs"


def finished(
    jobs: Sequence[Job],
    folder: Path,
    *,
    processes: int = 1,
    title: str,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, dict[str, Any]]:
    """Do the given jobs that are missing or outdated.

    Args:
        jobs: jobs whose records are wanted.
        folder: folder of the jobs' files.
        processes: number of jobs that run at the same time.
        title: beginning of the lines for finished jobs.
        tell: function called with a line for every outdated job and for every finished job.

    Returns:
        The records of all given jobs, by name.

    Raises:
        ValueError: processes is below 1.
    """
    checks.at_least_one("processes", processes)
    missing = [job for job in jobs if not _is_done(job, folder, tell)]
    done = len(jobs) - len(missing)
    with closing(_all_done(missing, folder, processes)) as completed:
        for name, seconds in completed:
            done += 1
            tell(f"{title}: {done}/{len(jobs)} {name} ({seconds:.0f} s)")
    return {job.name: _record(job, folder) for job in jobs}


def gathered(experiment: Experiment, cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a result file, made from the records of all jobs, by name."""
    command = f"python -m gfe_core reproduce {experiment.name}"
    content = {"experiment": experiment.name, "question": experiment.question, "command": command}
    return content | experiment.gather(Records([*cells.values()])) | {"cells": dict(cells)}


def _record(job: Job, folder: Path) -> dict[str, Any]:
    """Return the record of a finished job; files of early versions have no fields."""
    return {"fields": dict(job.fields)} | json.loads(job.file(folder).read_text())


def _is_done(job: Job, folder: Path, tell: Callable[[str], None]) -> bool:
    """Whether the file of a job exists, is complete, and was made with today's settings."""
    try:
        stored = json.loads(job.file(folder).read_text())
    except (FileNotFoundError, ValueError):
        return False
    if not isinstance(stored, dict):
        return False
    changed = list(_changes(stored, job.description))
    if changed:
        more = f" and {len(changed) - 2} more" if len(changed) > 2 else ""
        tell(
            f"{job.name} was made with {', '.join(changed[:2])}{more}: it is made again, and the "
            f"old file is kept in {_earlier(folder)}"
        )
    return not changed


def _changes(stored: Mapping[str, Any], today: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences between how a job was made and how it would be made today.

    Files of early versions have arguments but no settings; whatever they do not mention counts as
    unchanged.
    """
    for part, values in today.items():
        known = stored.get(part)
        if known is not None:
            yield from _differences(part, known, values, strict="settings" in stored)


def _differences(name: str, stored: Any, today: Any, *, strict: bool) -> Iterator[str]:
    if not (isinstance(stored, dict) and isinstance(today, dict)):
        if stored != today:
            yield f"{name} {stored!r} (today {today!r})"
        return
    for key in stored | today:
        if key not in today:
            yield f"{name}.{key} {stored[key]!r} (today none)"
        elif key in stored:
            yield from _differences(f"{name}.{key}", stored[key], today[key], strict=strict)
        elif strict:
            yield f"no {name}.{key} (today {today[key]!r})"


def _earlier(folder: Path) -> Path:
    """Return the folder of old files, whose jobs were done again."""
    return folder / "earlier"


def _set_aside(path: Path) -> None:
    """Move a file to the folder of old files, under a free name."""
    if path.exists():
        place = _earlier(path.parent)
        place.mkdir(exist_ok=True)
        free = (place / f"{path.stem}-{n}{path.suffix}" for n in count(1))
        path.rename(next(name for name in free if not name.exists()))


def _all_done(
    jobs: Sequence[Job], folder: Path, processes: int
) -> Generator[tuple[str, float], None, None]:
    """Yield the name and seconds of each job when its file is written."""
    if processes == 1 or len(jobs) < 2:
        for job in jobs:
            yield do(job, folder)
        return
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    with ProcessPoolExecutor(processes, context, _begin_worker) as pool:
        futures = [pool.submit(do, job, folder) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except Exception:  # a job failed; running jobs end first, so that their work is kept
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        except BaseException:  # an interrupt, which must not wait for running jobs
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                if worker not in others:
                    worker.terminate()
            raise


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent process, and end whenever the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent ends; after a kill, workers would wait for jobs forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def do(job: Job, folder: Path) -> tuple[str, float]:
    """Do one job with one thread and write its file."""
    start = time.perf_counter()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = job.work(**job.arguments)
        seconds = time.perf_counter() - start
        description = job.description | {"seconds": round(seconds, 1)}
        path = job.file(folder)
        _set_aside(path)
        write_json(path, result | description | machine())
    finally:
        torch.set_num_threads(threads)
    return job.name, seconds
