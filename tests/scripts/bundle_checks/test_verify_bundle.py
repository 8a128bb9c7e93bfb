"""The command: a line for each check, and an exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from scripts import verify_bundle
from tests.scripts.bundle_checks.small_bundle import ROOT, failures


@pytest.mark.slow
def test_a_good_bundle_passes_every_check(root: Path) -> None:
    assert failures(root) == {}


def run_script(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "verify_bundle.py"), str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_command_prints_a_line_for_each_check_and_its_exit_code_says_whether_all_passed(root: Path) -> None:
    result = run_script(root)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert [line[:4] for line in lines[:-1]] == ["ok  "] * len(verify_bundle.checks(root))
    assert lines[-1] == "all checks passed"
    (root / "LICENSE").unlink()
    result = run_script(root)
    assert result.returncode == 1
    assert "FAIL  necessary and preferred files: missing LICENSE" in result.stdout
    assert result.stdout.splitlines()[-1] == "1 checks failed"
