"""A joint is loaded from its files or out of a hand, with its own masks before drawn ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io import loading
from bundle.io.frames import JointFrame
from bundle.io.joint_images import read_joint
from bundle.io.loading import open_joints, resampling
from bundle.io.placing import recentred
from bundle.io.reading import read_stated
from bundle.joint import MCP, PIP, JointType
from PIL import Image
from tests.io.pictures import SIZE, radiograph, save, square
from tests.io.refusals import refusal
from torch import Tensor

SPACING = MCP.spacing_mm


@pytest.fixture
def joint(tmp_path: Path) -> dict[str, Any]:
    """A joint of user's data: PNG radiograph and masks that overlap a little."""
    return {
        "name": "a",
        "image": str(save(tmp_path / "a.png", radiograph())),
        "upper": str(save(tmp_path / "a_mask_upper.png", square(0, 33))),
        "lower": str(save(tmp_path / "a_mask_lower.png", square(31, SIZE))),
    }


def joints_of(given: dict[str, Any], size: int | None = 256) -> list[dict[str, Any]]:
    return open_joints(given, size)[1]


def test_a_joint_is_intensity_lower_mask_upper_mask(joint: dict[str, Any]) -> None:
    result = read_joint(joint, SIZE)
    assert result.dtype == torch.float32
    np.testing.assert_array_equal(result[0].numpy(), radiograph().astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(result[1].numpy(), square(31, SIZE) / 255)
    np.testing.assert_array_equal(result[2].numpy(), square(0, 33) / 255)


@pytest.mark.parametrize("bone", ["lower", "upper"])
def test_a_mask_of_another_size_is_refused(tmp_path: Path, joint: dict[str, Any], bone: str) -> None:
    joint[bone] = str(save(tmp_path / "m.png", square(0, 20)[:, :60]))
    message = refusal(read_joint, joint, SIZE)
    assert "64 x 64" in message and "60 x 64" in message and "m.png" in message and joint["image"] in message


def test_an_unexpected_size_is_refused_and_none_accepts_any(joint: dict[str, Any]) -> None:
    message = refusal(read_joint, joint)
    assert "256 x 256" in message and "64 x 64" in message and joint["image"] in message
    assert read_joint(joint, None).shape == (3, SIZE, SIZE)


def halves(image: Tensor) -> Tensor:
    """Draws the lower half as the lower bone, and the upper one."""
    masks = torch.zeros(2, *image.shape[1:])
    masks[0, image.shape[1] // 2 :], masks[1, : image.shape[1] // 2] = 1.0, 1.0
    return masks


@pytest.mark.parametrize("given", ["lower", "upper"])
def test_a_mask_that_is_given_counts_before_a_drawn_one(joint: dict[str, Any], given: str) -> None:
    row = {"lower": 1, "upper": 2}
    alone = {key: value for key, value in joint.items() if key in ("image", given)}
    result = read_joint(alone, SIZE, halves)
    assert torch.equal(result[row[given]], read_joint(joint, SIZE)[row[given]])
    other = next(bone for bone in row if bone != given)
    assert torch.equal(result[row[other]], halves(result[:1])[row[other] - 1])
    assert torch.equal(read_joint(joint, SIZE, halves), read_joint(joint, SIZE))


def test_masks_that_are_neither_given_nor_drawn_are_missed_by_name(joint: dict[str, Any]) -> None:
    message = refusal(read_joint, {"image": joint["image"], "lower": joint["lower"]}, SIZE)
    assert "no mask of the upper bone" in message and joint["image"] in message


def test_a_bone_that_the_network_does_not_find_is_refused(joint: dict[str, Any]) -> None:
    message = refusal(
        read_joint, {"image": joint["image"]}, SIZE, lambda image: halves(image) * torch.tensor([1, 0])[:, None, None]
    )
    assert message.startswith(f"{joint['image']}, upper bone predicted by the network: the mask is empty")


def item(path: Path, **more: Any) -> dict[str, Any]:
    plain = {"name": "case_a", "joint": "case", "finger": "unknown", "side": "unknown", "spacing": 0.0}
    return {**plain, "image": str(path), "lower": "", "upper": "", "points": "", **more}


def nifti(path: Path, zooms: tuple[float, float], unit: str) -> Path:
    image = nib.Nifti1Image((radiograph().T / 255).astype(np.float32), np.diag([*zooms, 1.0, 1.0]))
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return path


def test_a_frame_has_the_spacing_that_is_stated_then_that_of_its_file_then_the_public_one(
    tmp_path: Path, make: Callable[..., Path]
) -> None:
    picture = save(tmp_path / "a.png", radiograph())
    stating = nifti(tmp_path / "mm.nii", (0.29, 0.29), "mm")
    dicom = make(radiograph(), 8, PixelSpacing=[0.31, 0.31])
    found = [joints_of(item(path), SIZE)[0]["spacing"] for path in (picture, stating, dicom)]
    assert found == pytest.approx([MCP.spacing_at(SIZE), 0.29, 0.31])
    assert {joints_of(item(path, spacing=0.3), SIZE)[0]["spacing"] for path in (picture, stating, dicom)} == {0.3}


@pytest.mark.parametrize("size", [SIZE, None])
@pytest.mark.parametrize("spacing", [0.01, 0.24, 0.41, 5.0])
def test_a_frame_of_a_spacing_that_no_joint_has_is_refused(
    tmp_path: Path, make: Callable[..., Path], spacing: float, size: int | None
) -> None:
    for path, given in (
        (save(tmp_path / "a.png", radiograph()), spacing),
        (make(radiograph(), 8, PixelSpacing=[spacing] * 2), 0),
    ):
        message = refusal(open_joints, item(path, spacing=given), size)
        assert message.startswith(str(path)) and "16 to 26 mm" in message


@pytest.mark.parametrize("kind", [MCP, PIP], ids=lambda kind: kind.name)
@pytest.mark.parametrize("size", [SIZE, None])
def test_a_frame_of_any_number_of_pixels_without_spacing_is_as_wide_as_the_frame_of_its_joint_type(
    tmp_path: Path, size: int | None, kind: JointType
) -> None:
    (found,) = open_joints(item(save(tmp_path / "a.png", radiograph())), size, kind)[1]
    assert found["spacing"] * SIZE == pytest.approx(kind.frame_mm)


def test_a_joint_of_another_size_is_resampled_with_its_masks_where_its_spacing_is_known(joint: dict[str, Any]) -> None:
    """64 pixels of 0.25 mm: 16 mm."""
    (found,) = joints_of(item(Path(joint["image"]), lower=joint["lower"], upper=joint["upper"], spacing=0.25), 128)
    assert found["spacing"] == pytest.approx(16.0 / 128)
    result, plain = read_joint(found, 128), read_joint(joint, SIZE)
    smooth = torch.nn.functional.interpolate(plain[None, :1], scale_factor=2, mode="bilinear")[0, 0]
    assert torch.allclose(result[0], smooth, atol=1e-5)
    for mask, original in zip(result[1:], plain[1:], strict=True):
        assert torch.equal(mask, original.repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_pixels_that_are_not_square_become_square(tmp_path: Path) -> None:
    (found,) = joints_of(item(nifti(tmp_path / "a.nii", (0.3, 0.31), "mm")), SIZE)
    assert found["spacing"] == pytest.approx(19.2 / SIZE)
    assert read_joint(found, SIZE, halves).shape == (3, SIZE, SIZE)


@pytest.mark.parametrize(("unit", "zoom"), [("mm", 0.09), ("micron", 90.0), ("meter", 9e-5)])
def test_the_units_of_nifti_are_converted_to_mm(tmp_path: Path, unit: str, zoom: float) -> None:
    found = read_stated(nifti(tmp_path / "a.nii", (zoom, 2.0 * zoom), unit)).spacing
    assert found == pytest.approx((0.18, 0.09))


def test_a_nifti_without_a_unit_needs_a_spacing(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", (0.09, 0.09), "unknown")
    message = refusal(open_joints, item(path), SIZE)
    assert message.startswith(str(path)) and "no unit" in message and "Pass --spacing MM" in message
    assert joints_of(item(path, spacing=0.3), SIZE)[0]["spacing"] == 0.3


def test_a_given_spacing_is_the_width_of_pixels_that_are_not_square(
    tmp_path: Path, make: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """80 x 60 pixels of 0.225 x 0.3 mm: 18 mm high and wide, not 24 mm high."""
    path = make(np.repeat(np.arange(80)[:, None], 60, axis=1).astype(np.uint16), 7, PixelSpacing=[0.225, 0.3])
    for spacing in (0.0, 0.3):
        (found,) = joints_of(item(path, spacing=spacing), SIZE)
        assert found["spacing"] == pytest.approx(18.0 / SIZE)
        assert JointFrame.from_json(found["frame"]).spacing == pytest.approx((0.225, 0.3))
        assert "square" in resampling(found) and resampling(found) in caplog.text
    assert JointFrame.from_json(joints_of(item(path), None)[0]["frame"]).spacing == pytest.approx((0.225, 0.3))


def unequal(folder: Path, make: Callable[..., Path], kind: str, width: int = 60) -> Path:
    """A radiograph of 80 rows that states pixels 3/4 as high as wide and no size that can be relied on."""
    pixels, path = np.tile(np.arange(width, dtype=np.uint8), (80, 1)), folder / f"a.{kind}"
    if kind == "dcm":
        return make(pixels.astype(np.uint16), 7, PixelSpacing=None, PixelAspectRatio=[3, 4])
    if kind == "nii":
        nib.save(nib.Nifti1Image((pixels.T / 255).astype(np.float32), np.diag([4.0, 3.0, 1.0, 1.0])), path)
        return path
    Image.fromarray(pixels).save(path, dpi=(72, 96))
    return path


@pytest.mark.parametrize("kind", ["dcm", "nii", "png", "tif", "jpg", "bmp"])
def test_the_ratio_that_a_file_states_is_kept(tmp_path: Path, make: Callable[..., Path], kind: str) -> None:
    path = unequal(tmp_path, make, kind)
    (found,) = joints_of(item(path, spacing=0.3), SIZE)
    assert JointFrame.from_json(found["frame"]).spacing == pytest.approx((0.225, 0.3), rel=1e-3)
    message = refusal(open_joints, item(path), 80)
    assert "Pass --spacing MM" in message and ("not square" in message or kind == "nii")


def test_equal_resolutions_change_nothing(tmp_path: Path) -> None:
    for number, options in enumerate(({}, {"dpi": (72, 72)}, {"dpi": (300, 299)})):
        path = tmp_path / f"{number}.png"
        Image.fromarray(radiograph()).save(path, **options)
        (found,) = joints_of(item(path), SIZE)
        assert (found["frame"], found["spacing"], resampling(found)) == ("", MCP.spacing_at(SIZE), "")


@pytest.mark.parametrize("spacing", [0.1, 1.0])
def test_what_shows_more_or_less_than_a_joint_is_refused_where_none_is_marked(tmp_path: Path, spacing: float) -> None:
    path = save(tmp_path / "a.png", radiograph())
    message = refusal(open_joints, item(path, spacing=spacing), 128)
    assert f"{64 * spacing:.1f} x {64 * spacing:.1f} mm" in message and "with points" in message and "a.png" in message


def test_the_side_is_that_of_the_name_then_that_of_the_file(make: Callable[..., Path]) -> None:
    path = make(radiograph(), 8, PixelSpacing=[0.3, 0.3], ImageLaterality="L")
    assert joints_of(item(path), SIZE)[0]["side"] == "left"
    assert joints_of(item(path, side="right"), SIZE)[0]["side"] == "right"


def hand(tmp_path: Path, make: Callable[..., Path], **attributes: Any) -> dict[str, Any]:
    """A hand of 60 x 80 mm with two joints, the index finger's turned."""
    y, x = np.mgrid[0:300, 0:400]
    path = make((x + 3 * y).astype(np.uint16), 11, **{"PixelSpacing": [0.2, 0.2], **attributes})
    marked = [
        {"name": "index MCP", "center": [120, 130], "direction": [1, -2]},
        {"name": "other/1", "center": [260, 150], "tip": [260, 20]},
    ]
    (tmp_path / "hand.json").write_text(json.dumps(marked))
    return item(path, name="hand", points=str(tmp_path / "hand.json"))


def test_every_marked_joint_of_a_hand_is_a_joint_of_its_own(tmp_path: Path, make: Callable[..., Path]) -> None:
    index, other = joints_of(hand(tmp_path, make), 128)
    assert (index["name"], other["name"]) == ("hand_index_MCP", "hand_other_1")
    assert (index["finger"], other["finger"]) == ("index", "unknown")
    assert index["joint"] != other["joint"] and index["digest"] != other["digest"]
    assert index["spacing"] == pytest.approx(21 / 128)


def test_frames_follow_the_joint_unless_masks_are_given(tmp_path: Path, make: Callable[..., Path]) -> None:
    files, joints = open_joints(hand(tmp_path, make), 128)

    def shifted(radiograph: torch.Tensor, frame: JointFrame) -> tuple[JointFrame, dict[str, Any]]:
        return frame.moved(1.0, 0.0, 0.0), {"growth_plate": "closed"}

    def refused(radiograph: torch.Tensor, frame: JointFrame) -> tuple[JointFrame, dict[str, Any]]:
        raise InputError("joint a: no joint. Check the mark.")

    found = recentred(joints[0], files, shifted)
    before, after = (JointFrame.from_json(one["frame"]) for one in (joints[0], found))
    assert before.motion_to(after) == pytest.approx((1.0, 0.0, 0.0))
    assert found["growth_plate"] == "closed" and joints[0]["growth_plate"] == "unknown"
    assert found["digest"] != joints[0]["digest"]
    for kept in ({**joints[0], "lower": "mask.png"}, {**joints[0], "points": ""}):
        assert recentred(kept, files, shifted) is kept
    assert recentred(joints[0], files, None) is joints[0]
    with pytest.raises(InputError, match=r"\.dcm: joint a: no joint"):
        recentred(joints[0], files, refused)


def test_a_joint_of_a_hand_is_cut_out_in_its_frame(tmp_path: Path, make: Callable[..., Path]) -> None:
    for joint in joints_of(hand(tmp_path, make), 128):
        result = read_joint(joint, 128, halves)
        whole = torch.from_numpy(read_stated(joint["image"]).intensity)[None]
        assert torch.equal(result[:1], JointFrame.from_json(joint["frame"]).cut(whole))
        assert torch.equal(result[1:], halves(result[:1]))


def test_a_hand_without_spacing_is_refused_unless_it_is_given(tmp_path: Path, make: Callable[..., Path]) -> None:
    given = hand(tmp_path, make, PixelSpacing=None)
    assert "Pass --spacing MM" in refusal(open_joints, given)
    assert JointFrame.from_json(joints_of({**given, "spacing": 0.2})[0]["frame"]).spacing == (0.2, 0.2)


def test_the_joints_of_a_hand_read_it_once(
    tmp_path: Path, make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, real = [], loading.read_stated
    monkeypatch.setattr(loading, "read_stated", lambda path: read.append(path) or real(path))
    files, joints = open_joints(hand(tmp_path, make), 128)
    for joint in joints:
        read_joint(joint, 128, halves, files)
    assert len(read) == 1


def test_a_file_that_changes_is_read_again_and_has_another_digest(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", radiograph())
    before, first = read_stated(path).intensity, joints_of(item(path))[0]["digest"]
    save(path, radiograph() // 2)
    assert joints_of(item(path))[0]["digest"] != first
    np.testing.assert_allclose(read_stated(path).intensity, before / 2, atol=0.003)


def test_a_name_that_tells_whose_radiograph_it_is_is_replaced(tmp_path: Path, make: Callable[..., Path]) -> None:
    given = hand(tmp_path, make, PatientName="Planted^Name")
    for joint in joints_of({**given, "name": "hands_planted_1", "joint": "PLANTED"}):
        assert joint["name"].startswith("radiograph_") and "planted" not in (joint["name"] + joint["joint"]).lower()
