"""The command line, `python -m gfe_core COMMAND`: one module for each command."""
