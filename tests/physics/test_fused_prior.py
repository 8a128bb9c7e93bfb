"""Distances and shares in compiled loops against torch, on phantoms, real joints, and masks of any kind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.io.lists import read_datalist
from bundle.io.reading import read_mask, read_radiograph
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import shares_by_distance
from bundle.physics.masks import signed_distance
from torch import Tensor

pytestmark = pytest.mark.slow

ROUNDING = 1e-5
"""Largest difference of shares of float32, in which torch alone differs from float64 by 6e-6."""


@pytest.fixture(scope="module")
def fused() -> Any:
    pytest.importorskip("numba")
    from bundle.physics import fused_prior

    return fused_prior


@cache
def phantoms(count: int, size: int = 256) -> Tensor:
    """Radiographs and masks; bones that overlap, touch and lie apart."""
    gaps = [-1.0, 0.0, 1.5]
    spacing = MCP.spacing_at(size)
    made = [
        render(sample_parameters(seed, outline_gap_mm=gaps[seed % 3], size=size, spacing=spacing))
        for seed in range(count)
    ]
    return torch.stack([torch.cat([one.image, one.masks]) for one in made])


def shares(image: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
    return shares_by_distance(image[:, :1], signed_distance(image[:, 1:], 8), spacing_mm)


def fused_shares(fused: Any, image: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
    return fused.shares_by_distance(image[:, :1], fused.signed_distance(image[:, 1:], 8), spacing_mm)


def squares(*corners: tuple[int, int, int, int], height: int = 96, width: int = 80) -> Tensor:
    """A radiograph of noise with two rectangular bones."""
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    image[:, 1:] = 0.0
    for bone, (top, bottom, left, right) in enumerate(corners):
        image[:, 1 + bone, top:bottom, left:right] = 1.0
    return image


@pytest.mark.parametrize("reach", [1, 8, 20])
@pytest.mark.parametrize("count", [1, 8])
def test_distances_are_those_of_torch(fused: Any, reach: int, count: int) -> None:
    masks = phantoms(8, 96)[:count, 1:]
    found = fused.signed_distance(masks, reach)
    torch.testing.assert_close(found, signed_distance(masks, reach), atol=0, rtol=2.5e-7)


@pytest.mark.parametrize("size", [64, 97, 256])
@pytest.mark.parametrize("count", [1, 8])
def test_shares_of_phantoms_are_those_of_torch(fused: Any, size: int, count: int) -> None:
    images = phantoms(8, size)[:count]
    found, expected = fused_shares(fused, images, MCP.spacing_at(size)), shares(images, MCP.spacing_at(size))
    torch.testing.assert_close(found, expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize(
    "corners",
    [
        [],
        [(0, 96, 0, 80), (0, 96, 0, 80)],
        [(60, 96, 0, 80), (0, 40, 0, 80)],
        [(30, 90, 10, 70), (0, 50, 20, 60)],
        [(95, 96, 79, 80), (0, 1, 0, 1)],
        [(50, 96, 20, 60)],
    ],
    ids=["no bone", "bones everywhere", "up to the border", "overlap", "single pixels in corners", "one bone"],
)
def test_shares_of_any_mask_are_those_of_torch(fused: Any, corners: list[tuple[int, int, int, int]]) -> None:
    image = squares(*corners)
    found = fused_shares(fused, image)
    torch.testing.assert_close(found, shares(image), atol=ROUNDING, rtol=0)
    torch.testing.assert_close(found.sum(dim=1), torch.ones_like(found[:, 0]), atol=1e-6, rtol=0)


def test_black_and_white_radiographs_have_the_shares_of_torch(fused: Any) -> None:
    for level in (0.0, 1.0):
        image = phantoms(1, 96).clone()
        image[:, 0] = level
        torch.testing.assert_close(fused_shares(fused, image), shares(image), atol=ROUNDING, rtol=0)


def test_threads_and_batches_give_the_bits_of_single_images(fused: Any) -> None:
    images = phantoms(8, 96)
    alone = [fused_shares(fused, image[None]) for image in images]
    with ThreadPoolExecutor(4) as threads:
        beside = list(threads.map(lambda image: fused_shares(fused, image[None]), images.repeat(4, 1, 1, 1)))
    assert all(torch.equal(one, other) for one, other in zip(beside, alone * 4, strict=True))
    assert torch.equal(fused_shares(fused, images), torch.cat(alone))


def test_radiographs_that_are_not_contiguous_are_read_rightly(fused: Any) -> None:
    images = phantoms(8, 96)[:2]
    mirrored = images.flip(-1).contiguous().flip(-1)
    channels_last = images.to(memory_format=torch.channels_last)
    for given in (mirrored, channels_last, images.transpose(-1, -2).contiguous().transpose(-1, -2)):
        assert torch.equal(fused_shares(fused, given), fused_shares(fused, images))


def test_shares_of_real_joints_are_those_of_torch(fused: Any, joint_data: Path) -> None:
    for item in read_datalist(joint_data, "LS_K1_all_test")[::10]:
        parts = [read_radiograph(item["image"]), *(read_mask(item[bone]) for bone in ("lower", "upper"))]
        image = torch.from_numpy(np.stack(parts).astype(np.float32))[None]
        torch.testing.assert_close(fused_shares(fused, image), shares(image), atol=ROUNDING, rtol=0)
