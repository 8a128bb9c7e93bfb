"""The input frame of a scoring network follows the joint, wherever it lies in its radiograph."""

from __future__ import annotations

import math

import pytest
import torch
from bundle.phantoms import render, sample_parameters
from bundle.scoring.frames import ReadingFramed
from torch import Tensor
from torch.nn import functional as F

PIXEL = 21 / 128


def joint(seed: int = 0) -> Tensor:
    phantom = render(sample_parameters(seed, size=128, spacing=PIXEL, outline_gap_mm=1.0))
    return torch.cat([phantom.image, phantom.masks])


def framed(image: Tensor, pixel: float = PIXEL) -> Tensor:
    frame: Tensor = ReadingFramed(48, 8.0)({"image": image, "spacing": torch.tensor([pixel])})["image"]
    return frame


def placed_elsewhere(image: Tensor, x_mm: float, y_mm: float, degrees: float) -> Tensor:
    """The joint of an image, shifted and rotated clockwise about the frame's centre."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    x, y = x_mm * 2 / 21, y_mm * 2 / 21
    inverse = [[cosine, sine, -cosine * x - sine * y], [-sine, cosine, sine * x - cosine * y]]
    grid = F.affine_grid(torch.tensor([inverse]), [1, *image.shape], align_corners=False)
    return F.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0]


PLACES = [(1.5, 0.0, 0.0), (0.0, -1.5, 0.0), (0.0, 0.0, 15.0), (1.0, 1.0, -10.0)]


@pytest.mark.parametrize(("x", "y", "degrees"), PLACES)
def test_a_joint_that_is_placed_elsewhere_has_the_same_frame(x: float, y: float, degrees: float) -> None:
    image = joint()
    moved = placed_elsewhere(image, x, y, degrees)
    here, there, kept = framed(image), framed(moved), framed(torch.cat([moved[:1], image[1:]]))
    assert float((here - there).abs().mean()) < 0.4 * float((here - kept).abs().mean())


@pytest.mark.parametrize("reduction", [1, 2])
def test_the_frame_has_the_same_pixels_whatever_those_of_the_radiograph(reduction: int) -> None:
    image = torch.nn.functional.avg_pool2d(joint()[None], reduction)[0]
    sample = {"image": image, "spacing": torch.tensor([PIXEL * reduction]), "label": image, "truth": torch.ones(1)}
    found = ReadingFramed(48, 8.0)(sample)
    assert found["image"].shape == (1, 48, 48) and found["image"].min() >= 0.0 and found["image"].max() <= 1.0
    assert found["spacing"].tolist() == pytest.approx([8.0 / 48])
    assert found["radiograph_spacing"].tolist() == sample["spacing"].tolist()
    assert not {"label", "truth"} & found.keys()


def test_a_radiograph_without_a_joint_is_framed_around_its_centre() -> None:
    image = torch.zeros(3, 128, 128)
    image[0, 60:68, 60:68] = 1.0
    frame = framed(image)[0]
    rows = torch.arange(48.0) - 23.5
    assert float((frame.sum(1) * rows).sum() / frame.sum()) == pytest.approx(0.0, abs=0.2)
    assert float((frame.sum(0) * rows).sum() / frame.sum()) == pytest.approx(0.0, abs=0.2)
