"""The number of threads.

What the kit chooses for a block, what it leaves to the caller, and what it leaves behind.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core import threads

ROOT = Path(__file__).parents[1]


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads that torch took by itself: nobody chose them, as in a fresh process."""
    monkeypatch.setattr(threads, "_caller_chose", lambda n: False)
    threads._limit(2)
    yield
    threads._limit(1)


class Noting(nn.Module):
    """A decoder that notes how many threads it is called with."""

    latent_dim, data_shape = 2, (3,)

    def __init__(self, *, convolves: bool = False) -> None:
        super().__init__()
        self.linear, self.seen = nn.Linear(2, 3), []
        self.convolution = nn.Conv1d(1, 1, 1) if convolves else None

    def forward(self, z: Tensor) -> Tensor:
        self.seen.append(torch.get_num_threads())
        return self.linear(z)


def images(n: int = 4) -> Tensor:
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(0))


def others_are_busy(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(threads, "_busy_elsewhere", lambda: number)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("verb", ["encode", "reconstruct", "evaluate", "fit"])
def test_without_convolutions_a_verb_computes_with_one_thread_and_gives_two_back(verb):
    decoder = Noting()
    calls = {
        "encode": lambda: gfe.encode(decoder, images(), max_steps=2),
        "reconstruct": lambda: gfe.reconstruct(decoder, torch.zeros(4, 2), gfe.Bernoulli()),
        "evaluate": lambda: gfe.evaluate(decoder, images()),
        "fit": lambda: gfe.fit(decoder, gfe.data.Batches(images(), size=2)),
    }
    calls[verb]()
    assert set(decoder.seen) == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(("n_busy", "expected"), [(0, 2), (1, 1)])
def test_convolutions_keep_their_threads_only_while_processors_are_free(
    monkeypatch, n_busy, expected
):
    others_are_busy(monkeypatch, n_busy)
    decoder = Noting(convolves=True)
    gfe.encode(decoder, images(), max_steps=2)
    assert set(decoder.seen) == {expected}
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two")
def test_convolutions_of_an_encoder_count(monkeypatch):
    others_are_busy(monkeypatch, 0)

    class Holder:
        network = None

        def __init__(self) -> None:
            self.network = nn.Sequential(nn.Conv2d(1, 1, 3))

    for encoder, expected in (
        (Holder(), 2),
        (nn.Sequential(nn.Linear(2, 2)), 1),
        (None, 1),
        (gfe.encode, 1),
    ):
        with threads.suited(Noting(), encoder):
            assert torch.get_num_threads() == expected


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_number_comes_back_after_an_error_or_an_interrupt(error):
    with pytest.raises(error), threads.suited(Noting()):
        assert torch.get_num_threads() == 1
        raise error
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two")
def test_nested_blocks_end_where_the_outermost_began():
    with threads.suited(Noting()):
        with threads.suited(Noting()):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two")
def test_callbacks_of_fit_run_with_the_number_of_the_caller():
    seen = []
    gfe.fit(
        Noting(),
        gfe.data.Batches(images(), size=2),
        callbacks=[lambda _: seen.append(torch.get_num_threads())],
    )
    assert seen == [2, 2]


@pytest.mark.usefixtures("two")
def test_number_set_inside_a_block_stays():
    with threads.suited(Noting()):
        threads._limit(3)
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("two")
def test_another_thread_is_neither_limited_nor_changed():
    entered, leave, seen = threading.Event(), threading.Event(), []

    def work() -> None:
        torch.get_num_threads()  # a thread's first use of torch takes the number that the tests set
        threads._limit(2)
        with threads.suited(Noting()):
            seen.append(torch.get_num_threads())
            entered.set()
            leave.wait(30)
        seen.append(torch.get_num_threads())

    worker = threading.Thread(target=work)
    worker.start()
    assert entered.wait(30)
    seen.append(torch.get_num_threads())
    leave.set()
    worker.join(30)
    assert seen == [1, 2, 2]


@pytest.mark.parametrize(
    "name", ["ConvDecoder", "TransposedConvDecoder", "MLPDecoder", "SirenDecoder"]
)
def test_codes_do_not_depend_on_the_number_of_threads_bit_for_bit(name):
    generator = torch.Generator().manual_seed(0)
    sizes = (
        {"hidden": (150, 300), "data_dim": 784}
        if name == "MLPDecoder"
        else {"image_shape": (28, 28)}
    )
    sizes |= {"hidden": (32, 32)} if name == "SirenDecoder" else {}
    decoder = getattr(gfe, name)(latent_dim=8, generator=generator, **sizes)
    x, codes = torch.rand(40, 784, generator=generator), []
    for n in (1, 2):
        torch.set_num_threads(n)
        codes.append(gfe.encode(decoder, x, max_steps=2).z)
        torch.set_num_threads(1)
    assert codes[0].norm() > 0 and torch.equal(*codes)


def test_own_threads_are_not_counted_as_busy_elsewhere(monkeypatch):
    runs = {"thread": True}
    monkeypatch.setattr(Path, "read_text", lambda _: "0.00 0.00 0.00 3/99 1234")
    monkeypatch.setattr(Path, "iterdir", lambda _: iter([Path("a"), Path("b")]))
    monkeypatch.setattr(threads, "_runs", lambda _: runs["thread"])
    assert threads._busy_elsewhere() == 1
    runs["thread"] = False
    assert threads._busy_elsewhere() == 3


def test_system_that_does_not_say_who_is_busy_counts_as_quiet(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda _: (_ for _ in ()).throw(FileNotFoundError()))
    assert threads._busy_elsewhere() == 0


NOTE = """
class Noting(torch.nn.Linear):
    latent_dim, data_shape, seen = 2, (3,), set()
    def forward(self, z):
        self.seen.add(torch.get_num_threads())
        return super().forward(z)
decoder = Noting(2, 3)
gfe_core.encode(decoder, torch.rand(4, 3), max_steps=1)
print(*decoder.seen, torch.get_num_threads())
"""
needs_two = pytest.mark.skipif(
    len(getattr(os, "sched_getaffinity", lambda _: (0,))(0)) < 2
    or not torch.backends.mkl.is_available(),
    reason="torch takes two threads by itself only where there are two processors",
)


def printed(code: str, **environment: str) -> str:
    """Output of a process of its own, to which nobody gives a number of threads."""
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env=plain | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def fresh(code: str, **environment: str) -> tuple[int, int]:
    """Threads inside an encode and after it, in a process of its own."""
    inside, after = map(int, printed(code + NOTE, **environment).split())
    return inside, after


@pytest.mark.slow
@needs_two
@pytest.mark.parametrize(
    "start",
    [
        "import gfe_core, torch",
        "import torch; torch.ones(400_000).add(1); import gfe_core",
        "import numpy, sklearn.decomposition, torch; torch.get_num_threads(); import gfe_core",
    ],
    ids=["gfe_core first", "torch first and used", "scikit-learn first"],
)
def test_limit_holds_whatever_is_imported_first(start):
    inside, after = fresh(start)
    assert inside == 1 and after > 1


SET = f"""
import os, sys, torch
for order in ("before gfe_core", "after gfe_core"):
    if order == "after gfe_core":
        import gfe_core
    for n in (1, 2, 3):
        if os.fork() == 0:
            torch.set_num_threads(n)
            import gfe_core
            {NOTE.replace(chr(10), chr(10) + 12 * " ")}
            sys.stdout.flush()
            os._exit(0)
        assert os.wait()[1] == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each number is set in a fork of its own")
def test_what_a_caller_sets_stays_set_even_torchs_own_number():
    """Before the import of gfe_core and after it; one process imports torch for all."""
    assert printed(SET).split() == ["1", "1", "2", "2", "3", "3"] * 2


@pytest.mark.slow
def test_what_the_environment_sets_stays_set():
    assert fresh("import torch, gfe_core", OMP_NUM_THREADS="2") == (2, 2)


@pytest.mark.slow
@needs_two
def test_one_processor_has_one_thread():
    pinned = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import torch, gfe_core"
    )
    assert fresh(pinned) == (1, 1)
    later = "import os, torch, gfe_core; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    assert fresh(later)[0] == 1
