"""Ctrl-C ends a script in one line, also while it imports its libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [path for path in sorted((ROOT / "scripts").glob("*.py")) if "end_when_interrupted()" in path.read_text()]

STOPPED = """
import builtins, os, runpy, signal, sys
plain = builtins.__import__

def importing(name, *more):
    if name.split(".")[0] in ("torch", "bundle") and name != "bundle.interruption":
        os.kill(os.getpid(), signal.SIGINT)
    return plain(name, *more)

sys.path[0] = os.path.dirname(sys.argv[1])
builtins.__import__ = importing
runpy.run_path(sys.argv[1], run_name="__main__")
"""
"""Runs a script, and interrupts it at its first import that takes long."""


def interrupted(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_that_is_interrupted_while_it_imports_says_so_in_a_line(script: Path) -> None:
    assert interrupted(STOPPED, str(script)) == (130, "\nstopped\n")


@pytest.mark.slow
def test_an_interrupted_program_whose_errors_are_reported_plainly_says_so_in_a_line() -> None:
    program = "from bundle.errors import report_plainly\nreport_plainly()\nraise KeyboardInterrupt"
    assert interrupted(program) == (130, "\nstopped\n")


def test_after_the_imports_ctrl_c_raises_again_and_other_handlers_are_kept() -> None:
    begin = "import os, signal\nfrom bundle.interruption import end_when_interrupted, raise_when_interrupted\n"
    stop = "os.kill(os.getpid(), signal.SIGINT)"
    raised = f"end_when_interrupted()\nraise_when_interrupted()\ntry:\n    {stop}\nexcept KeyboardInterrupt:\n    pass"
    own = f"signal.signal(signal.SIGINT, signal.SIG_IGN)\nend_when_interrupted()\nraise_when_interrupted()\n{stop}"
    assert interrupted(begin + raised) == interrupted(begin + own) == (0, "")


def test_every_script_that_imports_the_package_ends_in_a_line() -> None:
    others = {path.name for path in (ROOT / "scripts").glob("*.py")} - {path.name for path in SCRIPTS}
    assert others == {"__init__.py", "repeated_lines.py", "verify_bundle.py"}
