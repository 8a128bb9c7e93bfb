"""What every test shares: one thread each (pytest-xdist runs several), no display, repeatable Hypothesis, real data."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["JOINT_RUNTIME"] = "torch"  # results do not depend on what else is installed

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import pytest
import torch
from bundle.io.reservations import release_outputs
from hypothesis import settings

matplotlib.use("Agg")
torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A long test is slow, too."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def outputs_released() -> Iterator[None]:
    """Folders that a test has claimed are given back, as at the end of a process."""
    yield
    release_outputs()


@pytest.fixture(scope="session")
def dicom_errors() -> Callable[[Path], list[str]]:
    """Errors that the validator dciodvfy finds in a DICOM file; skips where it is not installed."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy of dicom3tools is not installed")

    def found(path: Path) -> list[str]:
        said = subprocess.run([program, path], capture_output=True, text=True, check=False).stderr
        errors = [line for line in said.splitlines() if line.startswith("Error")]
        # Synthetic Data is younger than the dictionary of the validator
        return [line for line in errors if "(0x0008,0x001c)" not in line]

    return found


@pytest.fixture(scope="session")
def joint_data() -> Path:
    """Folder ``Data`` of the public set that the environment variable ``JOINT_DATA`` names; skips where none does."""
    named = os.environ.get("JOINT_DATA")
    if not named:
        pytest.skip("the environment variable JOINT_DATA does not name the folder Data of the public set")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"expected JOINT_DATA to name a folder, got {folder}")
    return folder
