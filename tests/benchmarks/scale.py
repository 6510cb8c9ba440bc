"""What one machine holds: speed and memory of `encode` in shards, and how both grow.

    python tests/benchmarks/scale.py [--write]

Speed on images is that of the MNIST sample with its trained decoder, by the default solver to its
end, on one process and on two of torchrun. Growth is measured with made images and fresh decoders
at 20 steps a sample at most, so that only the sizes differ; the .npy files stay on disk. Each line
is a process of its own, on one thread; seconds are those of its processor, memory is the most that
it has held, libraries and pages of files counted. Of a large file two shards of 1,000 are encoded,
because each shard holds as much as the one before. `--write` keeps the page in
data/results/scale.md. Takes about two minutes, and 0.8 GB of disk meanwhile.
"""

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import gfe_core as gfe
from gfe_core.data import results
from gfe_core.data.files import write_text
from gfe_core.models import Model
from gfe_core.scale import Rank, Rows, encode_shards, read_codes

HIDDEN = (150, 300, 600)
SHARD = 1000
N_STEPS = 20
TOLD = os.environ | {"OMP_NUM_THREADS": "1"}
GROWTH = {
    "samples": [(n, 20, 784) for n in (2_000, 20_000, 200_000, 1_000_000)],
    "latents": [(2_000, latents, 784) for latents in (2, 20, 64)],
    "pixels": [(2_000, 20, pixels) for pixels in (64, 784, 3072)],
}
"""(samples, latents, pixels) of each line, by what grows."""


def memory() -> float:
    """Return the most memory that this process has held, in MB.

    Not by `getrusage`, in which a process inherits the most of the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def file_of(folder: Path, n: int, pixels: int) -> Path:
    """Write n made images of bytes, some rows at a time."""
    path = folder / f"{n}-{pixels}.npy"
    if not path.exists():
        block = np.random.default_rng(0).integers(0, 256, (min(n, 10_000), pixels), np.uint8)
        values = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, pixels))
        for start in range(0, n, len(block)):
            values[start : start + len(block)] = block[: n - start]
    return path


def encoded(n: int, latents: int, pixels: int, folder: Path) -> dict[str, float]:
    """Encode two shards of a file of n rows."""
    rows = Rows.of(folder / f"{n}-{pixels}.npy")
    random = torch.Generator().manual_seed(0)
    decoder = gfe.MLPDecoder(latent_dim=latents, hidden=HIDDEN, data_dim=pixels, generator=random)
    gfe.encode(decoder, torch.rand(64, pixels, generator=random), max_steps=3)  # what is made once
    before = memory()
    seconds: list[float] = []
    encode_shards(
        Model(decoder, gfe.Bernoulli(), (pixels,)),
        rows,
        Path(tempfile.mkdtemp(dir=folder)),
        shard_size=SHARD,
        max_steps=N_STEPS,
        rank=Rank(n=n // SHARD // 2),
        tell=lambda _: seconds.append(time.process_time()),
    )
    # the first shard comes after the fingerprint, which reads the whole file
    return {"rate": SHARD / (seconds[1] - seconds[0]), "more": memory() - before, "all": memory()}


def joined(n: int, latents: int, _: int, folder: Path) -> dict[str, float]:
    """Hold all codes of n samples, as `read_codes` returns them."""
    decoder = gfe.LinearDecoder(latent_dim=latents, data_dim=latents)
    rows = Rows.of(torch.zeros(n, latents))
    out = folder / f"all-{n}"
    encode_shards(
        Model(decoder, gfe.Gaussian(), (latents,)), rows, out, shard_size=n // 10, max_steps=1
    )
    del rows
    before = int(Path("/proc/self/statm").read_text().split()[1])
    found = read_codes(out)
    after = int(Path("/proc/self/statm").read_text().split()[1])
    return {"n": len(found), "more": (after - before) * resource.getpagesize() / 2**20}


def apart(what: str, folder: Path, *sizes: int) -> dict[str, float]:
    """Return what a process of its own measures."""
    given = [what, str(folder), *map(str, sizes)]
    command = [sys.executable, __file__, "--one", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=TOLD)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def images_a_second(folder: Path, solver: str, n: int) -> float:
    """Encode the 5,000 images of the MNIST sample on n processes, and sum their reports."""
    command = ["-m", "gfe_core", "encode", "--model", str(folder / "model.pt")]
    command += ["--data", "mnist-sample", "--out", str(folder / f"{solver}-{n}")]
    command += ["--shard-size", "500", "--solver", solver]
    if n > 1:
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
        command = launch + command
    done = subprocess.run([sys.executable, *command], env=TOLD, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last: dict[str, float] = {}  # report of each process after its last shard
    for line in done.stderr.splitlines():
        if found := re.match(r"(.*)shard .* codes, ([\d,]+) samples a second", line):
            last[found[1]] = float(found[2].replace(",", ""))
    assert len(last) == n
    return sum(last.values())


def page(folder: Path) -> Iterator[str]:
    """Yield the lines of the page."""
    model = gfe.pretrained("mnist-sample", latent_dim=8)
    decoder = model.decoder
    assert isinstance(decoder, torch.nn.Module)
    gfe.save(folder / "model.pt", decoder, loss=gfe.Bernoulli())
    yield "# What one machine holds"
    yield ""
    yield (
        "Written by `python tests/benchmarks/scale.py --write`, whose head says what is measured. "
        f"One thread a process, {os.cpu_count()} processors ({platform.machine()}), load "
        f"{os.getloadavg()[0]:.1f} at the start, torch {torch.__version__}."
    )
    yield ""
    yield "## Images a second"
    yield ""
    yield (
        "The 5,000 training images of the MNIST sample, its trained decoder with 8 latents, to the "
        "end of the default stop rule; by the clock, without the start of the processes."
    )
    yield ""
    yield "| solver | one process | two processes |"
    yield "| --- | --- | --- |"
    for solver in ("amd", "lbfgs"):
        one, two = (images_a_second(folder, solver, n) for n in (1, 2))
        yield f"| {solver} | {one:.0f} | {two:.0f} |"
    yield ""
    yield (
        "Below, MB in all is the most that a process has held, MB more what of it came with the "
        f"shards. At most {N_STEPS} steps a sample, decoder widths {', '.join(map(str, HIDDEN))}, "
        f"shards of {SHARD:,} rows."
    )
    for what, lines in GROWTH.items():
        yield ""
        yield f"## Growth with {what}"
        yield ""
        yield "| samples | latents | pixels | samples/s | MB more | MB in all |"
        yield "| --- | --- | --- | --- | --- | --- |"
        for n, latents, pixels in lines:
            file_of(folder, n, pixels)
            found = apart("encoded", folder, n, latents, pixels)
            yield (
                f"| {n:,} | {latents} | {pixels} | {found['rate']:.0f} | {found['more']:.0f} | "
                f"{found['all']:.0f} |"
            )
    yield ""
    yield "## All codes at once"
    yield ""
    yield (
        "`read_codes` holds every code, energy, status and count: with 20 latents 20 x 4 + 3 x 4 + "
        "7 x 8 = 148 bytes a sample, and the parts of it while they are joined. `train` holds all "
        "data in memory, each process its own: a million images of 784 floats are 3.1 GB."
    )
    yield ""
    yield "| samples | MB held | by that count |"
    yield "| --- | --- | --- |"
    for n in (100_000, 1_000_000):
        found = apart("joined", folder, n, 20, 0)
        yield f"| {n:,} | {found['more']:.0f} | {n * 148 / 2**20:.0f} |"


def main() -> None:
    """Print the page, or what one process measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the page in data/results")
    parser.add_argument("--one", nargs="+", help="measure this alone, as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one:
        what, folder, *sizes = arguments.one
        measure = {"encoded": encoded, "joined": joined}[what]
        print(json.dumps(measure(*map(int, sizes), Path(folder))))
        return
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for line in page(Path(folder)):
            print(line, flush=True)
            lines.append(line)
    if arguments.write:
        write_text(results.folder() / "scale.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
