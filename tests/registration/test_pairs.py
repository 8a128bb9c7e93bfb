"""Variations of pairs keep what is true of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from bundle.joint import MCP
from bundle.registration.alignment import Alignment, FrameMotion, narrowing, warp_bones
from bundle.registration.pairs import JointPairs, RandPairs, prepare_pairs
from torch import Tensor

SIZE = 64
PIXEL = MCP.frame_mm / SIZE


def picture(lower: Alignment, upper: Alignment) -> Tensor:
    """A smooth radiograph with masks (3, H, W) whose bones lie as alignments (1,) of a reference say."""
    steps = (torch.arange(SIZE) - (SIZE - 1) / 2) * PIXEL
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    places = torch.stack([x, y], dim=-1).reshape(1, -1, 2)
    drawn = []
    for bone, side in ((lower, 1.0), (upper, -1.0)):
        u, v = bone.inverse()(places)[0].reshape(SIZE, SIZE, 2).unbind(-1)
        inside = torch.sigmoid(4.0 * (side * v - 0.8)) * torch.sigmoid(4.0 * (4.0 - u.abs()))
        drawn.append((inside, inside * (0.4 + 0.1 * torch.sin(1.1 * u + 0.3) * torch.cos(0.8 * v))))
    (lower_mask, one), (upper_mask, other) = drawn
    return torch.stack([0.2 + one + other, lower_mask, upper_mask])


def pairs(seed: int = 0) -> JointPairs:
    random = np.random.RandomState(seed)
    center = torch.tensor([[0.0, 0.8], [0.0, -0.8]])
    drawn = torch.from_numpy(random.uniform(-1.0, 1.0, (2, 4))).float() * torch.tensor([0.0, 2.0, 0.3, 0.3])
    bones = Alignment.from_parameters(drawn + torch.tensor([1.0, 0.0, 0.0, 0.0]), center)
    parts = [Alignment(*(part[bone : bone + 1] for part in vars(bones).values())) for bone in range(2)]
    still = [Alignment.still(center[bone : bone + 1]) for bone in range(2)]
    moved = bones(center[:, None])[:, 0]
    return JointPairs.of(
        {
            "image": picture(*still)[None],
            "moving": picture(*parts)[None],
            "spacing": torch.tensor([[PIXEL]]),
            "moving_center": moved[None],
            "alignment": bones.parameters()[None],
            "center": center[None],
        }
    )


def mismatch(given: JointPairs) -> float:
    """Largest difference inside the bones after the true alignment."""
    warped = warp_bones(given.moving[:, :1], given.bones, given.spacing, "bicubic")
    inside = (given.fixed[:, 1:] > 0.9) & (given.fixed[:, 1:].flip(1) < 0.01)
    inner = torch.zeros_like(inside)
    inner[..., 12:-12, 12:-12] = True
    apart = (given.fixed[:, :1] - warped).abs()[inside & inner]
    assert len(apart) > 150
    return float(apart.max())


def test_the_phantom_of_these_tests_is_aligned_as_it_says() -> None:
    assert mismatch(pairs()) < 0.01


@pytest.mark.parametrize("seed", [0, 1])
def test_reversed_mirrored_placed_and_reduced_pairs_are_aligned_as_they_say(seed: int) -> None:
    given = pairs(seed)
    frame = FrameMotion(translation_mm=1.0, rotation_deg=4.0, scale=0.02).sample(1, np.random.RandomState(seed))
    for varied in (given.reversed(), given.mirrored(), given.placed(frame, "bicubic"), given.reversed().placed(frame)):
        assert mismatch(varied) < 0.015
    finer = given.placed(frame).reduced(48)
    assert finer.fixed.shape[-1] == 48
    assert float(finer.spacing) == pytest.approx(MCP.frame_mm / 48)


def test_masks_drawn_otherwise_move_the_centres_and_nothing_else() -> None:
    given, shift = pairs(), torch.tensor([[[0.2, -0.3], [0.1, 0.25]]])
    drawn = given.outlined(shift)
    assert torch.equal(drawn.fixed[:, :1], given.fixed[:, :1])
    assert torch.allclose(drawn.bones.center, given.bones.center + shift)
    for bone in range(2):
        moved = [
            (part.fixed[0, 1 + bone] * torch.arange(SIZE)[:, None]).sum() / part.fixed[0, 1 + bone].sum()
            for part in (given, drawn)
        ]
        assert float(moved[1] - moved[0]) * PIXEL == pytest.approx(float(shift[0, bone, 1]), abs=0.15)
    assert mismatch(drawn) < 0.01


def test_a_variation_changes_the_narrowing_only_in_its_sign() -> None:
    given = pairs()
    true = float(narrowing(given.bones))
    frame = FrameMotion(translation_mm=1.0, rotation_deg=4.0).sample(1, np.random.RandomState(0))
    assert float(narrowing(given.mirrored().bones)) == pytest.approx(true, abs=1e-5)
    assert float(narrowing(given.placed(frame).bones)) == pytest.approx(true, abs=1e-5)
    assert float(narrowing(given.reversed().bones)) == pytest.approx(-true, abs=0.02)
    assert mismatch(given.reversed().reversed()) < 0.01


def batch() -> dict[str, Any]:
    given = [pairs(seed) for seed in (0, 1)]
    return {
        "image": torch.cat([pair.fixed for pair in given]),
        "moving": torch.cat([pair.moving for pair in given]),
        "spacing": torch.cat([pair.spacing for pair in given]),
        "moving_center": torch.cat([pair.moving_center for pair in given]),
        "alignment": torch.cat([pair.bones.parameters() for pair in given]),
        "center": torch.cat([pair.bones.center for pair in given]),
    }


def test_random_variations_are_true_in_range_and_repeat_by_their_seed() -> None:
    vary = RandPairs(variations=3, size=SIZE, gamma=(1.0, 1.0), noise=0.0, seed=4)
    first, target, others, _ = vary(batch())
    assert first.shape == (6, 1, SIZE, SIZE) and len(others) == 4
    assert torch.equal(others[0], target.fixed[:, 1:]) and torch.equal(others[3], target.bones.center)
    assert mismatch(target) < 0.03
    again = RandPairs(variations=3, size=SIZE, gamma=(1.0, 1.0), noise=0.0, seed=4)(batch())[1]
    assert torch.equal(again.moving, target.moving)
    assert not torch.equal(vary(batch())[1].moving, target.moving)


def test_only_pairs_whose_alignment_nobody_knows_are_reversed() -> None:
    vary = RandPairs(
        variations=1, size=SIZE, reversing=1.0, frame=FrameMotion(translation_mm=0.0, rotation_deg=0.0), outline_mm=0.0
    )
    given = batch()
    known = vary(given)[1]
    assert known.known.all()
    assert torch.allclose(narrowing(known.bones), narrowing(JointPairs.of(given).bones), atol=1e-4)
    given["alignment"][1] = torch.nan
    half = vary(given)[1]
    assert half.known.tolist() == [True, False]
    assert torch.allclose(half.bones.center[1, :, 1], given["moving_center"][1, :, 1], atol=1e-4)
    assert torch.equal(half.of_rows(~half.known).fixed, half.fixed[1:])


def test_exposure_and_noise_stay_in_range_and_leave_masks_alone() -> None:
    vary = RandPairs(variations=1, size=SIZE, frame=FrameMotion(translation_mm=0.0, rotation_deg=0.0), noise=0.3)
    _, varied, _, _ = vary(batch())
    assert float(varied.fixed.min()) >= 0.0 and float(varied.fixed.max()) <= 1.0
    plain = RandPairs(
        variations=1, size=SIZE, frame=FrameMotion(translation_mm=0.0, rotation_deg=0.0), gamma=(1, 1), noise=0
    )
    assert torch.equal(varied.fixed[:, 1:], plain(batch())[1].fixed[:, 1:])


def test_to_validate_pairs_stay_as_they_are() -> None:
    first, target, _, _ = prepare_pairs(batch())
    assert torch.equal(first, batch()["image"][:, :1]) and len(target) == 2
