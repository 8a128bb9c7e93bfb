from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bundle
import bundle.face
import bundle.face.joints
import bundle.face.layers
import numpy as np
import pytest
import torch
from bundle import Hand, Joint, joint_space, narrowing, separate, synthesize
from bundle.errors import InputError
from bundle.face import Layers
from bundle.io.dicom import read_dicom
from bundle.io.frames import JointFrame
from bundle.io.provenance import bundle_version
from bundle.io.writing import deep_pixels, write_png
from bundle.joint import BONES
from bundle.phantoms import render, sample_parameters
from bundle.separation.transforms.array import ClearOutlines, SeparateLayers, ShareNoiseTexture
from PIL import Image


@pytest.mark.slow
def test_the_examples_of_the_docstrings_hold() -> None:
    for module in (bundle, bundle.face, bundle.face.joints, bundle.face.layers):
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


def test_the_version_is_that_of_the_metadata() -> None:
    assert bundle.__version__ == bundle_version()


def test_a_printed_result_has_no_arrays_of_pixels_or_curves() -> None:
    joint = Joint.phantom(seed=0)
    layers = separate(joint, weights=None)
    for result in (joint, layers, layers.joint_space, narrowing(joint, joint)):
        assert len(repr(result)) < 300


def test_a_name_that_the_face_does_not_have_is_refused() -> None:
    with pytest.raises(AttributeError, match="separat"):
        bundle.separat  # noqa: B018


def test_missing_weights_are_an_input_error_that_names_the_file() -> None:
    with pytest.raises(InputError, match=r"absent\.pt: no such weights file"):
        separate(Joint.phantom(seed=0), weights="absent.pt")


def test_a_folder_is_no_radiograph(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder, not a file"):
        Joint.read(tmp_path)


def of_file(folder: Path, pixel_mm: float) -> Joint:
    """A phantom read from a file of pixels of this size."""
    made = render(sample_parameters(0, size=round(21.0 / pixel_mm), spacing=pixel_mm))
    masks = {bone: folder / f"{bone}.png" for bone in BONES}
    for path, pixels in zip((folder / "joint.png", *masks.values()), torch.cat([made.image, made.masks]), strict=True):
        write_png(path, deep_pixels(pixels if path.stem == "joint" else (pixels > 0.5).float()))
    return Joint.read(folder / "joint.png", spacing_mm=pixel_mm, **masks)


@pytest.mark.parametrize("pixel_mm", [0.1, 0.4])
def test_the_outlines_of_all_files_are_cleared(tmp_path: Path, pixel_mm: float) -> None:
    joint = of_file(tmp_path, pixel_mm)
    image, pixel = torch.cat([joint.radiograph, joint.masks]), joint.spacing_mm
    separated = SeparateLayers()(image, pixel)
    cleared = ClearOutlines()(image, separated, pixel)
    assert float((cleared - separated).abs().max()) > 0.01
    torch.testing.assert_close(separate(joint, None).layers, ShareNoiseTexture()(image, cleared, pixel))


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


@pytest.fixture(scope="module")
def layers() -> Layers:
    return separate(Joint.phantom(seed=0), weights=None)


WRONG = [math.nan, math.inf, -math.inf, 1e9, 10**400, "a", "0.5", b"1", None, [1.0], True, torch.ones(2), object()]


@pytest.mark.parametrize("name", ["change_mm", "sideways_mm", "rotation_deg", "seed"])
def test_what_is_no_motion_or_seed_is_refused_in_a_line(layers: Layers, name: str) -> None:
    for value in [*WRONG, *([-1, 1.5, 2**63, torch.tensor(0.5)] if name == "seed" else [])]:
        with pytest.raises(InputError, match=rf"^{name}: .* is invalid\. Pass an? .*number|^seed: .* Pass an integer"):
            synthesize(layers, **{name: value})
    for value in (np.float32(1.0), torch.tensor(1.0), 1) if name != "seed" else (np.int64(1), torch.tensor(1), 1):
        assert synthesize(layers, **{name: value}).radiograph.isfinite().all()


@pytest.mark.parametrize("value", [5, None, "joint", b"x", math.nan, ["a"], torch.ones(2)])
def test_arguments_of_a_wrong_type_are_refused_in_a_line(layers: Layers, tmp_path: Path, value: Any) -> None:
    joint, path = layers.joint, "" if isinstance(value, str) else value  # "joint" is a path
    length = -9 if value is None or isinstance(value, int) else value  # None is the default
    calls: list[Callable[[], Any]] = [
        *(lambda f=f: f(value) for f in (separate, joint_space, synthesize)),
        lambda: narrowing(joint, value),
        lambda: narrowing(value, joint),
        lambda: narrowing(joint, joint, value),
        lambda: Joint.phantom(joint_type=value),
        lambda: Joint.phantom(seed=length),
        lambda: Joint.phantom(joint_space_mm=length),
        lambda: Joint.read("a.png", joint_type=value),
        lambda: Joint.read("a.png", spacing_mm=length),
        lambda: Joint.read(path),
        lambda: Joint.read("a.png", lower="\0" if isinstance(value, str) else value),
        lambda: Hand.read("a.png", path),
        lambda: Hand(joint.radiograph, (0.1, 0.1), (joint,)).with_joint(value),
        lambda: joint.write(path),
        lambda: layers.write(path),
    ]
    for number, call in enumerate(calls):
        with pytest.raises(InputError) as refused:
            call()
        assert "\n" not in str(refused.value), number


def test_a_negative_spacing_of_a_hand_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^spacing_mm: -0\.1 is invalid\. Pass a number from 0 to 100\."):
        Hand.read(tmp_path / "a.png", tmp_path / "a.csv", spacing_mm=-0.1)


def test_layers_are_not_written_where_a_file_is(layers: Layers, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file could not be written"):
        layers.write(tmp_path / "file")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"radiograph": lambda image: image * math.nan}, "radiograph: pass a float32 tensor"),
        ({"radiograph": lambda image: image * 255}, "radiograph: pass a float32 tensor"),
        ({"radiograph": lambda image: (image * 255).int()}, "radiograph: pass a float32 tensor"),
        ({"radiograph": lambda image: image.double()}, "radiograph: pass a float32 tensor"),
        ({"radiograph": lambda image: image.numpy()}, "radiograph: pass a float32 tensor"),
        ({"radiograph": lambda image: image[0]}, "radiograph: pass a float32 tensor"),
        ({"radiograph": lambda image: image[:, :100]}, r"masks: .* of the size of the radiograph"),
        ({"masks": lambda masks: masks[:1]}, "masks: pass a float32 tensor"),
        ({"masks": lambda masks: masks > 0.5}, "masks: pass a float32 tensor"),
        ({"masks": lambda masks: masks * math.nan}, "masks: pass a float32 tensor"),
        *(({"spacing_mm": lambda _, v=v: v}, "spacing_mm: ") for v in (0.0, -1.0, math.nan, "a", 1e9, None)),
        *(({"name": lambda _, v=v: v}, "name: ") for v in ("../x", "a/b", "", 5, None)),
        ({"joint_type": lambda _: "MCP"}, "joint_type: 'MCP' is invalid"),
    ],
)
def test_a_joint_is_made_of_what_is_described_only(wrong: dict[str, Callable[[Any], Any]], message: str) -> None:
    joint = Joint.phantom(seed=0)
    (name, change) = next(iter(wrong.items()))
    with pytest.raises(InputError, match=message):
        replace(joint, **{name: change(getattr(joint, name))})
