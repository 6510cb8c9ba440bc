"""Experiments as jobs.

Each is done once, kept in a file of its own, and gathered into data/results when all are there.

An interrupted experiment goes on with the jobs that are missing. Jobs know nothing of each other,
so that several processes can share them; each works with one thread. A job's file says what it is
about (`fields`) and how it was made (`arguments`, `settings`); a finished job that is made
otherwise today is made again, and its old file is kept.
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
        name: of its file, for people; experiments that need the same job name it alike.
        work: a function at the top level of a module; gets the arguments, returns plain values.
        arguments: plain values.
        fields: what it is about, by which its record is chosen; plain values. The name ends with
            its "seed".
        settings: what else decides its result, such as the rule by which codes are judged; plain
            values.
    """

    name: str
    work: Callable[..., dict[str, Any]]
    arguments: Mapping[str, Any]
    fields: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cell(self) -> str:
        """Its name without the seed: what it shares with the same job at other seeds."""
        return self.name.removesuffix(f"-{self.fields.get('seed')}")

    def with_seed(self, seed: int) -> "Job":
        """The same job at another seed."""
        return replace(
            self,
            name=f"{self.cell}-{seed}",
            arguments=_reseeded(self.arguments, seed),
            fields=_reseeded(self.fields, seed),
        )

    def file(self, folder: Path) -> Path:
        """Where its result is kept."""
        return folder / f"{self.name}.json"

    @property
    def description(self) -> dict[str, Any]:
        """What its file says of it, as JSON gives it back."""
        made = {"fields": self.fields, "arguments": self.arguments, "settings": self.settings}
        return json.loads(json.dumps({name: dict(value) for name, value in made.items()}))


def _reseeded(values: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """These values with another seed wherever one is named, in configs too."""
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
    """What `python -m gfe_core reproduce NAME` does.

    Args:
        name: as in the command.
        question: one sentence, kept in the result file.
        jobs: all of them, cheapest knowledge first.
        gather: from the records of all jobs, to what the result file holds beside them.
        table: the result file's content as Markdown, for a reader.
        note: what a reader of the table should know of how it was made.
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
    """Do the jobs that are missing or made otherwise today, gather all, write the result file.

    Args:
        experiment: what to do.
        folder: of the jobs' files, which experiments share; data/runs by default.
        processes: how many jobs at a time.
        tell: gets a line for every job that is made again, and one for every job that is done.

    Returns:
        What was written.

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
    """Where finished jobs are kept: data/runs, beside the results."""
    return results.folder().parent / "runs"


def finished(
    jobs: Sequence[Job],
    folder: Path,
    *,
    processes: int = 1,
    title: str,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, dict[str, Any]]:
    """Do those of some jobs that are missing or made otherwise today.

    Args:
        jobs: what to do.
        folder: of the jobs' files.
        processes: how many jobs at a time.
        title: what the lines for finished jobs begin with.
        tell: gets these lines.

    Returns:
        The records of all the jobs, by name.

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
    """Make the content of a result file from the records of all jobs, by name."""
    command = f"python -m gfe_core reproduce {experiment.name}"
    content = {"experiment": experiment.name, "question": experiment.question, "command": command}
    return content | experiment.gather(Records([*cells.values()])) | {"cells": dict(cells)}


def _record(job: Job, folder: Path) -> dict[str, Any]:
    """What a finished job left; a file of the first build does not say what it is about."""
    return {"fields": dict(job.fields)} | json.loads(job.file(folder).read_text())


def _is_done(job: Job, folder: Path, tell: Callable[[str], None]) -> bool:
    """Whether the file of a job is there, whole, and made as it would be made today."""
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
    """What differs between how a job was made and how it would be made today.

    Files of the first build have arguments and no settings: what they do not mention has not
    changed.
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
    """Where files are kept whose jobs were made again."""
    return folder / "earlier"


def _set_aside(path: Path) -> None:
    """Move a file to where it is kept, under a name that is free."""
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
        except Exception:  # a job failed; those that run end first, so that their work is kept
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        except BaseException:  # an interrupt; nobody wants to wait
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                if worker not in others:
                    worker.terminate()
            raise


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed tells nobody: its workers would wait for jobs forever."""
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
        told = job.description | {"seconds": round(seconds, 1)}
        path = job.file(folder)
        _set_aside(path)
        write_json(path, result | told | machine())
    finally:
        torch.set_num_threads(threads)
    return job.name, seconds
