"""Masks against numpy, scipy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.physics.masks import (
    continue_to_border,
    exclusive,
    grow,
    grown,
    overlap,
    signed_distance,
    union,
    visible_region,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, distance_transform_edt
from skimage.morphology import disk
from torch import Tensor

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 24), st.integers(1, 24))


def blobs(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Random binary masks (count, 2, H, W) of all kinds: empty, full, ragged, at the border."""
    random = np.random.default_rng(seed)
    level = random.choice([-1.0, 0.1, 0.5, 0.9, 2.0], size=(count, 2, 1, 1))
    return torch.from_numpy((random.random((count, 2, height, width)) < level).astype(np.float32))


def joint(height: int = 48, width: int = 40) -> Tensor:
    """Two bones (1, 2, H, W) that leave the frame: the lower at the bottom and right, the upper at the top."""
    masks = torch.zeros(1, 2, height, width)
    masks[:, 0, height // 2 + 3 :, 12:] = 1.0
    masks[:, 1, : height // 2, 6:30] = 1.0
    return masks


@given(shape=SHAPES, seed=st.integers(0, 1000))
def test_union_and_overlap_of_binary_masks_are_or_and_and(shape: tuple[int, int, int], seed: int) -> None:
    masks = blobs(*shape, seed=seed)
    lower, upper = (masks[:, bone].numpy() > 0.5 for bone in (0, 1))
    np.testing.assert_array_equal(union(masks)[:, 0].numpy(), lower | upper)
    np.testing.assert_array_equal(overlap(masks)[:, 0].numpy(), lower & upper)
    assert torch.equal(torch.stack([union(one) for one in masks]), union(masks))
    assert torch.equal(torch.stack([overlap(one) for one in masks]), overlap(masks))


def test_union_and_overlap_of_soft_masks_follow_their_formulas() -> None:
    masks = torch.rand(2, 2, 7, 5, dtype=torch.float64)
    lower, upper = masks[:, :1], masks[:, 1:]
    torch.testing.assert_close(union(masks), lower + upper - lower * upper)
    torch.testing.assert_close(overlap(masks), lower * upper)


@given(shape=SHAPES, seed=st.integers(0, 1000))
def test_exclusive_maps_are_those_of_boolean_logic(shape: tuple[int, int, int], seed: int) -> None:
    masks = blobs(*shape, seed=seed)
    visible = torch.maximum(blobs(*shape, seed=seed + 1)[:, :1], union(masks))
    lower, upper, seen = masks[:, 0].numpy() > 0.5, masks[:, 1].numpy() > 0.5, visible[:, 0].numpy() > 0.5
    expected = np.stack([lower & ~upper, upper & ~lower, seen & ~lower & ~upper], axis=1)
    maps = exclusive(masks, visible)
    np.testing.assert_array_equal(maps.numpy(), expected)
    torch.testing.assert_close(maps.sum(dim=1, keepdim=True) + overlap(masks), visible)
    assert torch.equal(exclusive(masks[0], visible[0]), maps[0])


def test_visible_is_what_is_brighter_than_air_and_all_bone() -> None:
    image = torch.tensor([[[[0.0, 0.02, 0.021, 0.0, 0.0, 0.5]]]])
    masks = torch.tensor([[[[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0, 0.0, 0.4, 1.0]]]])
    expected = torch.tensor([[[[0.0, 0.0, 1.0, 1.0, 0.0, 1.0]]]])
    assert torch.equal(visible_region(image, masks), expected)
    assert torch.equal(visible_region(image[0], masks[0]), expected[0])
    assert torch.equal(visible_region(image, masks, air=0.6), torch.tensor([[[[0.0, 0.0, 0.0, 1.0, 0.0, 1.0]]]]))


@given(shape=SHAPES, radius=st.integers(0, 7), seed=st.integers(0, 1000))
def test_growth_is_the_dilation_by_a_disc(shape: tuple[int, int, int], radius: int, seed: int) -> None:
    masks = blobs(*shape, seed=seed)
    grown = grow(masks, radius)
    expected = [binary_dilation(mask, disk(radius)) for mask in masks.flatten(0, 1).numpy() > 0.5]
    np.testing.assert_array_equal(grown.flatten(0, 1).numpy(), expected)
    assert grown.dtype == masks.dtype


@given(shape=SHAPES, radius=st.integers(0, 9), seed=st.integers(0, 1000))
def test_growth_by_the_signed_distance_is_the_same(shape: tuple[int, int, int], radius: int, seed: int) -> None:
    masks = blobs(*shape, seed=seed)
    assert torch.equal(grown(signed_distance(masks, radius + 1), radius), grow(masks, radius))


def test_growth_thresholds_soft_masks_and_keeps_channels_apart() -> None:
    masks = torch.zeros(2, 3, 9, 9, dtype=torch.float64)
    masks[0, 0, 4, 4], masks[1, 2, 4, 4] = 0.51, 0.5
    grown = grow(masks, 1)
    assert float(grown.sum()) == float(grown[0, 0].sum()) == 5.0
    assert torch.equal(grow(masks, 0), (masks > 0.5).double())


def scipy_signed_distance(mask: np.ndarray, reach: int) -> np.ndarray:
    """Half a pixel outside the outermost mask pixels lies the outline; without one in the frame it is far."""
    if mask.all() or not mask.any():
        return np.full(mask.shape, float(reach if mask.all() else -reach))
    signed = np.where(mask, distance_transform_edt(mask) - 0.5, 0.5 - distance_transform_edt(~mask))
    return signed.clip(-reach, reach)


@given(shape=SHAPES, reach=st.integers(1, 9), seed=st.integers(0, 1000))
def test_signed_distance_is_the_euclidean_one_up_to_its_reach(
    shape: tuple[int, int, int], reach: int, seed: int
) -> None:
    masks = blobs(*shape, seed=seed)
    expected = [scipy_signed_distance(mask, reach) for mask in masks.flatten(0, 1).numpy() > 0.5]
    np.testing.assert_allclose(signed_distance(masks, reach).flatten(0, 1).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("reach", [3, 8, 15])
def test_signed_distance_of_bones_is_exact_and_knows_no_outline_at_the_border(reach: int) -> None:
    masks = joint()
    distance = signed_distance(masks, reach)
    for bone in (0, 1):
        expected = scipy_signed_distance(masks[0, bone].numpy() > 0.5, reach)
        np.testing.assert_allclose(distance[0, bone].numpy(), expected, atol=1e-5)
    deepest = min(reach, 12 - 0.5)
    assert torch.equal(distance[0, 1, :6, 17:19], torch.full((6, 2), float(deepest)))


def test_signed_distance_is_half_a_pixel_on_both_sides_of_an_edge() -> None:
    masks = torch.zeros(1, 1, 5, 8)
    masks[..., 4:] = 1.0
    expected = torch.tensor([-3.0, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.0]).expand(5, 8)
    torch.testing.assert_close(signed_distance(masks, 3)[0, 0], expected)


def naive_continued(masks: np.ndarray, reach: int) -> np.ndarray:
    """Up to the deepest bone pixel within reach of the border, a column is bone."""
    continued = masks.copy()
    height, width = masks.shape[-2:]
    for x in range(width):
        for row in range(min(reach, height - 1) + 1):
            if masks[1, row, x]:
                continued[1, :row, x] = 1.0
            if masks[0, height - 1 - row, x]:
                continued[0, height - row :, x] = 1.0
    return continued


@given(shape=SHAPES, reach=st.integers(0, 5), seed=st.integers(0, 1000))
def test_shafts_are_continued_column_by_column_within_reach(shape: tuple[int, int, int], reach: int, seed: int) -> None:
    masks = blobs(*shape, seed=seed)
    before = masks.clone()
    continued = continue_to_border(masks, 0.1, 0.1 * reach)
    np.testing.assert_array_equal(continued.numpy(), [naive_continued(one, reach) for one in masks.numpy()])
    assert torch.equal(torch.stack([continue_to_border(one, 0.1, 0.1 * reach) for one in masks]), continued)
    assert torch.equal(masks, before)


def test_a_bone_that_ends_in_the_frame_is_left_alone() -> None:
    masks = torch.zeros(2, 40, 20)
    masks[0, 22:36, 4:16] = 1.0
    masks[1, 4:18, 4:16] = 1.0
    assert torch.equal(continue_to_border(masks, 0.1, 0.3), masks)
    assert float(continue_to_border(masks, 0.1, 0.4)[:, [0, -1]].sum()) == 24.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
def test_gpu_and_cpu_agree() -> None:
    masks = blobs(3, 40, 50)
    assert torch.equal(grow(masks.cuda(), 5).cpu(), grow(masks, 5))
    torch.testing.assert_close(signed_distance(masks.cuda(), 8).cpu(), signed_distance(masks, 8))
