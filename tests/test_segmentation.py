"""Masks of logits: one whole piece a bone, whatever else a network finds."""

from __future__ import annotations

import torch
from torch import Tensor

from bundle.segmentation import BoneMasks, BoneMasksd


def logits() -> Tensor:
    """The lower bone with a hole and a speck beside it, the upper bone over a part of the lower one."""
    values = torch.full((2, 40, 40), -3.0)
    values[0, 18:38, 5:35] = 2.0
    values[0, 25:28, 10:14] = -1.0
    values[0, 2:5, 2:5] = 4.0
    values[1, 2:22, 8:30] = 1.0
    return values


def test_a_mask_is_one_piece_without_holes() -> None:
    lower, upper = BoneMasks()(logits())
    expected = torch.zeros(40, 40)
    expected[18:38, 5:35] = 1.0
    assert torch.equal(lower, expected)
    assert torch.equal(upper, (logits()[1] > 0).float())


def test_masks_may_overlap_and_may_be_empty() -> None:
    values = logits()
    assert float(BoneMasks()(values).prod(dim=0).sum()) == 4 * 22
    values[1] = -1.0
    assert float(BoneMasks()(values)[1].sum()) == 0.0


def test_a_dictionary_gets_masks_in_place_of_logits() -> None:
    made = BoneMasksd("pred")({"pred": logits(), "name": "joint"})
    assert torch.equal(made["pred"], BoneMasks()(logits())) and made["name"] == "joint"
