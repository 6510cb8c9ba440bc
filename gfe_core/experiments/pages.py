"""Pages written from the result files: notebooks/CLAIMS.md and data/results/README.md."""

from pathlib import Path

from gfe_core.data import results
from gfe_core.experiments import claims, speed
from gfe_core.experiments.tables import NAMES, experiment

_HEAD = """# Results

The tables of all result files in this folder, as their commands print them. `python -m gfe_core claims` writes this page,
and a test checks that it is up to date. Energies are means over test images in nats per pixel, ± the standard deviation
over seeds. Each file also holds every run with its settings, seed, versions, machine and seconds.

[The claims of the sources](../../notebooks/CLAIMS.md) are judged by these numbers. [A separate page](scale.md) measures
how many samples one machine can handle.
"""


def tables() -> str:
    """Return question, command, note and table of every experiment that has a result file."""
    parts = [_HEAD]
    for name in NAMES:
        if results.find(name):
            one = experiment(name)
            content = results.load(name)
            parts.append(
                f"## {name}\n\n{one.question} `{content['command']}`\n\n{one.note}\n\n"
                f"{one.table(content)}\n"
            )
    if results.find("bench"):
        bench = results.load("bench")
        parts.append(
            f"## bench\n\nHow fast are codes found? `make bench`\n\n{speed.table(bench)}\n"
        )
    if results.find("race"):
        parts.append(
            "## race\n\nIs the kit's LBFGS ahead of today's solvers? `make bench`\n\n"
            f"{speed.race_table(results.load('race'))}\n"
        )
    return "\n".join(parts)


def pages() -> dict[Path, str]:
    """Return the text of each page by its path."""
    folder = results.folder()
    claimed = folder.parents[1] / "notebooks" / "CLAIMS.md"
    return {claimed: claims.page(), folder / "README.md": tables()}
