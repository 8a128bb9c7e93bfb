"""Joints that cannot be used are reported by name with the reason; overlap is marked."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from bundle.errors import InputError
from bundle.io.audit import audit, audited
from bundle.io.joints import joint_items
from bundle.io.lists import FOLDER, read_datalist
from bundle.io.writing import LONGEST_NAME, PART, RESULT_ENDINGS
from PIL import Image
from tests.io.joint_folders import REASONS, SIZE, spoil, write_joint, write_list
from tests.io.refusals import refusal


def test_the_audit_marks_overlap_from_20_common_pixels_on(public: Path) -> None:
    result = audit(read_datalist(public, "LS_train"), size=SIZE)
    assert [item["overlapping"] for item in result.accepted] == [False] * 3 + [True] + [False] * 4
    assert result.rejected == []


def test_unusable_joints_are_counted_and_logged_by_name_with_the_reason(
    public: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(public)
    with caplog.at_level(logging.INFO, logger="bundle.io"):
        result = audit(read_datalist(public, "LS_train"), size=SIZE)
    assert len(result.accepted) == 4
    assert [name for name, _ in result.rejected] == list(REASONS)
    assert all(REASONS[name] in reason for name, reason in result.rejected)
    logged = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert logged[-1] == ("bundle.io", "WARNING", "8 joints checked, 4 usable, 4 rejected")
    for (name, reason), line in zip(REASONS.items(), logged[:-1], strict=True):
        assert name in line[2] and reason in line[2]


def test_a_clean_audit_warns_of_nothing(public: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="bundle.io"):
        audit(read_datalist(public, "LS_train"), size=SIZE)
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_a_strict_audit_refuses_and_lists_all(public: Path) -> None:
    spoil(public)
    message = refusal(audit, read_datalist(public, "LS_train"), strict=True, size=SIZE)
    assert message.startswith("8 joints checked, 4 usable, 4 rejected. Correct or remove the rejected joints")
    assert all(name in message and reason in message for name, reason in REASONS.items())


def test_an_audit_that_accepts_nothing_refuses_also_when_not_strict(public: Path) -> None:
    message = refusal(audit, read_datalist(public, "LS_train"))
    assert message.startswith("8 joints checked, 0 usable, 8 rejected. Correct at least one joint")


@pytest.mark.parametrize(("common_rows", "wrong"), [(8, False), (9, True)])
def test_masks_that_share_more_than_half_of_the_smaller_are_grossly_wrong(
    public: Path, common_rows: int, wrong: bool
) -> None:
    joints = [("00054_L_13", 0), ("00086_R_11", common_rows)]
    write_list(public, "two", [write_joint(public, f"cases/{joint}", "new", rows) for joint, rows in joints])
    found = audit(read_datalist(public, "two"), size=SIZE)
    assert [name for name, _ in found.rejected] == ["00086_R_11_new"] * wrong
    assert all("grossly wrong masks" in reason for _, reason in found.rejected)


def test_grossly_wrong_masks_are_kept_with_a_warning_where_nothing_is_learned_from_them(
    public: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_list(public, "one", [write_joint(public, "cases/00086_R_11", "new", 16)])
    with caplog.at_level(logging.WARNING, "bundle.io"):
        kept = joint_items(str(public), "one", size=SIZE, keep_gross=True, strict="true")
    assert [item["name"] for item in kept] == ["00086_R_11_new"]
    assert "grossly wrong masks" in caplog.text and "00086_R_11_new" in caplog.text


@pytest.mark.long
def test_exactly_five_public_joints_are_refused_and_all_for_their_masks(joint_data: Path) -> None:
    audits = [audit(read_datalist(joint_data, f"LS_K1_all_{role}")) for role in ("train", "test")]
    reasons = [reason for found in audits for _, reason in found.rejected]
    assert len(reasons) == 5
    assert all("grossly wrong masks" in reason for reason in reasons)
    assert sum(item["overlapping"] for found in audits for item in found.accepted) == 518 + 76 - 5


def test_the_points_of_a_rejected_hand_tell_no_uid_either(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_joint(tmp_path, "a", "one")
    Image.new("L", (300, 300), 90).save(tmp_path / "1.2.840.10008.5.1.png")
    (tmp_path / "1.2.840.10008.5.1.csv").write_text("nothing")
    (rejected,) = joint_items(str(tmp_path), FOLDER, size=SIZE, spacing=0.6).rejected
    assert "1.2.840" not in str(rejected) + caplog.text


@pytest.mark.parametrize("key", ["image", "lower", "upper"])
def test_a_missing_file_rejects_its_joint_alone(public: Path, key: str) -> None:
    item = read_datalist(public, "LS_train")[2]
    Path(item[key]).unlink()
    result = audit(read_datalist(public, "LS_train"), size=SIZE)
    assert [name for name, _ in result.rejected] == [item["name"]] and len(result.accepted) == 7
    assert result.rejected[0][1].startswith(f"{item[key]}: no such file")


def test_the_name_of_a_rejected_file_tells_no_uid(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_joint(tmp_path, "a", "one")
    (tmp_path / "1.2.840.10008.5.1.4.dcm").write_text("no DICOM")
    (rejected,) = joint_items(str(tmp_path), FOLDER, size=SIZE).rejected
    assert "1.2.840" not in str(rejected) + caplog.text and "the DICOM header is missing" in rejected["reason"]


@pytest.mark.parametrize("letter", ["x", "\u00e4"])
def test_a_name_too_long_for_the_names_of_results_is_rejected_and_the_longest_is_not(
    tmp_path: Path, letter: str
) -> None:
    fits, long = (letter * (length // len(letter.encode())) for length in (LONGEST_NAME, LONGEST_NAME + 2))
    for name in "ab":
        Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16).save(tmp_path / f"{name}.png")
    there = read_datalist(tmp_path, "*", spacing=0.3)
    items = [{**item, "name": name} for item, name in zip(there, (fits, long), strict=True)]
    found = audited(items, lambda item, _: item, size=64)
    assert [item["name"] for item in found.accepted] == [fits]
    assert [(name, "too long for result files" in reason) for name, reason in found.rejected] == [(long, True)]
    with pytest.raises(InputError, match="Shorten it"):
        audited(items, lambda item, _: item, strict=True, size=64)
    assert max(len(f".{fits}{ending}.{2**22}-12345678{PART}".encode()) for ending in RESULT_ENDINGS) <= 255
