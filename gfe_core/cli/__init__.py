"""The command line.

`python -m gfe_core doctor | lab | train | evaluate | reproduce | claims | decoders`.
"""
