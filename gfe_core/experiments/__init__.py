"""Long runs whose results the project ships; each is a command of `python -m gfe_core`."""
