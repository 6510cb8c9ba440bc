"""Table of `missing`, for `show_result`.

Energies of hidden pixels for each kind of gap and each method.
"""

from collections.abc import Mapping
from typing import Any

from gfe_core.widgets.kit.explorer import Document
from gfe_core.widgets.tables import Table, show_table


def hidden_pixels(result: Mapping[str, Any], *, name: str, alt_text: str) -> Document:
    """One row for each method and one column for each kind of gap.

    The lowest of each kind is marked.

    Args:
        result: content of the file; result["energy"][mask][method]["mean"] is in nats per hidden
            pixel.
        name: of the explorer.
        alt_text: one sentence that says what to see, without numbers.
    """
    energy: Mapping[str, Mapping[str, Any]] = result["energy"]
    methods = list(dict.fromkeys(method for found in energy.values() for method in found))
    rows = {
        m: [found[m]["mean"] if m in found else None for found in energy.values()] for m in methods
    }
    table = Table(
        ("hidden", *energy), rows, "Mean energy of hidden pixels, nats", digits=3, down=True
    )
    return show_table(table, name, alt_text)
