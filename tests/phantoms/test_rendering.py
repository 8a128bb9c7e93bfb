"""Phantoms: layers that compose to the image, exact widths, and grey levels of radiographs."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.joint import FINGERS, MCP
from bundle.measurement.outline_gap import outline_gap
from bundle.phantoms.parameters import Posture
from bundle.phantoms.rendering import BLUR_REACH, Phantom, render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.motion import RigidMotion, move
from bundle.physics.radiograph import reconstruct
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, label, maximum_filter
from tests.phantoms.rendered import GAP_RANGE, SMALL, measured, phantom, same

SPACING = MCP.spacing_mm


def naive_jsw(masks: np.ndarray, spacing: float) -> float:
    """JSW of binary masks, column by column, straight from its definition."""
    lower, upper = masks
    common = [x for x in range(masks.shape[-1]) if lower[:, x].any() and upper[:, x].any()]
    first, width = common[0], common[-1] + 1 - common[0]
    central = [x for x in common if width / 3 <= x + 0.5 - first <= 2 * width / 3]
    gaps = [np.flatnonzero(lower[:, x])[0] - (np.flatnonzero(upper[:, x])[-1] + 1) for x in central]
    return float(np.mean(gaps)) * spacing


def test_a_seed_gives_the_same_bits_again() -> None:
    assert sample_parameters(3) == sample_parameters(3)
    assert same(render(sample_parameters(3)), render(sample_parameters(3)))


def test_shapes_and_types_are_those_of_the_library() -> None:
    made = phantom(0)
    shapes = [tuple(part.shape) for part in (made.image, made.layers, made.masks)]
    assert shapes == [(1, 256, 256), (3, 256, 256), (2, 256, 256)]
    assert {part.dtype for part in (made.image, made.layers, made.masks)} == {torch.float32}


@pytest.mark.parametrize("seed", range(4))
def test_layers_compose_to_the_image_to_float_precision(seed: int) -> None:
    made = phantom(seed)
    assert (reconstruct(made.layers) - made.image).abs().max() <= 1e-6


def test_the_image_is_quantised_to_its_grey_levels() -> None:
    grey = phantom(0).image * 255
    assert torch.allclose(grey, grey.round(), atol=1e-4)
    assert grey.round().unique().numel() > 100


@pytest.mark.parametrize("seed", range(4))
def test_a_bone_layer_is_zero_beyond_the_reach_of_the_blur_and_bright_inside(seed: int) -> None:
    made = phantom(seed)
    sigma = made.parameters.detector.blur / SPACING
    reach = math.floor(BLUR_REACH * sigma + 0.5) + 1
    for layer, mask in zip(made.layers[1:].numpy(), made.masks.numpy() > 0.5, strict=True):
        near = maximum_filter(mask, size=2 * reach + 1)
        assert (layer[~near] == 0.0).all()
        assert (layer[binary_erosion(mask, iterations=4, border_value=1)] > 0.01).mean() > 0.99


@pytest.mark.long
@pytest.mark.parametrize("outline_gap_mm", [*GAP_RANGE, -0.5, 0.0, 0.03, 1.0, 1.75])
def test_the_joint_space_width_is_exact_over_its_range(outline_gap_mm: float) -> None:
    errors = [measured(phantom(seed, outline_gap_mm)) - outline_gap_mm for seed in range(6)]
    assert np.abs(errors).mean() <= 0.005
    assert np.abs(errors).max() <= 0.015


@pytest.mark.slow
@pytest.mark.parametrize("outline_gap_mm", [-0.8, 1.2])
def test_outlines_drawn_four_times_finer_have_the_width_by_its_definition(outline_gap_mm: float) -> None:
    fine = phantom(7, outline_gap_mm, size=1024, spacing=21 / 1024)
    assert naive_jsw(fine.masks.numpy() > 0.5, 21 / 1024) == pytest.approx(outline_gap_mm, abs=0.005)


@pytest.mark.slow
def test_thresholded_masks_are_within_a_fraction_of_a_pixel_of_the_width() -> None:
    errors = [
        naive_jsw(made.masks.numpy() > 0.5, SPACING) - made.parameters.outline_gap_mm
        for made in map(phantom, range(12))
    ]
    assert np.abs(errors).mean() <= 0.02


def test_a_twentieth_of_a_millimetre_shows_in_the_width() -> None:
    base = phantom(5, 0.4)
    wider = render(replace(base.parameters, outline_gap_mm=0.45))
    assert measured(wider) - measured(base) == pytest.approx(0.05, abs=0.005)


def test_a_mask_is_one_piece_without_holes() -> None:
    for made in map(phantom, range(12)):
        for mask in made.masks.numpy() > 0.5:
            assert label(mask)[1] == 1
            assert (binary_fill_holes(mask) == mask).all()
            depth = binary_erosion(mask, iterations=3, border_value=1)
            assert (made.masks.numpy()[:, depth].max(axis=0) == 1.0).all()


@pytest.mark.slow
def test_bones_overlap_when_the_width_is_negative_and_part_when_it_is_wide() -> None:
    for seed in range(4):
        assert ((phantom(seed, -1.0).masks > 0.5).all(dim=0)).sum() > 500
        assert ((phantom(seed, 2.5).masks > 0.5).all(dim=0)).sum() == 0


@pytest.mark.parametrize("change", [-0.35, 0.07, 0.6])
def test_moving_the_bones_changes_the_width_by_the_motion(change: float) -> None:
    made = phantom(2, 0.8)
    motion = RigidMotion.widening(torch.tensor([change]))
    _, moved = move(made.layers[None], made.masks[None], motion, SPACING)
    width = float(outline_gap(moved, SPACING))
    assert width - measured(made) == pytest.approx(change, abs=0.02)


@pytest.mark.slow
def test_a_left_joint_is_the_mirror_image_of_a_right_one() -> None:
    right = sample_parameters(9, side="right")
    left = replace(right, side="left")
    assert asdict(sample_parameters(9, side="left")) == asdict(left)
    assert torch.equal(render(left).masks, render(right).masks.flip(-1))
    difference = render(left).image - render(right).image.flip(-1)
    assert difference.abs().mean() < 0.02


def test_coarser_frames_show_the_same_joint() -> None:
    fine, coarse = phantom(6), phantom(6, **SMALL)
    assert tuple(coarse.image.shape) == (1, 128, 128)
    halved = torch.nn.functional.avg_pool2d(fine.masks, 2)
    assert (halved - coarse.masks).abs().max() < 0.25
    assert (torch.nn.functional.avg_pool2d(fine.image, 2) - coarse.image).abs().mean() < 0.01
    assert measured(coarse) == pytest.approx(coarse.parameters.outline_gap_mm, abs=0.015)


@pytest.mark.slow
def test_an_unmasked_bone_is_part_of_the_soft_tissue() -> None:
    parameters = replace(sample_parameters(1, finger="middle"), seed=1)
    shown = replace(parameters, soft=replace(parameters.soft, sesamoid=0.3, neighbour=0.0))
    hidden = replace(parameters, soft=replace(parameters.soft, sesamoid=0.0, neighbour=0.0))
    with_bone, without = render(shown), render(hidden)
    brighter = (with_bone.layers[0] - without.layers[0]) > 0.1
    assert 400 < int(brighter.sum()) < 3000
    assert torch.equal(with_bone.masks, without.masks)


@pytest.mark.slow
def test_grey_levels_are_those_of_joint_radiographs() -> None:
    for finger in FINGERS:
        frames = [phantom(seed, finger=finger) for seed in range(3)]
        image = np.concatenate([made.image.numpy() for made in frames])
        masks = np.concatenate([made.masks.numpy()[None] for made in frames]) > 0.5
        inside = np.stack([binary_erosion(bones, iterations=15) for bones in masks.reshape(-1, 256, 256)])
        lower, upper = inside.reshape(masks.shape).transpose(1, 0, 2, 3)
        tissue = np.stack([~binary_dilation(bones.any(0), iterations=8) for bones in masks]) & (image > 0.05)
        levels = [float(np.median(image[where])) for where in (tissue, upper, lower)]
        assert 0.2 < levels[0] < 0.4
        assert levels[0] + 0.06 < levels[1] < levels[2] - 0.03
        assert 0.6 < np.percentile(image, 99.9) < 0.98


def fine_grey(photons: float, electronic: float) -> Phantom:
    parameters = sample_parameters(4, outline_gap_mm=1.0)
    detector = replace(parameters.detector, photons=photons, electronic=electronic, levels=2.0**20)
    return render(replace(parameters, detector=detector))


def test_noise_follows_the_photons_and_the_electronics() -> None:
    clean = fine_grey(1e12, 0.0).image
    faint, strong, electronic = (
        float((fine_grey(*case).image - clean)[0, 60:200, 60:200].std())
        for case in ((2500.0, 0.0), (10000.0, 0.0), (1e12, 0.01))
    )
    assert faint / strong == pytest.approx(2.0, rel=0.05)
    assert 0.005 < electronic < 0.011
    assert strong > 0.002


def test_blur_softens_the_image_and_leaves_the_masks() -> None:
    parameters = fine_grey(1e12, 0.0).parameters
    soft = render(replace(parameters, detector=replace(parameters.detector, blur=0.3)))
    sharp = render(parameters)
    assert torch.equal(soft.masks, sharp.masks)
    assert soft.image.diff(dim=-1).abs().mean() < 0.7 * sharp.image.diff(dim=-1).abs().mean()


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(min_value=0, max_value=2**63 - 1))
def test_any_seed_gives_a_joint(seed: int) -> None:
    made = render(sample_parameters(seed, **SMALL))
    for part in (made.image, made.layers, made.masks):
        assert torch.isfinite(part).all()
        assert part.min() >= 0.0
        assert part.max() <= 1.0
    assert (reconstruct(made.layers) - made.image).abs().max() <= 1e-6
    assert (made.masks[1, 0] > 0.5).any()
    assert (made.masks[0, -1] > 0.5).any()
    assert not (made.masks[0, 0] > 0.5).any()
    assert not (made.masks[1, -1] > 0.5).any()
    assert measured(made) == pytest.approx(made.parameters.outline_gap_mm, abs=0.03)


@pytest.mark.parametrize(
    ("posture", "message"),
    [(Posture(x=40.0), "shows both bones"), (Posture(x=-9.0, shift=18.0), "one above the other")],
)
def test_a_posture_that_leaves_no_joint_is_refused(posture: Posture, message: str) -> None:
    parameters = replace(sample_parameters(0), posture=posture)
    with pytest.raises(InputError, match=message):
        render(parameters)
