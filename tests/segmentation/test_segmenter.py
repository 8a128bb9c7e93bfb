"""Masks of logits: one whole piece a bone, whatever else a network finds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from bundle.errors import InputError
from bundle.segmentation.segmenter import BoneMaskLoss, BoneMasks, BoneMasksd, BoneSegmenter
from torch import Tensor, nn


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


def test_masks_are_plain_tensors_that_go_into_a_batch_with_others() -> None:
    assert type(BoneMasks()(logits())) is Tensor


def test_a_dictionary_gets_masks_in_place_of_logits() -> None:
    made = BoneMasksd("pred")({"pred": logits(), "name": "joint"})
    assert torch.equal(made["pred"], BoneMasks()(logits())) and made["name"] == "joint"


class Darkness(nn.Module):
    """Calls what is dark the lower bone and what is bright, but on the left, the upper one; its weight is a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.shapes: list[torch.Size] = []

    def forward(self, image: Tensor) -> Tensor:
        self.shapes.append(image.shape)
        side = torch.linspace(-0.2, 0.2, image.shape[-1])
        return self.factor * torch.cat([0.3 - image, image - 0.7 + side], dim=1)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(Darkness(2.0).state_dict(), tmp_path / "masks.pt")
    return tmp_path / "masks.pt"


def picture(height: int = 64, width: int = 64) -> Tensor:
    image = torch.full((1, height, width), 0.5)
    image[0, : height // 4], image[0, -height // 4 :] = 0.1, 0.95
    return image


def test_the_segmenter_draws_both_bones_at_any_size(weights: Path) -> None:
    network = Darkness()
    masks = BoneSegmenter(network, weights)(picture(50, 70))
    assert masks.shape == (2, 50, 70) and not masks.requires_grad
    assert torch.equal(masks[0], (picture(50, 70)[0] < 0.3).float())
    assert torch.equal(masks[1], (picture(50, 70)[0] > 0.7).float())
    assert all(length % 32 == 0 for shape in network.shapes for length in shape[-2:])


def test_a_mirrored_radiograph_gets_mirrored_masks(weights: Path) -> None:
    image = picture()
    image[0, 50:60, 5:20] = 0.72
    segment = BoneSegmenter(Darkness(), weights)
    assert torch.equal(segment(image.flip(-1)), segment(image).flip(-1))


def test_weights_are_loaded_when_they_are_first_needed(weights: Path) -> None:
    network = Darkness()
    segment = BoneSegmenter(network, weights)
    assert network.factor.item() == 1.0
    segment(picture())
    assert network.factor.item() == 2.0


def test_missing_damaged_and_other_weights_are_refused_with_what_to_do(weights: Path, tmp_path: Path) -> None:
    absent = BoneSegmenter(Darkness(), tmp_path / "no.pt")
    with pytest.raises(InputError, match=r"no\.pt"):
        absent(picture())
    with pytest.raises(InputError, match=r"not the weights of this bone segmentation.*segment_bones\.yaml"):
        BoneSegmenter(nn.Conv2d(1, 2, 1), weights)(picture())
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps({"weights": {"masks.pt": {"sha256": "0" * 64}}}))
    with pytest.raises(InputError, match="not the shipped weights"):
        BoneSegmenter(Darkness(), weights, str(metadata))(picture())


def test_a_segmenter_is_named_by_its_weights(weights: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    assert str(BoneSegmenter(Darkness(), weights)) == f"masks.pt (sha256 {digest})"
    assert str(BoneSegmenter(Darkness(), tmp_path / "no.pt")) == "no.pt (sha256 none)"


def naive_dice_loss(probability: Tensor, mask: Tensor, smooth: float = 1e-5) -> Tensor:
    both = (probability * mask).sum()
    return 1.0 - (2.0 * both + smooth) / (probability.sum() + mask.sum() + smooth)


def test_the_loss_is_dice_and_cross_entropy_of_the_maps_and_dice_of_the_overlap_of_the_batch() -> None:
    torch.manual_seed(0)
    values = torch.randn(3, 2, 8, 9, dtype=torch.float64, requires_grad=True)
    masks = (torch.rand(3, 2, 8, 9, dtype=torch.float64) > 0.4).double()
    masks[0, 0] = 0.0  # a joint without overlap
    chance = values.sigmoid()
    maps = torch.stack([naive_dice_loss(chance[b, c], masks[b, c]) for b in range(3) for c in range(2)]).mean()
    entropy = -(masks * chance.log() + (1 - masks) * (1 - chance).log()).mean()
    both = naive_dice_loss(chance[:, 0] * chance[:, 1], masks[:, 0] * masks[:, 1])
    expected = maps + entropy + 0.7 * both
    found = BoneMaskLoss(0.7)(values, masks)
    assert torch.allclose(found, expected)
    (slope,) = torch.autograd.grad(expected, values, retain_graph=True)
    (mine,) = torch.autograd.grad(found, values)
    assert torch.allclose(mine, slope)


def test_a_missed_overlap_costs_more_than_the_same_area_elsewhere() -> None:
    masks = torch.zeros(1, 2, 32, 32)
    masks[0, 0, 12:], masks[0, 1, :16] = 1.0, 1.0
    missed, elsewhere = masks.clone(), masks.clone()
    missed[0, 0, 12:16], elsewhere[0, 0, 28:] = 0.0, 0.0
    loss = BoneMaskLoss()
    assert loss(20 * missed - 10, masks) > loss(20 * elsewhere - 10, masks) + 0.2
