"""What the kit's choice of threads costs.

Its times beside those of one thread, and of torch's own number.

    python tests/benchmarks/threads.py [--rounds 5]

Every row is a ratio of medians. Its two sides run in turn, round after round, each in a process of
its own that has done the same work once before, so that a disturbance meets both. Run it on a quiet
machine of two processors: the load is printed, as other programs are what most of the rows are
about. It takes about five minutes.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SIDES = {
    "one thread": "import torch; torch.set_num_threads(1); import gfe_core",
    "torch's number": (
        "import torch; torch.set_num_threads(torch.get_num_threads()); import gfe_core"
    ),
    "kit first": "import gfe_core",
    "torch first": "import torch; torch.ones(400_000).add(1); import gfe_core",
}
"""What each process runs first.

A number that was set is kept by the kit, so the second is torch without the kit.
"""
ROWS = [
    *(
        (task, place, "one thread", side, 1.5)
        for place in ("quiet", "one busy process", "one busy process, one processor")
        for task in ("README", "fit", "widget")
        for side in ("kit first", "torch first")
    ),
    *(
        (task, "quiet", "torch's number", side, 1.1)
        for task in ("convolutions", "transposed")
        for side in ("kit first", "torch first")
    ),
    *(
        (task, ("one busy process"), ("one thread"), ("kit first"), 1.5)
        for task in ("convolutions", "transposed")
    ),
]
"""Task, place, the side compared with, the side judged, the largest ratio that is allowed."""
REST = 0.2
"""Seconds before each measurement.

Threads of the other side spin for some milliseconds after their work: until then the machine is not
quiet.
"""


def readme() -> Callable[[], Any]:
    """The README's ten lines."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = compile(
        text.split("```python\n")[1].split("```")[0].replace("print(", "str("), "README.md", "exec"
    )
    return lambda: exec(lines, {})


def fit() -> Callable[[], Any]:
    """A training of the paper's decoder of MNIST with noise, two batches of 64."""
    import torch

    import gfe_core as gfe

    x = torch.rand(128, 784, generator=torch.Generator().manual_seed(0))
    decoder = gfe.MLPDecoder(latent_dim=20, hidden=(150, 300, 600), data_dim=784)
    few = lambda decoder, x: gfe.encode(decoder, x, max_steps=20)  # noqa: E731
    return lambda: gfe.fit(decoder, gfe.data.Batches(x, size=64), encoder=few)


def widget() -> Callable[[], Any]:
    """A `FlowExplorer`: its construction, and a start that the reader drags."""
    import torch

    import gfe_core as gfe
    from gfe_core import widgets

    digits = gfe.data.load("digits", split="test")
    decoder = gfe.MLPDecoder(
        latent_dim=2, hidden=(64, 128), data_dim=64, generator=torch.Generator().manual_seed(0)
    )

    def turn() -> None:
        explorer = widgets.FlowExplorer(decoder, digits)
        player = explorer.player
        player.request = {"id": 1, "start": [0.5, 0.5], "values": player.values, "changed": "start"}
        assert player.reply == 1 and "did not work" not in player.caption, player.caption

    return turn


def convolutions(kind: str) -> Callable[[], Any]:
    """One encode of 64 images by a convolutional decoder of the kit."""
    import torch

    import gfe_core as gfe

    generator = torch.Generator().manual_seed(0)
    build = gfe.ConvDecoder if kind == "convolutions" else gfe.TransposedConvDecoder
    decoder = build(latent_dim=16, image_shape=(28, 28), generator=generator)
    x = torch.rand(64, 784, generator=generator)
    return lambda: gfe.encode(decoder, x, max_steps=10)


def work(task: str, side: str) -> None:
    """Prepare, do the task once, and then once for each line; answer with its seconds."""
    exec(SIDES[side], {})
    prepared = {"README": readme, "fit": fit, "widget": widget}.get(
        task, lambda: convolutions(task)
    )()
    prepared()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        prepared()
        print(time.perf_counter() - start, flush=True)


@contextlib.contextmanager
def worker(task: str, side: str, place: str) -> Iterator[Callable[[], float]]:
    """Start a process for a task; calling it measures once."""
    pinned = (
        ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
        if place.endswith("one processor")
        else []
    )
    command = [*pinned, sys.executable, str(Path(__file__)), "--work", task, "--side", side]
    environment = {
        name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")
    }
    environment["PYTHONPATH"] = str(ROOT)
    process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment)
    orders = process.stdin
    answers = process.stdout
    assert orders is not None and answers is not None
    assert answers.readline() == "ready\n", f"{task} with {side} did not start"

    def measure() -> float:
        time.sleep(REST)
        print("again", file=orders, flush=True)
        return float(answers.readline())

    try:
        yield measure
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def busy(number: int) -> Iterator[None]:
    """Keep a number of processors busy."""
    processes = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def compare(task: str, place: str, against: str, side: str, rounds: int) -> tuple[float, float]:
    """Median seconds of both sides, measured in turn."""
    with (
        worker(task, against, place) as other,
        worker(task, side, place) as own,
        busy(place.startswith("one busy")),
    ):
        pairs = [(other(), own()) for _ in range(rounds)]
    theirs, ours = zip(*pairs, strict=True)
    return statistics.median(theirs), statistics.median(ours)


def main() -> None:
    """Print every row with its limit; fail if one is beyond it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each side of a row")
    parser.add_argument("--only", default="", help="rows whose task or place contains this")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        return work(chosen.work, chosen.side)
    print(
        f"{len(os.sched_getaffinity(0))} processors, load {os.getloadavg()[0]:.1f} before it "
        "begins; seconds\n"
    )
    print(
        f"{'task':14}{'where':33}{'against':16}{'seconds':>8}  "
        f"{'the kit':13}{'seconds':>8}{'ratio':>7}  limit"
    )
    beyond = 0
    for task, place, against, side, limit in ROWS:
        if chosen.only not in f"{task}, {place}":
            continue
        theirs, ours = compare(task, place, against, side, chosen.rounds)
        beyond += ours / theirs > limit
        print(
            f"{task:14}{place:33}{against:16}{theirs:8.3f}  "
            f"{side:13}{ours:8.3f}{ours / theirs:7.2f}  {limit}"
            f"{'  BEYOND' if ours / theirs > limit else ''}",
            flush=True,
        )
    sys.exit(f"{beyond} rows are beyond their limit" if beyond else 0)


if __name__ == "__main__":
    main()
