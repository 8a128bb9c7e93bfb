"""Pseudo-overlap images: the widths they reach, their layers, and Eq. 10 pixel by pixel."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from bundle.measurement.outline_gap import outline_gap
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate, support
from bundle.physics.masks import overlap
from bundle.physics.motion import RigidMotion, move
from bundle.physics.radiograph import reconstruct
from bundle.physics.synthesis import synthesize
from bundle.separation.pseudo_overlap import OverlapMaker, OverlapRange, compose_layers, compose_published
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

SMALL = 21 / 64
MAKERS = [compose_layers, compose_published]


@lru_cache
def joints(*seeds: int, size: int = 64, outline_gap_mm: float = 1.4) -> tuple[Tensor, Tensor]:
    """Separated layers and masks of phantoms whose bones do not overlap."""
    made = [
        render(sample_parameters(seed, size=size, spacing=21 / size, outline_gap_mm=outline_gap_mm)) for seed in seeds
    ]
    masks = torch.stack([p.masks for p in made])
    return separate(torch.stack([p.image for p in made]), masks), masks


def closing(count: int, seed: int = 0, **ranges: Any) -> RigidMotion:
    return OverlapRange(**ranges).sample(joints(*range(count))[1], SMALL, np.random.RandomState(seed))


def moved_width(masks: Tensor, motion: RigidMotion, spacing: float | Tensor) -> Tensor:
    return outline_gap(move(torch.cat([masks[:, :1], masks], dim=1), masks, motion, spacing)[1], spacing)


@pytest.mark.slow
@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), low=st.floats(-1.6, 1.0), extent=st.floats(0.0, 1.5))
def test_draws_bring_every_joint_into_the_wanted_range(seed: int, low: float, extent: float) -> None:
    _, masks = joints(0, 1, 2, 3, size=128)
    wanted = OverlapRange(outline_gap_mm=(low, low + extent), x_mm=0.0, rotation_deg=0.0)
    motion = wanted.sample(masks, 21 / 128, np.random.RandomState(seed))
    widths = moved_width(masks, motion, 21 / 128)
    assert bool((widths > low - 0.02).all())
    assert bool((widths < low + extent + 0.02).all())


@pytest.mark.slow
def test_shifts_and_rotations_leave_the_widths_near_the_range() -> None:
    _, masks = joints(*range(6), size=128)
    motion = OverlapRange(outline_gap_mm=(-1.0, -0.6)).sample(masks, 21 / 128, np.random.RandomState(0))
    widths = moved_width(masks, motion, 21 / 128)
    assert float(widths.mean()) == pytest.approx(-0.8, abs=0.2)
    assert bool(((widths > -1.5) & (widths < -0.1)).all())


def test_draws_fill_the_ranges_and_share_the_change_between_the_bones() -> None:
    _, masks = joints(0)
    masks = masks.expand(400, -1, -1, -1)
    now = float(outline_gap(masks[:1], SMALL))
    motion = OverlapRange(outline_gap_mm=(-1.5, 0.1), x_mm=0.4, rotation_deg=3.0).sample(
        masks, SMALL, np.random.RandomState(0)
    )
    down = motion.translation[..., 1]
    change = down[:, 0] - down[:, 1]
    cases = [(change + now, -1.5, 0.1), (down[:, 0] / change, 0.0, 1.0)]
    cases += [(motion.translation[:, bone, 0], -0.4, 0.4) for bone in (0, 1)]
    cases += [(motion.rotation[:, bone], -3.0, 3.0) for bone in (0, 1)]
    for values, low, high in cases:
        slack = 0.03 * (high - low)
        assert low - 1e-5 <= float(values.min()) < low + slack
        assert high - slack < float(values.max()) <= high + 1e-5
        assert float(values.mean()) == pytest.approx((low + high) / 2, abs=3 * slack)
    assert float(motion.center.abs().max()) == 0.0


def test_draws_follow_the_random_state() -> None:
    one, again, other = closing(2, 5), closing(2, 5), closing(2, 6)
    for field in fields(RigidMotion):
        assert torch.equal(getattr(one, field.name), getattr(again, field.name))
    assert not torch.equal(one.translation, other.translation)


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_every_joint_is_closed_with_its_own_spacing(shape: tuple[int, ...]) -> None:
    _, masks = joints(0, 1)
    spacing = torch.tensor([SMALL, SMALL / 2])
    closed = OverlapRange(outline_gap_mm=(-0.5, -0.5), x_mm=0.0, rotation_deg=0.0)
    motion = closed.sample(masks, spacing.reshape(shape), np.random.RandomState(0))
    torch.testing.assert_close(moved_width(masks, motion, spacing), torch.full((2,), -0.5), atol=0.03, rtol=0)


def test_bones_without_a_common_column_get_a_finite_motion() -> None:
    masks = joints(0)[1].clone()
    masks[:, 0, :, :40] = masks[:, 1, :, 30:] = 0.0
    motion = OverlapRange(outline_gap_mm=(-1.0, 0.0)).sample(masks, SMALL, np.random.RandomState(0))
    assert torch.isfinite(motion.translation).all()
    assert float(motion.translation[..., 1].abs().max()) <= 1.0


@pytest.mark.parametrize("jsw", [(0.5, -0.5), (0.1,), (0.0, 1.0, 2.0), (float("nan"), 0.0)])
def test_a_range_that_does_not_ascend_is_refused(jsw: Any) -> None:
    with pytest.raises(ValueError, match=r"outline_gap_mm must be \(minimum, maximum\) in mm, got \("):
        OverlapRange(outline_gap_mm=jsw)


@pytest.mark.slow
def test_composed_layers_are_the_truth_of_their_image() -> None:
    layers, masks = joints(0, 1, 2)
    motion = closing(3)
    made = compose_layers(layers, masks, motion, SMALL, [1, 2, 3])
    assert torch.equal(made.image, reconstruct(made.layers))
    moved, moved_masks = move(layers, masks, motion, SMALL, "bicubic")
    assert torch.equal(made.layers[:, 1:], moved[:, 1:])
    assert torch.equal(made.masks, moved_masks)
    assert torch.equal(made.image, synthesize(layers, masks, motion, SMALL, [1, 2, 3]).image)
    assert bool((overlap(made.masks).sum(dim=(1, 2, 3)) > 1).any())


def naive_published(layers: Tensor, masks: Tensor, motion: RigidMotion, spacing: float) -> np.ndarray:
    """Eq. 10 for one joint: ``1 - k prod(1 - B_i)`` in the overlap; a bone with its tissue, or the fill, elsewhere."""
    soft = layers[0, 0].double().numpy()
    with_tissue = 1 - (1 - layers[:, :1]) * (1 - layers[:, 1:])
    moved, moved_masks = move(torch.cat([layers[:, :1], with_tissue], dim=1), masks, motion, spacing)
    cut, mask = moved[0, 1:].double().numpy(), moved_masks[0].double().numpy()
    weights = mask[0] * mask[1]
    k = 1.0 / (1.0 - (soft * weights).sum() / weights.sum())
    image = np.empty_like(soft)
    for row, column in np.ndindex(*soft.shape):
        b, m, tissue = cut[:, row, column], mask[:, row, column], soft[row, column]
        if m[0] * m[1] > 0.5:
            image[row, column] = 1 - k * (1 - b[0] * m[0]) * (1 - b[1] * m[1])
        else:
            share = m / max(m[0] + m[1], 1.0)
            image[row, column] = share @ b + (1 - share.sum()) * tissue
    return image.clip(0.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_published_image_is_eq_10_pixel_by_pixel(seed: int) -> None:
    layers, masks = joints(seed)
    motion = OverlapRange(outline_gap_mm=(-1.2, -0.8)).sample(masks, SMALL, np.random.RandomState(seed))
    made = compose_published(layers, masks, motion, SMALL, [0])
    assert float(overlap(made.masks).sum()) > 20
    expected = naive_published(layers, masks, motion, SMALL)
    np.testing.assert_allclose(made.image[0, 0].numpy(), expected, atol=2e-6)


def test_k_takes_constant_tissue_out_of_the_overlap_exactly_once() -> None:
    layers = torch.full((1, 3, 48, 48), 0.3)
    layers[:, 1:] = 0.0
    masks = torch.zeros(1, 2, 48, 48)
    masks[:, 0, 30:, 8:40], masks[:, 1, :18, 8:40] = 1.0, 1.0
    layers[:, 1], layers[:, 2] = 0.5 * masks[:, 0], 0.4 * masks[:, 1]
    spacing = 1.0
    motion = RigidMotion.widening(torch.tensor([-20.0]))
    made = compose_published(layers, masks, motion, spacing, [0])
    both = overlap(made.masks) > 0.5
    assert int(both.sum()) == 8 * 32
    torch.testing.assert_close(made.image[both], torch.full((8 * 32,), 1 - 0.7 * 0.5 * 0.6), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.layers[:, 0], layers[:, 0])
    torch.testing.assert_close(reconstruct(made.layers), made.image, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_published_layers_compose_nearly_to_their_image() -> None:
    layers, masks = joints(0, 1, 2, size=128)
    motion = OverlapRange(outline_gap_mm=(-1.2, -0.4)).sample(masks, 21 / 128, np.random.RandomState(1))
    made = compose_published(layers, masks, motion, 21 / 128, [0, 1, 2])
    error = (reconstruct(made.layers) - made.image).abs()
    assert float(error.mean()) < 0.01
    both = overlap(made.masks) > 0.5
    assert float(error[both].mean()) < 0.05
    exact = compose_layers(layers, masks, motion, 21 / 128, [0, 1, 2])
    assert float((made.image - exact.image).abs()[both].mean()) < 0.05


@pytest.mark.parametrize("maker", MAKERS)
def test_every_joint_is_made_alone_and_the_same_again(maker: OverlapMaker) -> None:
    layers, masks = joints(0, 1)
    motion = closing(2)
    together = maker(layers, masks, motion, SMALL, [3, 4])
    assert torch.equal(maker(layers, masks, motion, SMALL, [3, 4]).image, together.image)
    assert list(together.seeds) == [3, 4]
    assert together.motion is motion
    for sample in range(2):
        alone = maker(layers[sample, None], masks[sample, None], motion.of(sample), SMALL, [3 + sample])
        torch.testing.assert_close(together.image[sample, None], alone.image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("outline_gap_mm", [-1.6, -1.0])
def test_shafts_at_the_border_are_as_bright_as_before(maker: OverlapMaker, outline_gap_mm: float) -> None:
    """No black band where the pushed bones uncover the border."""
    layers, masks = joints(0, 1, 2, 3, size=128)
    motion = OverlapRange(outline_gap_mm=(outline_gap_mm, outline_gap_mm)).sample(
        masks, 21 / 128, np.random.RandomState(2)
    )
    made = maker(layers, masks, motion, 21 / 128, [0, 1, 2, 3])
    before = reconstruct(layers)
    for bone, rows in ((0, slice(-10, None)), (1, slice(0, 10))):
        shaft = (support(masks)[:, bone, rows] > 0) & (support(made.masks)[:, bone, rows] > 0)
        old, new = before[:, 0, rows][shaft], made.image[:, 0, rows][shaft]
        assert float(new.mean()) == pytest.approx(float(old.mean()), rel=0.1)
        assert float(new.quantile(0.01)) > 0.8 * float(old.quantile(0.01))


@pytest.mark.slow
@pytest.mark.parametrize("maker", MAKERS)
def test_overlap_is_brighter_than_either_bone(maker: OverlapMaker) -> None:
    layers, masks = joints(0, 1, size=128)
    motion = OverlapRange(outline_gap_mm=(-1.4, -1.4), x_mm=0.0, rotation_deg=0.0).sample(
        masks, 21 / 128, np.random.RandomState(0)
    )
    made = maker(layers, masks, motion, 21 / 128, [0, 1])
    both = overlap(made.masks)[:, 0] > 0.5
    moved, _ = move(layers, masks, motion, 21 / 128)
    for bone in (1, 2):
        alone = reconstruct(moved[:, [0, bone]])[:, 0]
        assert float(made.image[:, 0][both].mean()) > float(alone[both].mean()) + 0.02


def test_without_motion_and_overlap_the_published_image_is_the_joint() -> None:
    """Up to the bones' penumbra, which the published image cuts off along the mask."""
    layers, masks = joints(0, 1, size=128)
    hard = (masks > 0.5).float()
    made = compose_published(layers, hard, RigidMotion.still(2), 21 / 128, [0, 0])
    bone = hard.amax(dim=1, keepdim=True) > 0
    torch.testing.assert_close(made.image[bone], reconstruct(layers)[bone], atol=1e-5, rtol=0)
    torch.testing.assert_close(made.image[~bone], layers[:, :1][~bone], atol=1e-5, rtol=0)
