"""What every test shares: one thread each (pytest-xdist runs several), no display, repeatable Hypothesis, real data."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import matplotlib
import pytest
import torch
from hypothesis import settings

matplotlib.use("Agg")
torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("repeatable")


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
