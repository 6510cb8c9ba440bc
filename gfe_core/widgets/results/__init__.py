"""The committed results as tables and figures, one module for each group of experiments."""
