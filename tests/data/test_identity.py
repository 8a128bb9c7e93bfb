"""Results are named after their files only where that tells nothing of the patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle.data.identity import private_name, safe_name

PIXELS = np.full((8, 8), 5)


@pytest.mark.parametrize("name", ["hand", "00054_L_13_1", "case_7", "2nd_visit", "phantom_1000000", "joint_12345678"])
def test_a_name_that_tells_nothing_is_kept(tmp_path: Path, name: str) -> None:
    assert private_name(name, tmp_path / f"{name}.png") == name


@pytest.mark.parametrize(
    "name",
    ["1.2.840.10008.1.2", "a_1.2.826.0.1.3680043.8_b", "1_2_840_10008_1", "hand_20240131", "1958-12-03", "x19991231y"],
)
def test_uids_and_dates_are_replaced_whatever_the_file(tmp_path: Path, name: str) -> None:
    found = private_name(name, tmp_path / "a.png")
    assert found.startswith("radiograph_") and name not in found
    assert private_name(name, tmp_path / "a.png") == found != private_name(f"{name}_2", tmp_path / "a.png")


@pytest.mark.parametrize("name", ["case_doe_1", "JANE", "hand_p-4711", "acc99x", "somewhere_clinic"])
def test_what_the_header_says_of_the_patient_is_replaced(make: Callable[..., Path], name: str) -> None:
    path = make(
        PIXELS, PatientName="Doe^Jane", PatientID="P-4711", AccessionNumber="ACC99", InstitutionName="Somewhere_Clinic"
    )
    assert private_name(name, path).startswith("radiograph_")
    assert private_name("hand", path) == "hand"


def test_a_broken_header_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"no header")
    assert private_name("a", tmp_path / "a.dcm") == "a"


def test_a_safe_name_is_that_of_one_file() -> None:
    assert safe_name("../a b/c:d") == "_a_b_c_d"
