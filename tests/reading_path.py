"""What a reader of one encode reads: `python tests/reading_path.py`.

Follows `gfe.encode` with AMD, a fully connected decoder and digits, and counts the lines of code of
every file in which a function ran, without blank lines, comments and docstrings. Files that those
import but that this encode never enters are counted apart.
"""

import ast
import io
import sys
import tokenize
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gfe_core"
ROOMS = (
    *("types.py", "checks.py", "arguments.py", "threads.py", "data", "decoders"),
    "energy",
    *("flows.py", "solvers", "adjoints", "encoding.py"),
)
"""The reading path, from the ground up."""
IDLE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(path: Path) -> int:
    """Count the lines that hold code."""
    source = path.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {n for t in tokens if t.type not in IDLE for n in range(t.start[0], t.end[0] + 1)}
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def entered() -> list[Path]:
    """Return the files of the package in which one encode runs a function, in reading order."""
    import gfe_core as gfe

    digits = gfe.data.load("digits", split="test").x[:20]
    decoder = gfe.MLPDecoder(latent_dim=8, hidden=(32,), data_dim=64)
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        gfe.encode(decoder, digits, max_steps=50)
    finally:
        sys.setprofile(None)
    paths = {Path(name) for name in files if PACKAGE in Path(name).parents}
    # The vocabulary is data classes and protocols, whose generated code lies in no file.
    return in_order(paths | {PACKAGE / "types.py"})


def in_order(paths: set[Path]) -> list[Path]:
    """Sort files as they are read: by subpackage, and in each what is imported comes first."""
    loaded = [module.__file__ for module in sys.modules.values() if hasattr(module, "__file__")]
    places = {Path(name).resolve(): place for place, name in enumerate(loaded) if name}

    def key(path: Path) -> tuple[int, int]:
        return ROOMS.index(path.relative_to(PACKAGE).parts[0]), places[path.resolve()]

    return sorted(paths, key=key)


def imported(paths: list[Path]) -> set[Path]:
    """Return the files of the package that some files import, and what those import in turn."""
    found: set[Path] = set()
    waiting = list(paths)
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("gfe_"):
                continue
            base = ROOT.joinpath(*(node.module or "").split("."))
            names = [base / alias.name for alias in node.names]
            for candidate in (base, *names):
                for path in (candidate.with_suffix(".py"), candidate / "__init__.py"):
                    if path.is_file() and path not in found and path != PACKAGE / "__init__.py":
                        found.add(path)
                        waiting.append(path)
    return found


def main() -> None:
    """Print the count, file by file."""
    path = entered()
    for file in path:
        print(f"{code_lines(file):6d}  {file.relative_to(ROOT)}")
    count = sum(map(code_lines, path))
    print(f"{count:6d}  lines of code in {len(path)} files that one encode enters")
    others = imported(path) - set(path)
    total = sum(map(code_lines, others))
    print(f"{total:6d}  in {len(others)} further files that those import and it does not enter")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
