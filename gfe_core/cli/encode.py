"""`python -m gfe_core encode`: codes of a whole data set, in shards, on any number of processes."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from gfe_core.cli.command import Command


@dataclass(frozen=True, kw_only=True)
class Encode(Command):
    """Encode a data set in shards; the same command goes on after an interrupt.

    On several processes, with the same files at the end:

    torchrun --standalone --nproc-per-node=N -m gfe_core encode ...

    In Python, gfe_core.scale.read_codes(folder) returns all codes in order.

    Args:
        model: file of a model, as `gfe.save` wrote it.
        data: an .npy file, read some rows at a time, or any other name or path that `gfe.data.load`
            takes.
        out: folder that gets encode.json and a file for each shard. One that holds shards of the
            same model, data and settings is gone on with; others are refused.
        split: "train", "test" or "all", of data other than an .npy file, of which all rows are
            encoded. All of a named set are its training samples and then its test samples.
        solver: what finds the codes: "amd", "lbfgs" or "bfgs".
        max_steps: largest number of steps for each sample, at least 1; the default is the solver's.
        shard_size: number of rows in a shard, at least 1.
        device: where to compute: "cpu", or "cuda" for one GPU for each process.
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
        """Encode what is missing, and print the folder."""
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
