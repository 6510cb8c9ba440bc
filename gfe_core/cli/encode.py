"""`python -m gfe_core encode`: encode a data set in shards, on any number of processes."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from gfe_core.cli.command import Command


@dataclass(frozen=True, kw_only=True)
class Encode(Command):
    """Encode a data set in shards; the same command continues after an interrupt.

    Several processes can share the work:

    torchrun --standalone --nproc-per-node=N -m gfe_core encode ...

    In Python, gfe_core.scale.read_codes(folder) returns all codes in order.

    Args:
        model: file of a model, as `gfe.save` wrote it.
        data: path of an .npy file, which is read a few rows at a time, or any other name or path
            that `gfe.data.load` takes.
        out: folder for encode.json and one file per shard. If it holds shards of the same model,
            data and settings, the missing ones are added; other shards are refused.
        split: part of the data to encode: "train", "test" or "all". For a named set, "all" is the
            training samples followed by the test samples. An .npy file takes "all" only.
        solver: solver that finds the codes: "amd", "lbfgs" or "bfgs".
        max_steps: largest number of steps for each sample, at least 1; the default is the solver's.
        shard_size: number of rows in a shard, at least 1.
        device: device to compute on: "cpu", or "cuda", which gives each process one GPU.
    """

    model: Path
    data: str
    out: Path
    split: str = "all"
    solver: str = "amd"
    max_steps: tyro.conf.DisallowNone[int | None] = None
    shard_size: int = 10_000
    device: str = "cpu"

    def run(self) -> int:
        """Encode the missing shards, and print the folder."""
        import gfe_core as gfe
        from gfe_core import checks, scale

        solvers = {"amd": gfe.AMD(), "lbfgs": gfe.LBFGS(), "bfgs": gfe.BFGS()}
        checks.one_of("solver", self.solver, tuple(solvers))
        rank = scale.Rank.here()
        name = f"process {rank.number + 1}/{rank.n}, " if rank.n > 1 else ""
        scale.encode_shards(
            gfe.load(self.model),
            scale.Rows.of(self.data, split=self.split),
            self.out,
            solver=solvers[self.solver],
            max_steps=self.max_steps,
            shard_size=self.shard_size,
            device=self.device,
            rank=rank,
            tell=lambda line: print(f"{name}{line}", file=sys.stderr, flush=True),
        )
        if rank.number == 0:
            print(self.out)
        return 0
