from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.masks import continue_to_border
from bundle.physics.radiograph import attenuation, attenuation_shares, reconstruct
from bundle.separation.transforms.augmentation import (
    Augmentation,
    RandAugmentLayersd,
    RandCropJointd,
    RandPredictedMasksd,
    joint_space_centre,
)
from torch import Tensor

SIZE = 64
ALL: dict[str, float] = {"mirror": 0.5, "contrast": 0.3, "blur_mm": 0.12, "noise": 0.05}


@pytest.fixture(scope="module")
def phantom() -> dict[str, Any]:
    made = render(sample_parameters(3, size=SIZE, spacing=21 / SIZE, outline_gap_mm=1.0))
    image = torch.cat([made.image, made.masks])
    return {"image": image, "label": made.layers, "truth": torch.ones(1), "source": image}


def augmented(sample: dict[str, Any], seed: int = 0, **ranges: float) -> dict[str, Any]:
    return RandAugmentLayersd(**ranges).set_random_state(seed)(sample)


@pytest.mark.parametrize("name", [*ALL, "all"])
def test_the_radiograph_is_what_the_new_layers_compose_to(phantom: dict[str, Any], name: str) -> None:
    ranges = ALL if name == "all" else {name: ALL[name] if name != "mirror" else 1.0}
    for seed in range(4):
        made = augmented(phantom, seed, **ranges)
        torch.testing.assert_close(made["image"][:1], reconstruct(made["label"]), atol=1e-6, rtol=0)
        assert made["label"].min() >= 0 and made["label"].max() <= 1
    assert (made["image"][:1] - phantom["image"][:1]).abs().max() > 1e-3


def test_by_default_nothing_is_done(phantom: dict[str, Any]) -> None:
    made = augmented(phantom)
    assert all(made[key] is phantom[key] for key in phantom)
    assert json.loads(made["augmentation"])["contrast"] == [1.0, 1.0, 1.0]


def test_contrast_scales_the_attenuation_of_each_layer_by_itself(phantom: dict[str, Any]) -> None:
    made = augmented(phantom, contrast=0.3)
    factors = json.loads(made["augmentation"])["contrast"]
    assert len({round(factor, 6) for factor in factors}) == 3
    for factor, before, after in zip(factors, phantom["label"], made["label"], strict=True):
        torch.testing.assert_close(attenuation(after), factor * attenuation(before), atol=1e-5, rtol=1e-4)
    assert torch.equal(made["image"][1:], phantom["image"][1:])


def test_noise_has_its_deviation_and_leaves_the_shares(phantom: dict[str, Any]) -> None:
    noise = Augmentation(noise=0.02, seed=5)
    made = noise.apply(phantom["label"])
    difference = reconstruct(made) - reconstruct(phantom["label"])
    assert float(difference.std()) == pytest.approx(0.02, rel=0.05)
    lit = (reconstruct(made) > 0.05).expand_as(made)
    shares = attenuation_shares(made), attenuation_shares(phantom["label"])
    torch.testing.assert_close(shares[0][lit], shares[1][lit], atol=1e-3, rtol=0)
    assert torch.equal(made, noise.apply(phantom["label"]))
    assert not torch.equal(made, Augmentation(noise=0.02, seed=6).apply(phantom["label"]))


def test_blur_keeps_the_attenuation_of_a_layer_and_smooths_it(phantom: dict[str, Any]) -> None:
    made = Augmentation(blur_mm=1.5 * MCP.spacing_mm).apply(phantom["label"])
    before, after = attenuation(phantom["label"])[0], attenuation(made)[0]
    assert float(after.mean()) == pytest.approx(float(before.mean()), rel=0.01)
    assert after.diff(dim=-1).abs().mean() < 0.8 * before.diff(dim=-1).abs().mean()
    even = torch.full((3, SIZE, SIZE), 0.3)
    torch.testing.assert_close(Augmentation(blur_mm=1.5 * MCP.spacing_mm).apply(even), even, atol=1e-4, rtol=0)


def test_a_mirror_turns_everything_and_twice_is_nothing(phantom: dict[str, Any]) -> None:
    made = augmented(phantom, mirror=1.0)
    for key in ("image", "label", "source"):
        torch.testing.assert_close(made[key], phantom[key].flip(-1), atol=1e-6, rtol=0)
    again = augmented(made, mirror=1.0)
    torch.testing.assert_close(again["label"], phantom["label"], atol=1e-6, rtol=0)


def test_unknown_layers_stay_unknown_and_the_radiograph_is_augmented(phantom: dict[str, Any]) -> None:
    unknown = {**phantom, "label": torch.zeros(3, SIZE, SIZE), "truth": torch.zeros(1)}
    made = augmented(unknown, **ALL)
    assert not made["label"].any()
    assert (made["image"][:1] - phantom["image"][:1]).abs().mean() > 1e-3
    assert torch.equal(made["image"], made["source"])


def test_a_seed_gives_one_augmentation_and_another_another(phantom: dict[str, Any]) -> None:
    first, again, other = (augmented(phantom, seed, **ALL) for seed in (1, 1, 2))
    assert torch.equal(first["image"], again["image"])
    assert first["augmentation"] == again["augmentation"]
    assert not torch.equal(first["image"], other["image"])


@pytest.mark.parametrize("ranges", [{"noise": -0.1}, {"contrast": 1.0}])
def test_ranges_that_make_no_sense_are_refused(ranges: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="ranges must be at least 0"):
        RandAugmentLayersd(**ranges)


def blocks(column: int, upper_end: int, lower_start: int) -> Tensor:
    masks = torch.zeros(2, SIZE, SIZE)
    masks[0, lower_start:, column - 8 : column + 9] = 1.0
    masks[1, :upper_end, column - 8 : column + 9] = 1.0
    return masks


@pytest.mark.parametrize(("ends", "row"), [((20, 29), 24), ((30, 21), 25)])
def test_the_joint_space_is_between_the_outlines_also_where_they_overlap(ends: tuple[int, int], row: int) -> None:
    assert joint_space_centre(blocks(40, *ends)) == (row, 40)


def test_without_bones_the_joint_space_is_the_frames_middle() -> None:
    assert joint_space_centre(torch.zeros(2, 10, 20)) == (5, 10)


def test_crops_hold_the_joint_space_and_are_cut_alike_from_all_keys(phantom: dict[str, Any]) -> None:
    crop = RandCropJointd(size=32).set_random_state(0)
    corners = set()
    for _ in range(8):
        made = crop(phantom)
        top, left = crop.corner
        corners.add(crop.corner)
        for key in ("image", "label", "source"):
            assert torch.equal(made[key], phantom[key][:, top : top + 32, left : left + 32])
        row, column = joint_space_centre(phantom["image"][1:])
        assert 0 <= row - top < 32 and 0 <= column - left < 32
    assert len(corners) > 4


@pytest.mark.parametrize(("size", "side"), [(0, SIZE), (SIZE, SIZE), (SIZE + 9, SIZE)])
def test_no_size_and_a_size_as_large_as_the_frame_crop_nothing(phantom: dict[str, Any], size: int, side: int) -> None:
    made = RandCropJointd(size=size).set_random_state(0)(phantom)
    assert made["image"].shape == (3, side, side)
    assert torch.equal(made["image"], phantom["image"])


def halves(image: Tensor) -> Tensor:
    """Draws the lower half of a radiograph as the lower bone, and no upper one."""
    masks = torch.zeros(2, *image.shape[1:])
    masks[0, image.shape[1] // 2 :] = 1.0
    return masks


def test_drawn_masks_are_seen_and_the_image_keeps_its_own(phantom: dict[str, Any]) -> None:
    made = RandPredictedMasksd(halves, prob=1.0)(phantom)
    assert torch.equal(made["image"], phantom["image"])
    assert torch.equal(made["seen"][0], phantom["image"][0])
    assert torch.equal(made["seen"][1], halves(phantom["image"][:1])[0])
    assert torch.allclose(made["seen"][2], continue_to_border(phantom["image"][1:], 21 / SIZE)[1])  # not found


def test_masks_are_drawn_as_often_as_told_by_the_seed(phantom: dict[str, Any]) -> None:
    transform = RandPredictedMasksd(halves, prob=0.5).set_random_state(0)
    drawn = [not torch.equal(transform(phantom)["seen"], phantom["image"]) for _ in range(40)]
    assert 10 < sum(drawn) < 30
    again = RandPredictedMasksd(halves, prob=0.5).set_random_state(0)
    assert [not torch.equal(again(phantom)["seen"], phantom["image"]) for _ in range(40)] == drawn
    assert "seen" not in RandPredictedMasksd(halves, prob=0.0)(phantom)
