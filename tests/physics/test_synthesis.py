"""Synthetic joints: what is asked is what is made, and nothing else changes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from bundle.joint import MCP
from bundle.measurement.outline_gap import outline_gap
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import GROWTH_MM, separate, support
from bundle.physics.masks import visible_region
from bundle.physics.motion import MotionRange, RigidMotion, move
from bundle.physics.noise_texture import DETAIL_MM, local_mean
from bundle.physics.radiograph import attenuation, reconstruct
from bundle.physics.synthesis import SyntheticJoints, synthesize
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

SPACING = MCP.spacing_mm

MODES = ["bilinear", "bicubic"]


@lru_cache
def separated(*seeds: int, size: int = 256, outline_gap_mm: float | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Images of phantoms, their masks, and the layers that the weight-free separator finds."""
    made = [
        render(sample_parameters(seed, size=size, spacing=21 / size, outline_gap_mm=outline_gap_mm)) for seed in seeds
    ]
    image, masks = torch.stack([p.image for p in made]), torch.stack([p.masks for p in made])
    return image, masks, separate(image, masks)


def widened(change: float, *seeds: int, outline_gap_mm: float | None = None, noise_texture: int = 0) -> SyntheticJoints:
    _, masks, layers = separated(*seeds, outline_gap_mm=outline_gap_mm)
    motion = RigidMotion.widening(torch.full((len(seeds),), change))
    return synthesize(layers, masks, motion, SPACING, [noise_texture + index for index in range(len(seeds))])


def uncovered_by(made: SyntheticJoints, masks: Tensor, spacing: float = SPACING) -> Tensor:
    """Where a bone has gone; moved supports are resampled, so that their rim may be off by a pixel."""
    before, after = support(masks, spacing), support(made.masks, spacing, GROWTH_MM - spacing)
    return (before.amax(dim=1, keepdim=True) > 0) & ~(after.amax(dim=1, keepdim=True) > 0)


def same(one: SyntheticJoints, other: SyntheticJoints) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("image", "layers", "masks"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_no_motion_gives_the_image_back(mode: str) -> None:
    image, masks, layers = separated(0, 1, 2)
    made = synthesize(layers, masks, RigidMotion.still(3), SPACING, [1, 2, 3], mode)
    torch.testing.assert_close(made.image, image.clamp(max=1 - 2.0**-15), atol=2e-6, rtol=0)
    torch.testing.assert_close(made.layers, layers, atol=1e-6, rtol=0)
    torch.testing.assert_close(made.masks, masks, atol=1e-6, rtol=0)


@pytest.mark.slow
@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), mode=st.sampled_from(MODES))
def test_any_motion_gives_layers_that_compose_to_the_image(seed: int, mode: str) -> None:
    _, masks, _ = separated(0, 1, size=64)
    layers = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    layers[:, :, 20:24] = 1.0
    motion = MotionRange().sample(2, np.random.RandomState(seed))
    made = synthesize(layers, masks, motion, 21 / 64, [seed, seed + 1], mode)
    assert torch.equal(made.image, reconstruct(made.layers))
    for part in (made.image, made.layers, made.masks):
        assert torch.isfinite(part).all()
        assert float(part.min()) >= 0.0
        assert float(part.max()) <= 1.0
    moved, moved_masks = move(layers, masks, motion, 21 / 64, mode)
    assert torch.equal(made.layers[:, 1:], moved[:, 1:])
    assert torch.equal(made.masks, moved_masks)
    kept = ~uncovered_by(made, masks, 21 / 64)
    assert torch.equal(made.layers[:, :1][kept], layers[:, :1][kept])


@pytest.mark.slow
@pytest.mark.parametrize("change", [-1.3, -0.03, 0.05, 1.0])
def test_the_width_changes_by_what_was_asked(change: float) -> None:
    _, masks, _ = separated(0, 1, 2, 3)
    made = widened(change, 0, 1, 2, 3)
    difference = outline_gap(made.masks, SPACING) - outline_gap(masks, SPACING)
    torch.testing.assert_close(difference, torch.full((4,), change), atol=0.02, rtol=0)


@pytest.mark.slow
def test_tissue_changes_only_where_a_bone_has_gone() -> None:
    _, masks, layers = separated(0, 1, outline_gap_mm=0.2)
    made = widened(1.2, 0, 1, outline_gap_mm=0.2)
    uncovered = uncovered_by(made, masks)
    assert int(uncovered.sum()) > 1000
    assert torch.equal(made.layers[:, :1][~uncovered], layers[:, :1][~uncovered])
    assert float((made.layers - layers)[:, :1][uncovered].std()) > 0.002


@pytest.mark.slow
@pytest.mark.parametrize("outline_gap_mm", [0.0, 1.0])
def test_uncovered_tissue_has_the_brightness_and_grain_of_tissue(outline_gap_mm: float) -> None:
    image, masks, _ = separated(4, 5, outline_gap_mm=outline_gap_mm)
    made = widened(1.4, 4, 5, outline_gap_mm=outline_gap_mm)
    soft = attenuation(made.layers[:, :1])
    noise_texture = soft - local_mean(soft, torch.ones_like(soft), DETAIL_MM / SPACING)
    tissue = (visible_region(image, masks) > 0) & (support(masks).amax(dim=1, keepdim=True) == 0)
    for sample in range(2):
        seen, new = tissue[sample], uncovered_by(made, masks)[sample]
        assert float(noise_texture[sample][new].std()) == pytest.approx(
            float(noise_texture[sample][seen].std()), rel=0.3
        )
        low, high = soft[sample][seen].quantile(torch.tensor([0.02, 0.98]))
        assert float(low) < float(soft[sample][new].mean()) < float(high)


@pytest.mark.slow
def test_seeds_are_recorded_and_change_the_grain_alone() -> None:
    _, masks, _ = separated(0, 1, outline_gap_mm=0.4)
    one, again, other = (widened(1.0, 0, 1, outline_gap_mm=0.4, noise_texture=seed) for seed in (7, 7, 70))
    assert (list(one.seeds), list(other.seeds)) == ([7, 8], [70, 71])
    assert same(one, again)
    changed = one.image != other.image
    assert bool(changed.any())
    assert not bool((changed & ~uncovered_by(one, masks)).any())
    assert float(one.motion.translation[0, 0, 1]) == pytest.approx(0.5)


@pytest.mark.slow
def test_a_batch_is_made_of_its_joints_alone() -> None:
    _, masks, layers = separated(0, 1, outline_gap_mm=0.5)
    motion = MotionRange(x_mm=0.5, y_mm=0.8, rotation_deg=4.0).sample(2, np.random.RandomState(3))
    spacing = torch.tensor([SPACING, 0.9 * SPACING])
    together = synthesize(layers, masks, motion, spacing, [11, 12])
    for sample in range(2):
        pair = (layers[sample, None], masks[sample, None])
        alone = synthesize(*pair, motion.of(sample), float(spacing[sample]), [11 + sample])
        torch.testing.assert_close(together.image[sample, None], alone.image, atol=1e-5, rtol=0)
        torch.testing.assert_close(together.masks[sample, None], alone.masks, atol=1e-6, rtol=0)


def test_a_recorded_motion_and_seed_make_the_same_bits_again() -> None:
    _, masks, layers = separated(2, outline_gap_mm=0.5)
    made = widened(0.77, 2, outline_gap_mm=0.5, noise_texture=99)
    replayed = synthesize(layers, masks, RigidMotion.from_json(made.motion.to_json()), SPACING, made.seeds)
    assert same(made, replayed)


@pytest.mark.parametrize("seeds", [[], [1], [1, 2, 3]])
def test_every_joint_needs_a_seed(seeds: list[int]) -> None:
    _, masks, layers = separated(0, 1, size=64)
    with pytest.raises(ValueError, match=f"one seed for each of 2 joints, got {len(seeds)}"):
        synthesize(layers, masks, RigidMotion.still(2), 21 / 64, seeds)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
def test_gpu_and_cpu_make_the_same_joint() -> None:
    _, masks, layers = separated(0, outline_gap_mm=0.5)
    motion = RigidMotion.widening(torch.tensor([1.0]))
    on_gpu = synthesize(layers.cuda(), masks.cuda(), motion, SPACING, [3])
    torch.testing.assert_close(
        on_gpu.image.cpu(), widened(1.0, 0, outline_gap_mm=0.5, noise_texture=3).image, atol=1e-4, rtol=0
    )
