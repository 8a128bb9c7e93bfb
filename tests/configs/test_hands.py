"""Folders of hand radiographs with marked joints: through the whole chain, as a user runs it."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from bundle.io.dicom import read_dicom
from bundle.io.dicom_writing import DicomStudy, write_dicom
from bundle.io.frames import JointFrame, JointPlace
from bundle.io.joints import joint_items
from bundle.io.lists import FOLDER
from bundle.io.reading import read_layers, read_mask
from bundle.io.writing import write_image, write_masks
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.masks import continue_to_border
from bundle.registration.pair_lists import pairs_of_joint
from monai.metrics import compute_dice
from PIL import Image
from tests.configs.conftest import of_job

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

SPACING = (0.12, 0.12)
INFERENCE = ("inference.json",)
DICOM = of_job("infer_dicom")
SYNTHESIS = of_job("synthesize_dicom")
SPOTS = {"index": ((210.0, 220.0), (0.3, -1.0)), "ring": ((480.0, 230.0), (-0.2, -1.0))}
PLANTED = {
    "PatientName": "Plantedname^Plantedgiven",
    "PatientID": "planted-4711",
    "PatientBirthDate": "19010203",
    "StudyDate": "19040506",
    "AccessionNumber": "planted-acc",
    "InstitutionName": "Planted Hospital",
    "StudyInstanceUID": "1.2.3.4.5.6789",
    "SeriesInstanceUID": "1.2.3.4.5.6789.1",
    "SOPInstanceUID": "1.2.3.4.5.6789.2",
}


@pytest.fixture(scope="module")
def phantoms() -> dict[str, Phantom]:
    return {name: render(sample_parameters(seed, outline_gap_mm=1.5)) for seed, name in enumerate(SPOTS, start=23)}


@pytest.fixture(scope="module")
def hand(phantoms: dict[str, Phantom]) -> torch.Tensor:
    """A hand (1, 450, 700) of two phantoms, each turned along its finger."""
    grey = 0.4
    image = torch.full((1, 450, 700), grey)
    for name, (center, direction) in SPOTS.items():
        frame = JointFrame(JointPlace(name, center, direction), SPACING)
        image = frame.paste(image, torch.full((1, 256, 256), grey), phantoms[name].image)
    return image


def mark(path: Path) -> None:
    """Write the points of a hand beside it."""
    rows = [f"{name},{x},{y},{u},{v}" for name, ((x, y), (u, v)) in SPOTS.items()]
    path.with_suffix(".csv").write_text("\n".join(["name,x,y,direction_x,direction_y", *rows]))


def write_hand(path: Path, hand: torch.Tensor, **attributes: str) -> Path:
    """Write a hand as DICOM, as a hospital has it, with its points."""
    made = DicomStudy("1", path.stem, "R").image(hand[0].numpy(), SPACING, "a phantom", synthetic=True)
    for name, value in attributes.items():
        setattr(made, name, value)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    write_dicom(path, made)
    mark(path)
    return path


def options(folder: Path, **more: Any) -> dict[str, Any]:
    return {"dataset_dir": str(folder / "Data"), "datalist": "*", "output_dir": str(folder / "out"), **more}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_the_joints_of_a_hand_are_found_and_separated(
    bundle: Any, tmp_path: Path, hand: torch.Tensor, phantoms: dict[str, Phantom]
) -> None:
    write_hand(tmp_path / "Data" / "a.dcm", hand)
    bundle.run("evaluating", *INFERENCE, **options(tmp_path, recentre=False))
    for name, phantom in phantoms.items():
        begin = tmp_path / "out" / f"Data_a_{name}"
        drawn = torch.from_numpy(np.stack([read_mask(f"{begin}_mask_{bone}.png") for bone in ("lower", "upper")]))
        given = continue_to_border(phantom.masks) > 0.5
        assert float(compute_dice(drawn[None].float(), given[None].float()).min()) > 0.9
        layers = read_layers(tmp_path / "out", f"Data_a_{name}", (256, 256))
        shown = 1.0 - (1.0 - layers).prod(dim=0)
        inside = slice(24, -24)
        assert float((shown - phantom.image[0])[inside, inside].abs().mean()) < 0.02
    found = lines(tmp_path / "out" / "quality.jsonl")
    assert {line["masks"] for line in found} == {"predicted"}


@pytest.mark.long
def test_a_hand_with_one_changed_joint_is_the_same_elsewhere(bundle: Any, tmp_path: Path, hand: torch.Tensor) -> None:
    source = write_hand(tmp_path / "Data" / "a.dcm", hand)
    bundle.run("synthesizing", *SYNTHESIS, **options(tmp_path, changes_mm=[0.6], recentre=False))
    before = read_dicom(source).intensity
    out = tmp_path / "out"
    for line in lines(out / "truth-000000.jsonl"):
        assert line["joint_space_after_mm"] - line["joint_space_before_mm"] == pytest.approx(0.6, abs=0.1)
        name = line["joint"].rpartition("_")[2]
        frame = JointFrame(JointPlace(name, *SPOTS[name]), SPACING)
        outside = frame.covers(before.shape).numpy() == 0.0
        with Image.open(out / "radiographs-000000" / f"{line['key']}.hand.png") as picture:
            after = np.asarray(picture).astype(np.int64)
        stored = np.round(before.astype(np.float64) * 65535)
        assert (after[outside] == stored[outside]).all()
        assert np.abs(after - stored)[~outside].max() > 0.05 * 65535
        written = pydicom.dcmread(out / "radiographs-000000" / f"{line['key']}.hand.dcm")
        np.testing.assert_array_equal(written.pixel_array, after)
        assert written.SyntheticData == "YES" and list(map(float, written.PixelSpacing)) == list(SPACING)


@pytest.mark.long
def test_a_validator_finds_no_error_in_any_result(
    bundle: Any, tmp_path: Path, hand: torch.Tensor, dicom_errors: Callable[[Path], list[str]]
) -> None:
    write_hand(tmp_path / "Data" / "a.dcm", hand, **PLANTED)
    bundle.run("evaluating", *DICOM, **options(tmp_path, weights="none"))
    more = {
        "output_dir": str(tmp_path / "out2"),
        "weights": "none",
        "changes_mm": [0.5],
        "keep_identity": True,
        "gate#plausible": False,
    }
    bundle.run("synthesizing", *SYNTHESIS, **{**options(tmp_path), **more})
    files = [path for out in ("out", "out2") for path in (tmp_path / out).rglob("*.dcm")]
    assert len(files) == 2 * (6 + 3), sorted(path.name for path in files)
    assert {path.name: dicom_errors(path) for path in files if dicom_errors(path)} == {}


def content(path: Path) -> bytes:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.name.endswith(".gz") else data).lower()


@pytest.mark.long
def test_nothing_of_the_patient_is_in_results_names_or_logs(commands: Any, tmp_path: Path, hand: torch.Tensor) -> None:
    folder = tmp_path / "Data" / "Plantedname Plantedgiven"
    write_hand(folder / "1.2.3.4.5.6789.2.dcm", hand, **PLANTED)
    write_hand(folder / "planted-4711.dcm", hand, **PLANTED)
    (folder / "1.2.3.4.5.6789.3.dcm").write_bytes(b"truncated")
    for number, (run_id, configs, more) in enumerate(
        (("evaluating", DICOM, {}), ("synthesizing", SYNTHESIS, {"changes_mm": "[0.5]"}))
    ):
        out = tmp_path / f"out{number}"
        settings = {**options(tmp_path, strict="false", weights="none", **more), "output_dir": str(out)}
        result = commands.command(run_id, *configs, **settings)
        assert result.returncode == 0, result.stderr
        said = [("log", (result.stdout + result.stderr).lower().encode())]
        found = [path for path in out.rglob("*") if path.is_file()]
        files = [(path.name, str(path.relative_to(out)).lower().encode() + content(path)) for path in found]
        assert len(files) > 30 and len(lines(next(out.rglob("rejected.jsonl")))) == 1
        for name, text in said + files:
            for planted in (*PLANTED.values(), "plantedname", "plantedgiven", "planted hosp"):
                assert planted.lower().encode() not in text, (planted, name)


@pytest.mark.long
def test_identity_is_kept_only_when_it_is_asked_for(bundle: Any, tmp_path: Path, hand: torch.Tensor) -> None:
    write_hand(tmp_path / "Data" / "a.dcm", hand, **PLANTED)
    bundle.run("evaluating", *DICOM, **options(tmp_path, keep_identity=True))
    for path in (tmp_path / "out").glob("*.dcm"):
        found = pydicom.dcmread(path)
        assert found.PatientID == PLANTED["PatientID"] and found.StudyInstanceUID == PLANTED["StudyInstanceUID"]
        assert found.SOPInstanceUID != PLANTED["SOPInstanceUID"] and found.PatientIdentityRemoved == "NO"


@pytest.mark.slow
@pytest.mark.parametrize("listed", [False, True])
def test_two_hands_of_a_patient_are_compared_joint_by_joint(tmp_path: Path, hand: torch.Tensor, listed: bool) -> None:
    """Those of one folder, or of one "joint" in a list; not the other hand."""
    folder, datalist = tmp_path / "Data", FOLDER
    places = {"a": "2019" if listed else ".", "b": "2024" if listed else "."}
    for name, place in places.items():
        write_hand(folder / place / f"{name}.dcm", hand)
    other = write_hand(folder / places["a"] / "c.dcm", hand, ImageLaterality="L")
    if listed:
        files = [f"{place}/{name}" for name, place in places.items()] + [f"{places['a']}/{other.stem}"]
        entries = [{"image": f"{file}.dcm", "points": f"{file}.csv", "joint": "patient"} for file in files]
        datalist = "hands.json"
        (folder / datalist).write_text(json.dumps(entries))
    joints = joint_items(str(folder), datalist, segment=Whole())
    assert len(joints) == 6
    found = {tuple(joints[row]["name"] for row in rows) for rows in pairs_of_joint(joints)}
    begin = "patient" if listed else "Data"
    assert found == {(f"{begin}_a_{mark}", f"{begin}_b_{mark}") for mark in SPOTS}


class Whole:
    """Draws the lower half as one bone and the upper as the other."""

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        half = torch.arange(image.shape[1])[:, None].expand(image.shape[1:]) >= image.shape[1] // 2
        return torch.stack([half, ~half]).float()


@pytest.mark.long
def test_a_picture_needs_its_spacing_said(bundle: Any, tmp_path: Path, hand: torch.Tensor) -> None:
    (tmp_path / "Data").mkdir()
    path = tmp_path / "Data" / "a.png"
    Image.fromarray((hand[0].numpy() * 255).round().astype(np.uint8)).save(path)
    mark(path)
    assert "Pass --spacing MM" in bundle.refusal("evaluating", *INFERENCE, **options(tmp_path))
    bundle.run("evaluating", *INFERENCE, **options(tmp_path, spacing=SPACING[0]))
    assert len(lines(tmp_path / "out" / "quality.jsonl")) == 2


def wait_for(what: Callable[[], bool], process: Any) -> None:
    end = time.monotonic() + 180.0
    while not what():
        assert process.poll() is None and time.monotonic() < end, "ended, or nothing was done"
        time.sleep(0.05)


@pytest.mark.long
def test_a_stopped_folder_goes_on_and_broken_hands_are_listed(
    commands: Any, tmp_path: Path, hand: torch.Tensor
) -> None:
    for number in range(6):
        write_hand(tmp_path / "Data" / f"hand{number}.dcm", hand * (1.0 - 0.02 * number))
    broken = tmp_path / "Data" / "hand4.dcm"
    broken.write_bytes(broken.read_bytes()[:50_000])
    (tmp_path / "Data" / "hand5.csv").unlink()
    settings = options(tmp_path, strict="false", weights="none", batch_size=1)
    record = tmp_path / "out" / "quality.jsonl"
    process = commands.start("evaluating", *INFERENCE, **settings)
    wait_for(lambda: record.is_file() and len(record.read_text().splitlines()) >= 3, process)
    process.kill()
    process.communicate()
    done = record.read_text().splitlines()[:3]
    assert len(done) < 8
    result = commands.command("evaluating", *INFERENCE, **settings)
    assert result.returncode == 0, result.stderr
    assert "of 8 joints are already done" in result.stdout + result.stderr
    names = [line["name"] for line in lines(record)]
    assert sorted(names) == sorted(f"Data_hand{number}_{joint}" for number in range(4) for joint in SPOTS)
    assert record.read_text().splitlines()[:3] == done
    rejected = {line["name"]: line["reason"] for line in lines(tmp_path / "out" / "rejected.jsonl")}
    assert set(rejected) == {"Data_hand4", "Data_hand5"}
    assert "the Pixel Data" in rejected["Data_hand4"] and "cannot be decoded" in rejected["Data_hand4"]
    assert "mark the joints of a hand with points" in rejected["Data_hand5"]
    again = commands.command("evaluating", *INFERENCE, **settings)
    assert again.returncode == 0 and "All joints are done" in again.stdout + again.stderr


@pytest.mark.long
def test_joints_with_and_without_masks_are_separated_together_and_given_masks_count(
    bundle: Any, tmp_path: Path, phantoms: dict[str, Phantom]
) -> None:
    folder = tmp_path / "Data"
    folder.mkdir()
    for name, phantom in phantoms.items():
        write_image(folder / f"{name}.png", phantom.image)
    write_masks(folder, "index", phantoms["index"].masks)
    bundle.run("evaluating", *INFERENCE, **options(tmp_path, weights="none", batch_size=2))
    found = {line["name"]: line["masks"] for line in lines(tmp_path / "out" / "quality.jsonl")}
    assert found == {"Data_index": "given", "Data_ring": "predicted"}
    written = {path.name for path in (tmp_path / "out").glob("*_mask_*.png")}
    assert written == {"Data_ring_mask_lower.png", "Data_ring_mask_upper.png"}
