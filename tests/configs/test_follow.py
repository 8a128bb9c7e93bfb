"""Hands of a patient in two folders are followed joint by joint, and a second run writes the same."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.io.dicom_writing import DicomStudy, write_dicom
from bundle.phantoms import with_joint_space
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from tests.configs.conftest import of_job

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")
SIZE, GREY = 64, 0.4
SPACING = 21 / SIZE
WIDTHS = {"2019/a.dcm": ("20190305", "mcp2", 1.9), "2020/b.dcm": ("20200304", "Index", 1.2)}


def write(path: Path, day: str, mark: str, width: float) -> None:
    """Write a hand with one joint of a phantom of this joint space, and its mark in a CSV with semicolons."""
    shown = render(with_joint_space(sample_parameters(7, size=SIZE, spacing=SPACING), width)).image
    hand = torch.full((1, SIZE + 20, SIZE + 20), GREY)
    hand[:, 10:-10, 10:-10] = shown
    made = DicomStudy("1", path.stem, "R").image(hand[0].numpy(), (SPACING, SPACING), "a phantom", synthetic=True)
    made.PatientID, made.StudyDate = "planted-4711", day
    path.parent.mkdir(parents=True, exist_ok=True)
    write_dicom(path, made)
    middle = f"{(SIZE + 19) / 2}".replace(".", ",")
    path.with_suffix(".csv").write_text(f"Name;X;Y;Direction X;Direction Y\n{mark};{middle};{middle};0;-1\n")


@pytest.mark.slow
def test_two_visits_in_two_folders_are_followed(bundle: Any, tmp_path: Path) -> None:
    for place, known in WIDTHS.items():
        write(tmp_path / "Data" / place, *known)
    options = {"dataset_dir": str(tmp_path / "Data"), "output_dir": str(tmp_path / "out"), "image_size": SIZE}
    options["recentre"] = False  # the frame fills the radiograph
    bundle.run("following", *of_job("follow"), **options)
    table = tmp_path / "out" / "narrowing.csv"
    first, later = csv.DictReader(table.open(newline=""))
    assert first["patient"] == later["patient"] and first["patient"].startswith("patient_")
    assert (first["side"], first["finger"], first["joint"]) == ("R", "index", "MCP")
    assert (first["days"], later["days"], first["change_mm"]) == ("0", "365", "")
    assert float(later["joint_space_mm"]) - float(first["joint_space_mm"]) == pytest.approx(-0.7, abs=0.2)
    assert float(later["change_mm"]) == pytest.approx(-0.7, abs=0.2) and later["exceeds"] == "true"
    assert float(later["registered_change_mm"]) == pytest.approx(-0.7, abs=0.25)
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == [f"narrowing_{first['patient']}.png"]
    written = "".join(path.read_text() for path in (tmp_path / "out").rglob("*.*") if path.suffix in (".csv", ".jsonl"))
    assert "4711" not in written and "20190305" not in written and "20200304" not in written
    before = table.read_text()
    bundle.run("following", *of_job("follow"), **options)
    assert table.read_text() == before
