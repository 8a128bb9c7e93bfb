from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.face import Joint, separate, synthesize
from bundle.joint import BONES, FINGERS, JOINT_TYPES, LAYER_NAMES, LOWER, MCP, PIP, UPPER, Keys
from bundle.measurement import outline_gap
from bundle.phantoms import Phantom, render, sample_parameters
from bundle.phantoms.parameters import PhantomParameters
from bundle.phantoms.populations import POPULATIONS
from bundle.physics import reconstruct
from bundle.physics import separate as separate_without_weights
from torch import Tensor

WIDTHS = (0.4, 0.9, 1.5)


@lru_cache(maxsize=8)
def pip(seed: int) -> Phantom:
    return render(sample_parameters(seed, joint_type=PIP, outline_gap_mm=WIDTHS[seed]))


def levels(values: Tensor) -> bytes:
    return (values * 255.0).round().to(torch.uint8).numpy().tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "digest"), [(0, "81168c1d21ba704e"), (3, "3dd18aff533e821c")])
def test_the_phantoms_of_metacarpophalangeal_joints_stay_as_they_are(seed: int, digest: str) -> None:
    """Every figure on phantoms, and every network that was trained on them, is about these very images."""
    made = render(sample_parameters(seed))
    assert hashlib.sha256(levels(made.image) + levels(made.masks)).hexdigest()[:16] == digest
    moved = render(sample_parameters(seed, outline_gap_mm=made.parameters.outline_gap_mm + 0.01))
    assert hashlib.sha256(levels(moved.image) + levels(moved.masks)).hexdigest()[:16] != digest


def test_the_public_frame_is_that_of_metacarpophalangeal_joints() -> None:
    assert MCP.spacing_mm == 21.0 / 256.0
    assert MCP.spacing_at(None) == MCP.spacing_mm
    assert MCP.spacing_at(140) == 0.15
    assert set(MCP.codes.values()) == set(MCP.fingers) == set(FINGERS)


@pytest.mark.parametrize("joint_type", JOINT_TYPES.values(), ids=str)
def test_a_joint_type_is_consistent_and_has_phantoms_of_each_finger(joint_type: object) -> None:
    kind = JOINT_TYPES[joint_type.name]  # type: ignore[attr-defined]
    assert kind.extent_mm[0] < kind.frame_mm < kind.extent_mm[1]
    assert kind.outline_gap_mm[0] < 0.0 < kind.normal_joint_space_mm < kind.outline_gap_mm[1]
    assert set(POPULATIONS[kind.name].fingers) == set(POPULATIONS[kind.name].seen) == set(kind.fingers)
    assert {sample_parameters(seed, joint_type=kind).finger for seed in range(60)} == set(kind.fingers)


def test_channels_of_bones_and_layers_are_named_in_their_order() -> None:
    assert (BONES[LOWER], BONES[UPPER]) == (Keys.LOWER, Keys.UPPER) == ("lower", "upper")
    assert LAYER_NAMES == ("soft", "lower", "upper")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_proximal_interphalangeal_phantom_shows_two_slender_bones_at_its_joint_space(seed: int) -> None:
    made = pip(seed)
    bone = made.masks.numpy() > 0.5
    widest = bone.sum(axis=2).max(axis=1) * PIP.spacing_mm
    assert tuple(made.image.shape) == (1, PIP.pixels, PIP.pixels)
    assert made.parameters.spacing * PIP.pixels == PIP.frame_mm
    assert (widest > 7.0).all() and (widest < 15.0).all()
    assert bone[UPPER, 0].any() and bone[LOWER, -1].any() and not bone[UPPER, -1].any() and not bone[LOWER, 0].any()
    assert float(outline_gap(made.masks[None], PIP.spacing_mm)) == pytest.approx(WIDTHS[seed], abs=0.015)
    torch.testing.assert_close(reconstruct(made.layers), made.image, atol=1e-6, rtol=0.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_proximal_interphalangeal_joint_is_separated_without_weights_as_its_truth_has_it(seed: int) -> None:
    """Tolerances in intensity: joints of this kind have 0.008 to 0.021 in the soft tissue."""
    made = pip(seed)
    masks = (made.masks > 0.5).float()
    found = separate_without_weights(made.image[None], masks[None])[0]
    below, error = masks.amax(dim=0), (found - made.layers).square()
    assert float((error[0] * below).sum() / below.sum()) ** 0.5 < 0.03
    assert float((error[1:] * masks).sum() / masks.sum()) ** 0.5 < 0.03
    nothing = torch.cat([made.image, torch.zeros_like(masks)]) - made.layers
    assert float((nothing[1:].square() * masks).sum() / masks.sum()) ** 0.5 > 0.1  # what no separation at all has


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_face_separates_measures_and_widens_a_proximal_interphalangeal_joint(seed: int) -> None:
    joint = Joint.phantom(seed, joint_space_mm=WIDTHS[seed], joint_type=PIP)
    assert joint.joint_type is PIP and joint.spacing_mm == PIP.spacing_mm
    layers = separate(joint, weights=None)
    assert float(layers.joint_space.mean) == pytest.approx(WIDTHS[seed], abs=0.15)
    wider = synthesize(layers, change_mm=0.3)
    assert wider.joint_type is PIP
    change = outline_gap(wider.masks[None], PIP.spacing_mm) - outline_gap(joint.masks[None], PIP.spacing_mm)
    assert float(change) == pytest.approx(0.3, abs=0.02)
    assert float(wider.joint_space.mean - layers.joint_space.mean) == pytest.approx(0.3, abs=0.03)


def test_a_frame_of_another_joint_is_refused_and_a_thumb_has_no_such_joint() -> None:
    with pytest.raises(InputError, match=r"13\.0 to 21\.0 mm"):
        sample_parameters(0, joint_type=PIP, spacing=26.0 / 256.0)
    with pytest.raises(InputError, match="finger must be one of small, ring, middle, index, got 'thumb'"):
        sample_parameters(0, joint_type=PIP, finger="thumb")
    with pytest.raises(InputError, match="joint must be one of MCP, PIP, got 'DIP'"):
        PhantomParameters(0, "ring", "left", 256, 0.08, 1.0, joint="DIP")


def test_a_phantom_written_before_there_were_joint_types_is_metacarpophalangeal() -> None:
    line = sample_parameters(3).to_json().replace(', "joint": "MCP"', "")
    assert "MCP" not in line
    assert PhantomParameters.from_json(line) == sample_parameters(3)
    assert PhantomParameters.from_json(sample_parameters(3, joint_type=PIP).to_json()).joint_type is PIP


@pytest.mark.slow
def test_the_files_of_a_proximal_interphalangeal_joint_are_read_as_one(tmp_path: object) -> None:
    joint = Joint.phantom(1, joint_space_mm=0.9, joint_type=PIP)
    path = f"{tmp_path}/joint.png"
    joint.write(path)
    read = Joint.read(path, joint_type=PIP)
    assert read.joint_type is PIP and read.spacing_mm == PIP.spacing_mm
    np.testing.assert_allclose(read.radiograph.numpy(), joint.radiograph.numpy(), atol=1e-4)
