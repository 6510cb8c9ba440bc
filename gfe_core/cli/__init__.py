"""The command line.

`python -m gfe_core doctor | train | evaluate | reproduce | claims | decoders`.
"""
