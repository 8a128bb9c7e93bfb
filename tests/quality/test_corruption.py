from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.quality.corruption import CORRUPTIONS, corrupt
from torch import Tensor

SIZE = 96
SPACING = 21 / SIZE


@pytest.fixture(scope="module")
def image() -> Tensor:
    phantom = render(sample_parameters(3, size=SIZE, spacing=SPACING))
    return torch.cat([phantom.image, (phantom.masks > 0.5).float()])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_changes_something_and_is_repeated_by_its_seed(name: str, image: Tensor) -> None:
    before = image.clone()
    (found, spacing), (again, spacing_again) = (corrupt(name, image, SPACING, 5) for _ in range(2))
    assert torch.equal(image, before)
    assert torch.equal(found, again)
    assert spacing == spacing_again
    assert found.shape == image.shape
    assert found.dtype == image.dtype
    assert 0.0 <= float(found.min()) <= float(found.max()) <= 1.0
    assert not torch.equal(found, image) or spacing != SPACING


@pytest.mark.parametrize("name", ["blank", "noise_0.1", "masks_shifted_2mm"])
def test_another_seed_gives_another_image(name: str, image: Tensor) -> None:
    assert not torch.equal(corrupt(name, image, SPACING, 0)[0], corrupt(name, image, SPACING, 1)[0])


@pytest.mark.parametrize("name", ["inverted", "swapped", "upside_down", "image_upside_down"])
def test_what_turns_the_image_turns_it_back(name: str, image: Tensor) -> None:
    once, spacing = corrupt(name, image, SPACING, 0)
    assert torch.allclose(corrupt(name, once, spacing, 0)[0], image, atol=1e-6)


def test_masks_move_by_the_distance_and_the_radiograph_stays(image: Tensor) -> None:
    """A small square that reaches no border."""
    image = image.clone()
    image[1:] = 0.0
    image[1:, 44:52, 44:52] = 1.0
    for seed in range(5):
        found, _ = corrupt("masks_shifted_4mm", image, SPACING, seed)
        assert torch.equal(found[0], image[0])
        y, x = (found[1] > 0).nonzero().double().mean(dim=0) - torch.tensor([47.5, 47.5])
        assert float(torch.hypot(x, y)) * SPACING == pytest.approx(4.0, abs=SPACING)
        assert torch.equal(found[1], found[2])
    one, _ = corrupt("lower_mask_shifted_2mm", image, SPACING, 0)
    assert torch.equal(one[2], image[2])
    assert not torch.equal(one[1], image[1])


def test_masks_grow_and_shrink_by_the_distance(image: Tensor) -> None:
    image = image.clone()
    image[1:] = 0.0
    image[1:, 30:60, 40:70] = 1.0
    radius = round(1.0 / SPACING)
    wide, _ = corrupt("masks_1mm_too_wide", image, SPACING, 0)
    narrow, _ = corrupt("masks_1mm_too_narrow", image, SPACING, 0)
    assert int(wide[1].any(dim=0).sum()) == 30 + 2 * radius
    assert int(narrow[1].any(dim=0).sum()) == 30 - 2 * radius


def test_noise_blur_and_gain_are_of_the_stated_size(image: Tensor) -> None:
    flat = image.clone()
    flat[0] = 0.5
    assert float(corrupt("noise_0.05", flat, SPACING, 0)[0][0].std()) == pytest.approx(0.05, rel=0.05)
    assert torch.allclose(corrupt("blur_0.6mm", flat, SPACING, 0)[0][0], flat[0], atol=1e-3)
    point = torch.zeros_like(flat)
    point[0, SIZE // 2, SIZE // 2] = 1.0
    spread = corrupt("blur_0.6mm", point, SPACING, 0)[0][0].double()
    offset = torch.arange(SIZE).double() - SIZE // 2
    variance = float((spread.sum(dim=0) * offset**2).sum() / spread.sum())
    assert np.sqrt(variance) * SPACING == pytest.approx(0.6, rel=0.05)
    assert torch.allclose(corrupt("underexposed", image, SPACING, 0)[0][0], 0.3 * image[0])


def test_a_wrong_spacing_leaves_the_image_as_it_is(image: Tensor) -> None:
    found, spacing = corrupt("spacing_x1.4", image, SPACING, 0)
    assert torch.equal(found, image)
    assert spacing == pytest.approx(1.4 * SPACING)
