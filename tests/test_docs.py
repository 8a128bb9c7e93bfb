"""The lines of docs/python.md, run as they stand on files of a phantom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from bundle.io.dicom import read_dicom
from bundle.io.dicom_writing import DicomStudy, write_dicom
from bundle.io.reading import read_radiograph
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import draw_parameters
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
MARGIN = 40
WIDENED = """
assert abs(float(wider.joint_space.mean - layers.joint_space.mean) - 0.5) < 0.05
"""


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return render(draw_parameters(7))


@pytest.fixture
def folder(phantom: Phantom, tmp_path: Path) -> Path:
    """The files that the document speaks of; the hand is the phantom with a margin."""
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "finger_joint_layer_separation").symlink_to(ROOT)
    pictures = {"joint": phantom.image[0], "lower": phantom.masks[0] > 0.5, "upper": phantom.masks[1] > 0.5}
    for name, values in pictures.items():
        Image.fromarray((values.float() * 255).round().byte().numpy()).save(tmp_path / f"{name}.png")
    hand = np.pad(phantom.image[0].numpy(), MARGIN, mode="edge")
    study = DicomStudy("1", "hand", "L")
    write_dicom(tmp_path / "hand.dcm", study.image(hand, (21 / 256, 21 / 256), "a phantom", True))
    middle = MARGIN + 127.5
    (tmp_path / "points.csv").write_text(f"name,x,y,direction_x,direction_y\nindex,{middle},{middle},0,-1\n")
    return tmp_path


def run(code: str, folder: Path) -> None:
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, env=path
    )
    assert result.returncode == 0, result.stderr


def test_the_first_program_changes_a_joint_space(folder: Path, phantom: Phantom) -> None:
    run(BLOCKS[0] + WIDENED, folder)
    made = read_radiograph(folder / "wider.png")
    assert made.shape == (256, 256)
    assert np.abs(made - phantom.image[0].numpy()).max() > 0.05


def test_every_line_of_the_document_runs_and_holds(folder: Path) -> None:
    checks = """
dice = 2 * (predicted.masks * joint.masks).sum() / (predicted.masks + joint.masks).sum()
assert float(dice) > 0.9, dice
assert reading.found and abs(reading.jsn_mm + 0.5) < 0.05, reading
assert network is not None
"""
    run("".join(BLOCKS) + checks, folder)
    before, after = read_dicom(folder / "hand.dcm"), read_dicom(folder / "narrower.dcm")
    change = np.abs(after.intensity - before.intensity)
    inside = np.zeros(change.shape, bool)
    inside[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    assert (change[~inside] == 0.0).all()
    assert change[inside].max() > 0.02
    assert pydicom.dcmread(folder / "narrower.dcm").SyntheticData == "YES"
    assert after.laterality == "L"
