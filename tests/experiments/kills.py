"""Kill trainings at random moments, go on, and compare with those that nobody disturbed.

    python tests/experiments/kills.py flow autoencoder stored_codes semi_amortised reproduce

prints a line for each; the exit status is 1 if one did not end at the same bits. Every training
runs in a fork of this process, so that a start takes no time and kills fall into the work.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from small_sets import SMALL, write_sets
from torch import Tensor

from gfe_core.data import results
from gfe_core.experiments.runner.config import Config
from gfe_core.experiments.runner.jobs import Experiment, Job, reproduce
from gfe_core.experiments.runner.runs import train
from gfe_core.experiments.tables.cells import trained_cell

METHODS = ("flow", "autoencoder", "stored_codes", "semi_amortised")
PASSES = {"flow": 6, "autoencoder": 14, "stored_codes": 7, "semi_amortised": 6}
"""Passes that make a training take about half a second, with a checkpoint after every batch."""
N_JOBS = 6
PROCESSES = 2


def forked(work: Callable[[], Any]) -> int:
    """Do the work in another process; return the id of the process."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def ended(pid: int) -> bool:
    """Whether a process has ended by itself; raise if it has failed."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if done and status:
        raise RuntimeError(f"the work ended with status {status} though nobody killed it")
    return bool(done)


def kill_and_go_on(
    work: Callable[[Path], Any], folder: Path, n_kills: int, moment: Callable[[], float]
) -> list[Path]:
    """Kill the work in a folder and start it again, many times; finished work gets a new folder.

    Args:
        work: function that continues from the state in its folder.
        folder: parent of the folders, one for each time that the work is finished.
        n_kills: number of kills that must interrupt the work.
        moment: function that returns the seconds until a kill, and may wait before.

    Returns:
        The folders of finished work.
    """
    finished: list[Path] = []
    n = 0
    while n < n_kills:
        place = folder / str(len(finished))
        pid = forked(lambda place=place: work(place))
        time.sleep(moment())
        if ended(pid):
            finished.append(place)
            continue
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        n += 1
    place = folder / str(len(finished))
    work(place)
    return [*finished, place]


def same(one: Any, other: Any) -> bool:
    """Whether two nested values are equal to the bit, but for seconds."""
    if isinstance(one, dict):
        names = [name for name in one if "seconds" not in str(name)]
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in names)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, Tensor) else one == other


def state(folder: Path) -> dict[str, Any]:
    """What a finished run leaves."""
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    return {"checkpoint": saved, "note": json.loads((folder / "run.json").read_text())}


def config_of(method: str, seed: int = 0) -> Config:
    changes: dict[str, Any] = {
        "method": method,
        "epochs": PASSES[method],
        "n_validation": 8,
        "seed": seed,
    }
    fields: dict[str, Any] = SMALL | changes | {"rehearsals": 2, "rehearsal_size": 4}
    return Config(**fields)


def check_run(method: str, folder: Path, n_kills: int, chance: random.Random) -> bool:
    """Whether a run of a method ends at the same bits after n kills."""

    def work(place: Path) -> None:
        train(config_of(method), place, save_every=-1)

    start = time.monotonic()
    pid = forked(lambda: work(folder / "whole"))
    while not ended(pid):
        time.sleep(0.002)
    longest = 2 * (time.monotonic() - start) / (n_kills + 1)
    finished = kill_and_go_on(work, folder, n_kills, lambda: chance.uniform(0, longest))
    return all(same(state(place), state(folder / "whole")) for place in finished)


def cell(seed: int, diary: str) -> dict[str, Any]:
    """A job that leaves a sign when it begins."""
    Path(diary, f"{seed}-{time.monotonic_ns()}-{os.getpid()}").touch()
    return trained_cell(vars(config_of("flow", seed)))


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be noticed does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def check_reproduce(folder: Path, n_kills: int, chance: random.Random) -> bool:
    """Whether an experiment with two processes has the same results, and left no process."""
    diary = folder / "diary"
    diary.mkdir(parents=True)
    jobs = [Job(f"job-{i}", cell, {"seed": i, "diary": str(diary)}) for i in range(N_JOBS)]
    experiment = Experiment("kills", "", jobs, lambda _: {}, str)
    results.folder = lambda: folder / "results"
    start = time.monotonic()
    whole = reproduce(experiment, folder=folder / "whole")
    seconds = (time.monotonic() - start) / N_JOBS

    def moment() -> float:
        n_begun = len(list(diary.iterdir())) + chance.randint(1, PROCESSES + 2)
        while len(list(diary.iterdir())) < n_begun and not _all_there(folder):
            time.sleep(0.01)
        return chance.uniform(0, seconds)

    def work(place: Path) -> None:
        reproduce(experiment, folder=place, processes=PROCESSES)

    def _all_there(folder: Path) -> bool:
        return any(len(list(place.glob("*.json"))) == N_JOBS for place in folder.glob("[0-9]*"))

    finished = kill_and_go_on(work, folder, n_kills, moment)
    workers = {int(path.name.rsplit("-", 1)[1]) for path in diary.iterdir()} - {os.getpid()}
    deadline = time.monotonic() + 20
    while (left := [pid for pid in workers if _alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    if left:
        print(f"processes that outlived their parent: {left}")
    cells = [
        {path.stem: json.loads(path.read_text()) for path in place.glob("*.json")}
        for place in finished
    ]
    return not left and all(same(found, whole["cells"]) for found in cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=(*METHODS, "reproduce"))
    parser.add_argument("--kills", type=int, default=10, help="how many, for each")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    bad = False
    with tempfile.TemporaryDirectory() as name:
        write_sets(Path(name) / "sets")
        os.environ["GFE_DATA_DIR"] = str(Path(name) / "sets")
        for what in chosen.what:
            start = time.monotonic()
            chance = random.Random(chosen.seed)
            folder = Path(name) / what
            good = (
                check_reproduce(folder, chosen.kills, chance)
                if what == "reproduce"
                else check_run(what, folder, chosen.kills, chance)
            )
            verdict = "the same bits" if good else "OTHER BITS"
            seconds = time.monotonic() - start
            print(f"{what}: {verdict} after {chosen.kills} kills ({seconds:.0f} s)", flush=True)
            bad = bad or not good
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
