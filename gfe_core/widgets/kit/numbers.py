"""Write numbers in Python as the browser's scripts do."""

import math

NUMBERS = "font-size: 13px; line-height: 1.5; font-variant-numeric: tabular-nums"
"""CSS of lines that hold numbers."""


def tidy(value: float) -> str:
    """Write a number for an axis, with at most three digits."""
    if not math.isfinite(value):
        return "not finite"
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, power = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(power)}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
