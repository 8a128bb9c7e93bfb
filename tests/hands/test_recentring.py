"""Frames found from inexact marks: the same one from any mark, or a reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from bundle.errors import InputError
from bundle.hands import recentring
from bundle.hands.recentring import FAR, GROWING, OTHER_JOINT, TURNS, UNSTABLE, Recentring
from bundle.io.frames import JointFrame, JointPlace
from bundle.measurement.pose import ABOVE_HEAD_MM
from bundle.networks import make_backbone
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.segmentation.segmenter import BoneSegmenter
from torch import Tensor

WEIGHTS = Path(__file__).parents[2] / "models" / "bone_masks.pt"
GREY = 0.4
SIDE = 128


@pytest.fixture(scope="module")
def segmenter() -> BoneSegmenter:
    features = {"features": [16, 32, 64, 128, 192, 16], "width": 4}
    return BoneSegmenter(make_backbone("SubpixelUNet", 1, 2, features), WEIGHTS)


@pytest.fixture(scope="module")
def hand() -> Tensor:
    """A hand (1, 450, 450) of a phantom, rotated along its finger."""
    made = render(sample_parameters(23, outline_gap_mm=1.5))
    return mark().paste(torch.full((1, 450, 450), GREY), torch.full((1, 256, 256), GREY), made.image)


def mark(x: float = 220.0, y: float = 215.0) -> JointFrame:
    return JointFrame(JointPlace("index", (x, y), (0.3, -1.0)), (0.12, 0.12))


class Drawn:
    """Predictor of the same masks whatever it sees, which counts its calls."""

    def __init__(self, masks: Tensor) -> None:
        self.masks, self.calls = masks, 0

    def coarse(self, image: Tensor) -> Tensor:
        self.calls += 1
        return self.masks


def bones(head_mm: float, shape: Callable[[Tensor], Tensor] = lambda x: x**2 / 12) -> Tensor:
    """Masks (2, 128, 128): a lower bone 12 mm wide with its head at a depth, an upper one 1.5 mm above it."""
    y, x = torch.meshgrid(*[(torch.arange(SIDE) + 0.5) * 21 / SIDE - 10.5] * 2, indexing="ij")
    upper = (y < head_mm - 1.5) & (x.abs() < 5.0 + 0.1 * y.abs().clamp(max=3.0))
    return torch.stack([(y > head_mm + shape(x)) & (x.abs() < 6.0), upper]).float()


@pytest.mark.slow
@pytest.mark.parametrize("off", [(1.4, 1.4, 15.0), (-1.4, 1.4, -15.0), (0.0, -2.0, 15.0)])
def test_a_mark_off_by_2_mm_and_15_degrees_gives_the_same_frame(
    segmenter: BoneSegmenter, hand: Tensor, off: tuple[float, float, float]
) -> None:
    place = Recentring(segmenter)
    found, other = place.find(hand, mark()), place.find(hand, mark().moved(*off))
    right, down, degrees = found.frame.motion_to(other.frame)
    assert math.hypot(right, down) < 0.2 and abs(degrees) < 1.0
    assert found.refused == other.refused == "" and max(found.turns, other.turns) <= TURNS
    assert (found.growth_plate, other.growth_plate) == ("closed", "closed")


@pytest.mark.slow
def test_a_picture_without_a_joint_is_refused(segmenter: BoneSegmenter) -> None:
    noise = torch.rand(1, 450, 450, generator=torch.Generator().manual_seed(0))
    for picture in (torch.full((1, 450, 450), GREY), noise):
        with pytest.raises(InputError, match=r"joint index: .*\. Check the mark"):
            Recentring(segmenter)(picture, mark())


def test_a_frame_is_segmented_up_to_three_times_and_refused_if_it_does_not_rest() -> None:
    drawn = Drawn(bones(3.0))
    found = Recentring(drawn).find(torch.full((1, 450, 450), GREY), mark())  # type: ignore[arg-type]
    assert drawn.calls == found.turns == TURNS
    assert found.last[1] > 1.0 and found.motion[1] > 3.0


@pytest.mark.parametrize(("head_mm", "reason"), [(ABOVE_HEAD_MM, ""), (3.0, UNSTABLE)])
def test_the_reason_of_a_frame_at_rest_is_empty(monkeypatch: pytest.MonkeyPatch, head_mm: float, reason: str) -> None:
    masks = bones(head_mm)
    shown = 0.3 + 0.5 * torch.nn.functional.interpolate(masks[None], scale_factor=2.0)[0].amax(0, keepdim=True)
    hand = mark().paste(torch.full((1, 450, 450), 0.3), torch.full((1, 256, 256), 0.3), shown)
    monkeypatch.setattr(recentring, "TURNS", 1)
    found = Recentring(Drawn(masks)).find(hand, mark())  # type: ignore[arg-type]
    assert found.refused == reason
    if not reason:
        assert abs(found.motion[1]) < 0.1 and abs(found.motion[2]) < 0.5
        far = Recentring(Drawn(masks), farthest_mm=0.0).find(hand, mark())  # type: ignore[arg-type]
        assert far.refused == FAR


def test_square_condyles_are_refused_as_another_joint() -> None:
    masks = bones(ABOVE_HEAD_MM, lambda x: 0.002 * x**2)
    shown = 0.3 + 0.5 * torch.nn.functional.interpolate(masks[None], scale_factor=2.0)[0].amax(0, keepdim=True)
    hand = mark().paste(torch.full((1, 450, 450), 0.3), torch.full((1, 256, 256), 0.3), shown)
    assert Recentring(Drawn(masks)).find(hand, mark()).refused == OTHER_JOINT  # type: ignore[arg-type]


def test_masks_of_the_lower_bone_on_soft_tissue_are_refused_as_an_open_growth_plate() -> None:
    masks = bones(ABOVE_HEAD_MM)
    shown = 0.3 + 0.5 * torch.nn.functional.interpolate(masks[None, 1:], scale_factor=2.0)[0]
    hand = mark().paste(torch.full((1, 450, 450), 0.3), torch.full((1, 256, 256), 0.3), shown)
    assert Recentring(Drawn(masks)).find(hand, mark()).refused == GROWING  # type: ignore[arg-type]
