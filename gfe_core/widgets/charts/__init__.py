"""Plotly figures, and the explorers that draw with them."""
