"""Resolve all requirements files with the running Python, without installation; skip those for other Pythons.

python scripts/check_requirements.py [FILE ...]

The first comment of each file states its Pythons: ``Python 3.10 to 3.12``, or ``Python 3.11``. A file that another one
includes is resolved with it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

from bundle.errors import InputError, report_plainly

_INCLUDED = re.compile(r"^-r (\S+)$", re.MULTILINE)
_STATED = re.compile(r"Python 3\.(\d+)(?: to 3\.(\d+))?")


def stated_pythons(path: Path) -> range:
    """Return the minor versions of Python 3 that the head of a requirements file states.

    Raises:
        InputError: the file is missing, or states none.
    """
    if not path.is_file():
        msg = f"{path}: no such requirements file. Correct the path."
        raise InputError(msg)
    head = path.read_text(encoding="utf-8").split("\n\n")[0]
    comments = "\n".join(line for line in head.splitlines() if line.startswith("#"))
    stated = _STATED.search(comments)
    if not stated:
        msg = f"{path.name}: the head states no Python version. Begin it with a comment such as Python 3.10 to 3.12."
        raise InputError(msg)
    first = int(stated[1])
    return range(first, int(stated[2] or first) + 1)


def outermost(paths: Sequence[Path]) -> list[Path]:
    """Return the files that none of the others includes (``-r FILE``)."""
    included = {path.parent / name for path in paths for name in _INCLUDED.findall(path.read_text(encoding="utf-8"))}
    return [path for path in paths if path not in included]


def resolve(path: Path) -> None:
    """Resolve a requirements file with pip.

    Raises:
        InputError: pip cannot resolve it.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--requirement", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join(line for line in done.stderr.splitlines() if line.startswith("ERROR")) or done.stderr
        msg = f"{path.name}: pip cannot install it. Change its pins.\n{said}"
        raise InputError(msg)


def check(path: Path, minor: int = sys.version_info.minor) -> str:
    """Resolve a file, or state why it is skipped."""
    stated = stated_pythons(path)
    if minor not in stated:
        last = f" to 3.{stated[-1]}" if len(stated) > 1 else ""
        return f"{path.name}: skipped: it is for Python 3.{stated[0]}{last}, this is 3.{minor}"
    resolve(path)
    return f"{path.name}: resolves with Python 3.{minor}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and check."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument(
        "files", nargs="*", type=Path, help="default: all files of the repository that no other file includes"
    )
    for path in options.parse_args(arguments).files or outermost(sorted(ROOT.glob("requirements*.txt"))):
        print(check(path), flush=True)


if __name__ == "__main__":
    report_plainly()
    main()
