"""Experiments as jobs.

Each is done once, kept in a file of its own, and gathered into data/results when all are there.

An interrupted experiment goes on with the jobs that are missing. Jobs know nothing of each other,
so that several processes can share them; each works with one thread.
"""

import json
import multiprocessing
import signal
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gfe_core import checks
from gfe_core.data import results
from gfe_core.experiments.runner.files import write_json
from gfe_core.experiments.runner.runs import machine


@dataclass(frozen=True)
class Job:
    """One piece of an experiment.

    Args:
        name: of its file; experiments that need the same job name it alike.
        work: a function at the top level of a module; gets the arguments, returns plain values.
        arguments: plain values.
    """

    name: str
    work: Callable[..., dict[str, Any]]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """What `python -m gfe_core reproduce NAME` does.

    Args:
        name: as in the command.
        question: one sentence, kept in the result file.
        jobs: all of them, cheapest knowledge first.
        gather: name -> result of every job, to what the result file holds beside them.
        table: the result file's content as Markdown, for a reader.
    """

    name: str
    question: str
    jobs: Sequence[Job]
    gather: Callable[[dict[str, Any]], dict[str, Any]]
    table: Callable[[dict[str, Any]], str]


def reproduce(
    experiment: Experiment,
    *,
    folder: Path | None = None,
    processes: int = 1,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Do the jobs that are missing, then gather all and write the result file.

    Args:
        experiment: what to do.
        folder: of the jobs' files, which experiments share; data/runs by default.
        processes: how many jobs at a time.
        tell: gets a line for every job that is done.

    Returns:
        What was written.

    Raises:
        ValueError: processes is below 1.
    """
    checks.at_least_one("processes", processes)
    folder = folder or results.folder().parent / "runs"
    missing = [job for job in experiment.jobs if not _is_done(job, folder)]
    done = len(experiment.jobs) - len(missing)
    with closing(_all_done(missing, folder, processes)) as finished:
        for name, seconds in finished:
            done += 1
            tell(f"{experiment.name}: {done}/{len(experiment.jobs)} {name} ({seconds:.0f} s)")
    cells = {
        job.name: json.loads((folder / f"{job.name}.json").read_text()) for job in experiment.jobs
    }
    command = f"python -m gfe_core reproduce {experiment.name}"
    content = {"experiment": experiment.name, "question": experiment.question, "command": command}
    content |= experiment.gather(cells) | {"cells": cells}
    write_json(results.path(experiment.name), content)
    return content


def _is_done(job: Job, folder: Path) -> bool:
    """Whether the file of a job is there, whole, and tells of these arguments."""
    try:
        found = json.loads((folder / f"{job.name}.json").read_text())
    except (FileNotFoundError, ValueError):
        return False
    arguments = json.loads(json.dumps(dict(job.arguments)))
    return found.get("arguments", arguments) == arguments


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
    with ProcessPoolExecutor(
        processes, context, signal.signal, (signal.SIGINT, signal.SIG_IGN)
    ) as pool:
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


def do(job: Job, folder: Path) -> tuple[str, float]:
    """Do one job with one thread and write its file."""
    start = time.perf_counter()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = job.work(**job.arguments)
        seconds = time.perf_counter() - start
        told = {"arguments": dict(job.arguments), "seconds": round(seconds, 1)}
        write_json(folder / f"{job.name}.json", result | told | machine())
    finally:
        torch.set_num_threads(threads)
    return job.name, seconds
