"""Whatever kills a training, the same command ends at the weights of one that nobody disturbed."""

import subprocess
import sys

import kills
import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("what", "n_kills"), [(kills.METHODS, 10), (("reproduce",), 2)])
def test_work_killed_at_random_moments_ends_at_the_same_bits(what: tuple[str, ...], n_kills: int):
    command = [sys.executable, kills.__file__, *what, "--kills", str(n_kills)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the same bits") == len(what)


def test_bits_that_differ_are_seen():
    one = {"weights": [kills.torch.zeros(2)], "cpu_seconds": 1.0}
    assert kills.same(one, one | {"cpu_seconds": 2.0})
    assert not kills.same(one, one | {"weights": [kills.torch.tensor([0.0, 1e-30])]})
    assert not kills.same(one, {"weights": [kills.torch.zeros(2)]})
