"""The static pages: the notebooks, with their views alive, for a browser and nothing else.

Notebooks run once (running), which says the state of every view (views); their text and saved
outputs become pages (text, pages), which are written beside the scripts that they share (building).
"""

from gfe_core.site.building import build

__all__ = ["build"]
