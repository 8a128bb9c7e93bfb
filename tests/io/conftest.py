"""A writer of DICOM files, and data sets in the public layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid
from tests.io.joint_folders import write_joint, write_list
from tests.io.packs import joint

CR = "1.2.840.10008.5.1.4.1.1.1"


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Write a CR image of the given stored values and attributes; None leaves an attribute out."""

    def write(pixels: np.ndarray, bits: int = 12, syntax: UID = ExplicitVRLittleEndian, **attributes: Any) -> Path:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(attributes.get("SOPClassUID") or CR)
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = Dataset()
        dataset.file_meta = meta
        signed = bool((pixels < 0).any())
        allocated = 8 if bits <= 8 else 16
        given = {
            "SOPClassUID": CR,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "Modality": "CR",
            "PatientName": "Planted^Name",
            "Rows": pixels.shape[0],
            "Columns": pixels.shape[1],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": allocated,
            "BitsStored": bits,
            "HighBit": bits - 1,
            "PixelRepresentation": int(signed),
            "PixelSpacing": [0.1, 0.2],
            "PixelData": pixels.astype(f"<{'i' if signed else 'u'}{allocated // 8}").tobytes(),
        }
        for name, value in {**given, **attributes}.items():
            if value is not None:
                setattr(dataset, name, value)
        dataset["PixelData"].VR = "OW" if allocated == 16 else "OB"
        path = tmp_path / f"{generate_uid()}.dcm"
        _save(dataset, syntax, path)
        return path

    return write


def _save(dataset: Dataset, syntax: UID, path: Path) -> None:
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        dataset.compress(syntax)
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(
        path, enforce_file_format=True, little_endian=syntax.is_little_endian, implicit_vr=syntax.is_implicit_VR
    )


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """Four joints of two images each, one of them overlapping, in a list with a partner of one joint."""
    root = tmp_path / "Data"
    joints = ("00054_L_13", "00086_R_11", "00111_L_5", "00307_R_8")
    entries = [write_joint(root, f"cases/{joint}", stem) for joint in joints for stem in ("one", "two")]
    entries[3] = write_joint(root, "cases/00086_R_11", "two", common_rows=1)
    write_list(root, "LS_train", entries)
    write_list(root, "LS_test", [write_joint(root, "cases/00400_L_2", "one")])
    write_list(root, "alone.json", entries)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set in the public layout with a list to train on and one to test on."""
    root = tmp_path / "Data"
    joints = [joint(root, f"cases/0000{n}_{'LR'[n % 2]}_{(2, 5, 11)[n % 3]}", n, overlap=2 * n) for n in range(4)]
    more = joint(root, "cases/00000_L_2", 9, ".png") | {"spacing": 0.3}
    write_list(root, "K_train", [*joints, more])
    write_list(root, "K_test.json", [joint(root, "cases/00007_R_8", 7)])
    return root
