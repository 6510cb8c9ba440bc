"""Pages written from the result files.

CLAIMS.md among the notebooks, README.md among the results.
"""

from pathlib import Path

from gfe_core.data import results
from gfe_core.experiments import claims, speed
from gfe_core.experiments.tables import NAMES, experiment

_HEAD = """# Results

The tables of all result files in this folder, as their commands print them; written by `python -m gfe_core claims`, and
a test keeps the page so. Energies are means over test images in nats per pixel, ± the standard deviation over seeds.
Each file also holds every run with its settings, seed, versions, machine and seconds.

[What the sources claim](../../notebooks/CLAIMS.md) is judged by these numbers, and [what one machine holds](scale.md)
when there are many samples is measured apart.
"""


def tables() -> str:
    """Question, command, note and table of every experiment that has a result file."""
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
        found = results.load("bench")
        parts.append(
            f"## bench\n\nHow fast are codes found? `make bench`\n\n{speed.table(found)}\n"
        )
    return "\n".join(parts)


def pages() -> dict[Path, str]:
    """Where each page lies, and its text."""
    folder = results.folder()
    claimed = folder.parents[1] / "notebooks" / "CLAIMS.md"
    return {claimed: claims.page(), folder / "README.md": tables()}
