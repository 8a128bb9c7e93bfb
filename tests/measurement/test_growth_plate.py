"""Growth plates: a dark band planted across the base is open, a base without one is closed."""

from __future__ import annotations

import pytest
import torch
from bundle.measurement.growth_plate import PlateSigns, plate_signs
from bundle.measurement.pose import joint_pose
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from torch import Tensor

SIDE = 21.0


def signs(image: Tensor, masks: Tensor) -> PlateSigns:
    masks = (masks > 0.5).float()[None]
    return plate_signs(image[None], masks, joint_pose(masks, SIDE / masks.shape[-1]), SIDE)


@pytest.mark.parametrize("seed", [20, 23, 26])
def test_only_a_dark_band_above_the_base_is_an_open_plate(seed: int) -> None:
    made = render(sample_parameters(seed, outline_gap_mm=1.5))
    assert signs(made.image, made.masks).states == ("closed",)
    rows = torch.arange(256)[:, None] * SIDE / 256
    base = torch.where(made.masks[1] > 0.5, rows, 0.0).amax()
    band = (rows - (base - 4.5)).abs() < 0.4
    grown = torch.where(band & (made.masks[1] > 0.5), made.image * 0.55, made.image)
    assert signs(grown, made.masks).states == ("open",)


def test_masks_that_leave_the_bones_or_cross_leave_the_plate_unknown() -> None:
    made = render(sample_parameters(23, outline_gap_mm=1.5))
    assert bool(signs(made.image, made.masks).on_bones)
    soft = torch.where(made.masks[:1] > 0.5, made.image.min(), made.image)
    assert signs(soft, made.masks).states == ("unknown",)
    crossing = made.masks.clone()
    crossing[1] = torch.maximum(crossing[1], crossing[0].roll(-20, 0) * (torch.arange(256)[:, None] < 180))
    found = signs(made.image, crossing)
    assert float(found.crossing) > 12.0 and found.states == ("unknown",)
    assert signs(made.image, torch.zeros_like(made.masks)).states == ("unknown",)
