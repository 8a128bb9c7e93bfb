"""Agreement of drawn masks with known ones, by hand-made masks whose Dice and distance can be counted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from bundle.evaluation.measures.mask_agreement import MaskAgreement
from bundle.statistics.measured import SeparatedJoints
from torch import Tensor

SIZE = 48
SPACING = 0.15


def box(top: int, bottom: int, left: int = 8, right: int = 40) -> Tensor:
    mask = torch.zeros(SIZE, SIZE)
    mask[top:bottom, left:right] = 1.0
    return mask


APART = torch.stack([box(28, 48), box(0, 20)])
OVERLAPPING = torch.stack([box(20, 48), box(0, 28)])


def joints(*masks: Tensor) -> SeparatedJoints:
    """Radiographs that tell their number by their grey."""
    grey = [torch.full((1, SIZE, SIZE), row / 10.0) for row in range(len(masks))]
    images = torch.stack([torch.cat(pair) for pair in zip(grey, masks, strict=True)])
    items = [
        {"name": f"n{row}", "joint": f"j{row}", "finger": "index", "side": "left", "spacing": SPACING}
        for row in range(len(masks))
    ]
    return SeparatedJoints(items, images, torch.zeros_like(images))


def measure(given: list[Tensor], drawn: list[Tensor]) -> Any:
    return MaskAgreement(segment=lambda image: drawn[round(float(image.max()) * 10)], samples=20)(joints(*given))


def test_the_same_masks_agree_fully() -> None:
    figures = measure([APART, OVERLAPPING], [APART, OVERLAPPING]).figures
    for part in ("lower", "upper", "lower_outside", "upper_outside", "inside", "overlapping_lower", "apart_upper"):
        assert figures[f"{part}_dice"] == 1.0
        assert figures[f"{part}_hd95_mm"] == 0.0
    assert (figures["images"], figures["overlap_images"], figures["missed"]) == (2, 1, 0)


def test_a_border_that_is_off_by_two_pixels_is_off_by_their_length() -> None:
    figures = measure([APART], [torch.stack([box(26, 48), APART[1]])]).figures
    assert figures["lower_dice"] == pytest.approx(2 * 20 / (20 + 22))
    assert figures["lower_hd95_mm"] == pytest.approx(2 * SPACING)
    assert figures["upper_dice"] == 1.0


def test_what_is_wrong_inside_the_overlap_does_not_count_outside() -> None:
    missed = torch.stack([box(28, 48), box(0, 28)])  # the lower bone without the overlap
    figures = measure([OVERLAPPING], [missed]).figures
    assert figures["lower_outside_dice"] == figures["upper_outside_dice"] == 1.0
    assert figures["inside_dice"] == 0.0
    assert figures["lower_dice"] == pytest.approx(2 * 20 / (20 + 28))


def test_a_bone_that_is_not_found_is_counted_and_is_the_worst() -> None:
    found = measure([APART, APART], [APART, torch.stack([torch.zeros(SIZE, SIZE), APART[1]])])
    assert found.figures["missed"] == 1
    assert found.figures["lower_hd95_mm"] == 0.0 and found.figures["lower_dice"] == 0.5
    assert math.isnan(found.per_image["lower_hd95_mm"][1])
    assert found.worst[0] == "n1"


def test_masks_are_compared_continued_to_the_border() -> None:
    short = torch.stack([box(28, SIZE - 2), box(2, 20)])
    assert measure([APART], [short]).figures["lower_dice"] == 1.0
