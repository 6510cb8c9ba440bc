"""The static pages: the notebooks with interactive views, which need nothing but a browser.

Each notebook runs once (running), which gives the state of every view (views). Text and saved
outputs become pages (text, pages), which are written beside the scripts that they share (building).
"""

from gfe_core.site.building import build

__all__ = ["build"]
