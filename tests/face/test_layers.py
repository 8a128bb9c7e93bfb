from __future__ import annotations

import doctest
from pathlib import Path

import bundle
import bundle.face
import bundle.face.joints
import bundle.face.layers
import numpy as np
import pytest
import torch
from bundle import Hand, Joint, joint_space, narrowing, separate, synthesize
from bundle.errors import InputError
from bundle.io.dicom import read_dicom
from bundle.io.frames import JointFrame
from PIL import Image


@pytest.mark.slow
def test_the_examples_of_the_docstrings_hold() -> None:
    for module in (bundle.face, bundle.face.joints, bundle.face.layers):
        found = doctest.testmod(module)
        assert found.attempted and not found.failed


@pytest.mark.slow
def test_masks_that_are_given_need_no_weights_of_which_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    joint = Joint.phantom(seed=3)
    joint.write(tmp_path / "joint.png")
    for bone, mask in zip(("lower", "upper"), joint.masks, strict=True):
        Image.fromarray((mask.numpy() * 255).astype(np.uint8)).save(tmp_path / f"{bone}.png")
    Joint.read(tmp_path / "joint.png", lower=tmp_path / "lower.png", upper=tmp_path / "upper.png")
    assert not caplog.text


def test_a_name_that_the_face_does_not_have_is_refused() -> None:
    with pytest.raises(AttributeError, match="separat"):
        bundle.separat  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["shipped", None])
def test_layers_compose_the_radiograph(weights: str | None) -> None:
    joint = Joint.phantom(seed=1)
    layers = separate(joint, weights)
    composed = 1.0 - (1.0 - layers.layers).prod(dim=0, keepdim=True)
    torch.testing.assert_close(composed, joint.radiograph, atol=2e-6, rtol=0.0)


@pytest.mark.slow
def test_the_joint_space_changes_by_what_is_asked() -> None:
    layers = separate(Joint.phantom(seed=2, joint_space_mm=1.0), weights=None)
    for change in (-0.5, 0.7):
        made = synthesize(layers, change_mm=change)
        assert float(made.joint_space.mean - layers.joint_space.mean) == pytest.approx(change, abs=0.02)
        found = narrowing(layers.joint, made)
        assert float(found.jsn_mm) == pytest.approx(-change, abs=0.03)
        assert found.exceeds and 0.1 < found.smallest_detectable_change_mm < 0.5
    assert narrowing(layers.joint, layers.joint).exceeds is False


@pytest.mark.slow
def test_the_joint_space_of_a_joint_is_that_of_its_layers_and_more_than_the_gap_of_its_outlines() -> None:
    joint = Joint.phantom(seed=2, joint_space_mm=1.6)
    found = joint_space(joint)
    assert float(found.mean) == pytest.approx(float(separate(joint).joint_space.mean))
    assert float(found.mean) == pytest.approx(1.6, abs=0.1)
    assert float(joint.outline_gap.mean) < float(found.mean) - 0.5


@pytest.mark.slow
def test_a_radiograph_is_read_as_it_was_written(tmp_path: Path) -> None:
    joint = Joint.phantom(seed=3)
    joint.write(tmp_path / "joint.png")
    joint.write(tmp_path / "joint.dcm")
    for bone, mask in zip(("lower", "upper"), joint.masks, strict=True):
        Image.fromarray((mask.numpy() * 255).astype(np.uint8)).save(tmp_path / f"{bone}.png")
    masks = {bone: tmp_path / f"{bone}.png" for bone in ("lower", "upper")}
    for name in ("joint.png", "joint.dcm"):
        read = Joint.read(tmp_path / name, **masks)
        torch.testing.assert_close(read.radiograph, joint.radiograph, atol=1e-4, rtol=0.0)
        assert torch.equal(read.masks, joint.masks)
        assert read.spacing_mm == pytest.approx(joint.spacing_mm)


@pytest.mark.slow
def test_masks_are_predicted_where_none_are_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    joint = Joint.phantom(seed=4, joint_space_mm=1.2)
    joint.write(tmp_path / "joint.dcm")
    predicted = Joint.read(tmp_path / "joint.dcm").masks
    assert float((predicted * joint.masks).sum() * 2 / (predicted + joint.masks).sum()) > 0.95
    assert caplog.messages == [], "reading separates nothing"


@pytest.mark.slow
def test_a_changed_joint_is_put_back_into_its_hand(tmp_path: Path) -> None:
    joint = Joint.phantom(seed=5)
    wide = torch.nn.functional.pad(joint.radiograph, [60] * 4, value=0.1)
    Image.fromarray((wide[0].numpy() * 65535).astype(np.uint16)).save(tmp_path / "hand.png")
    (tmp_path / "points.csv").write_text("name,x,y,direction_x,direction_y\nindex,187.5,187.5,0,-1\n")
    hand = Hand.read(tmp_path / "hand.png", tmp_path / "points.csv", spacing_mm=joint.spacing_mm)
    changed = hand.with_joint(synthesize(separate(hand.joints[0], weights=None), change_mm=0.5))
    outside = JointFrame.from_json(hand.joints[0].frame).covers(wide.shape[1:])[None] == 0.0
    assert torch.equal(changed.radiograph[outside], hand.radiograph[outside])
    assert float((changed.radiograph - hand.radiograph).abs().max()) > 0.1
    changed.write(tmp_path / "changed.dcm")
    assert read_dicom(tmp_path / "changed.dcm").intensity.shape == wide.shape[1:]
    with pytest.raises(InputError, match="not a joint of this hand"):
        hand.with_joint(joint)


@pytest.mark.slow
def test_files_are_written_beside_each_other(tmp_path: Path) -> None:
    separate(Joint.phantom(seed=6), weights=None).write(tmp_path / "out")
    assert "phantom_6_layers.nii.gz" in {path.name for path in (tmp_path / "out").iterdir()}


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"wider\.bmp"):
        Joint.phantom().write(tmp_path / "wider.bmp")


def test_radiographs_of_other_spacings_are_not_registered() -> None:
    from dataclasses import replace

    joint = Joint.phantom(seed=7)
    with pytest.raises(InputError, match="spacing"):
        narrowing(joint, replace(joint, spacing_mm=0.1))
