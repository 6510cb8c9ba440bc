"""`python -m gfe_core`: the command line, which lives in `gfe_core.cli`."""

import sys

from gfe_core.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
