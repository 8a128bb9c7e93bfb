"""Freed memory stays with the process where this is requested."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

RESIDENT = """
import sys
from pathlib import Path
import numpy as np
from bundle.base.memory import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

if sys.argv[1] == "kept":
    assert keep_freed_memory()
before = resident()
arrays = [np.ones(2**17) for _ in range(64)]
used = resident() - before
del arrays
print((resident() - before) / used)
"""


def share_left(how: str) -> float:
    """Share of 64 MiB that a process still holds after it has freed them."""
    done = subprocess.run([sys.executable, "-c", RESIDENT, how], capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_freed_memory_stays_with_the_process() -> None:
    assert share_left("kept") > 0.9
    assert share_left("returned") < 0.1
