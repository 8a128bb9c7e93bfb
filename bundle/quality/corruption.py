"""Deliberate defects of a radiograph or its masks, to test whether quality control detects them.

A corruption takes radiograph and masks (3, H, W), their spacing in mm per pixel and a random state, and returns the
corrupted image and spacing. It changes one thing and is reproducible by the random state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from bundle.joint import LOWER, UPPER
from bundle.physics import blur, grow
from torch import Tensor

Corrupted = tuple[Tensor, float]
Corruption = Callable[[Tensor, float, np.random.RandomState], Corrupted]

LOWER_MASK, UPPER_MASK = 1 + LOWER, 1 + UPPER
"""Channels of the masks in radiograph and masks (3, H, W)."""


def inverted(image: Tensor, spacing: float, random: np.random.RandomState) -> Corrupted:
    """Invert the polarity: bone dark, like MONOCHROME1 pixels read as MONOCHROME2."""
    return torch.cat([1.0 - image[:1], image[1:]]), spacing


def blank(image: Tensor, spacing: float, random: np.random.RandomState) -> Corrupted:
    """Replace the radiograph by uniform grey with detector noise."""
    grey = random.uniform(0.2, 0.8) + random.normal(0.0, 0.003, size=tuple(image[:1].shape))
    return torch.cat([torch.from_numpy(grey).to(image).clamp(0.0, 1.0), image[1:]]), spacing


def noisy(image: Tensor, spacing: float, random: np.random.RandomState, *, deviation: float) -> Corrupted:
    """Add white noise with a standard deviation in intensity."""
    noise = torch.from_numpy(random.normal(0.0, deviation, size=tuple(image[:1].shape))).to(image)
    return torch.cat([(image[:1] + noise).clamp(0.0, 1.0), image[1:]]), spacing


def blurred(image: Tensor, spacing: float, random: np.random.RandomState, *, deviation: float) -> Corrupted:
    """Blur the radiograph by a Gaussian with a standard deviation in mm."""
    smooth = blur(image[None, :1], deviation / spacing, "reflect")[0]
    return torch.cat([smooth.clamp(0.0, 1.0), image[1:]]), spacing


def exposed(image: Tensor, spacing: float, random: np.random.RandomState, *, gain: float) -> Corrupted:
    """Multiply the intensities by a gain, saturating at 1."""
    return torch.cat([(gain * image[:1]).clamp(0.0, 1.0), image[1:]]), spacing


GAMMA, CONTRAST, BLUR_MM, NOISE = (0.4, 2.5), (0.4, 1.3), 0.45, 0.03
"""Ranges of gamma and contrast, and largest blur and noise (standard deviations), between scanners and exposures.

A blur of 0.3 mm narrows the measured joint space by 0.12 mm, one of 0.45 mm by 0.2 mm (30 public radiographs of
``LS_K1_all_train`` and 14 of hands, masks kept)."""


def another_scanner(image: Tensor, spacing: float, random: np.random.RandomState) -> Corrupted:
    """Vary contrast, sharpness and noise as between scanners and exposures; the joint stays usable.

    Half of the images are blurred after the noise, like those that are denoised, compressed, or of coarse pixels.
    """
    gamma, gain = (math.exp(random.uniform(*np.log(limits))) for limits in (GAMMA, CONTRAST))
    curved = image[:1].clamp(0.0, 1.0) ** gamma
    middle = curved.mean()
    contrasted = torch.cat([(middle + gain * (curved - middle)).clamp(0.0, 1.0), image[1:]])
    steps = [
        partial(blurred, deviation=random.uniform(0.0, BLUR_MM)),
        partial(noisy, deviation=random.uniform(0.0, NOISE)),
    ]
    varied = contrasted, spacing
    for step in steps if random.uniform() < 0.5 else steps[::-1]:
        varied = step(*varied, random)
    return varied


def rescaled(image: Tensor, spacing: float, random: np.random.RandomState, *, factor: float) -> Corrupted:
    """Multiply the pixel spacing by a factor and leave the image unchanged."""
    return image, factor * spacing


def swapped(image: Tensor, spacing: float, random: np.random.RandomState) -> Corrupted:
    """Exchange the masks of the lower and the upper bone."""
    return image[[0, UPPER_MASK, LOWER_MASK]], spacing


def upside_down(image: Tensor, spacing: float, random: np.random.RandomState) -> Corrupted:
    """Turn radiograph and masks upside down; masks are named by place: the lower one is a phalanx."""
    return image[[0, UPPER_MASK, LOWER_MASK]].flip(-2), spacing


def turned(image: Tensor, spacing: float, random: np.random.RandomState) -> Corrupted:
    """Rotate radiograph and masks by 90 degrees in either direction."""
    return torch.rot90(image, int(random.choice([-1, 1])), (-2, -1)), spacing


def image_upside_down(image: Tensor, spacing: float, random: np.random.RandomState) -> Corrupted:
    """Turn the radiograph upside down, but not its masks."""
    return torch.cat([image[:1].flip(-2), image[1:]]), spacing


def shifted_masks(
    image: Tensor, spacing: float, random: np.random.RandomState, *, distance: float, bones: tuple[int, ...]
) -> Corrupted:
    """Shift masks together in a random direction, by mm to the nearest pixel; shafts are continued at the border.

    Args:
        image: radiograph and masks.
        spacing: pixel size in mm.
        random: random generator of the direction.
        distance: distance in mm.
        bones: channels of the masks to shift.
    """
    angle = random.uniform(0.0, 2.0 * math.pi)
    right, down = (round(distance / spacing * part) for part in (math.cos(angle), math.sin(angle)))
    rows = (torch.arange(image.shape[-2]) - down).clamp(0, image.shape[-2] - 1)
    columns = (torch.arange(image.shape[-1]) - right).clamp(0, image.shape[-1] - 1)
    moved = image.clone()
    for bone in bones:
        moved[bone] = image[bone][rows][:, columns]
    return moved, spacing


def grown_masks(image: Tensor, spacing: float, random: np.random.RandomState, *, distance: float) -> Corrupted:
    """Dilate masks by mm, or erode them if it is negative."""
    radius = round(abs(distance) / spacing)
    masks = image[None, 1:]
    resized = grow(masks, radius) if distance > 0.0 else 1.0 - grow(1.0 - masks, radius)
    return torch.cat([image[:1], resized[0]]), spacing


def merged_masks(image: Tensor, spacing: float, random: np.random.RandomState) -> Corrupted:
    """Include both bones in one of the masks, as a segmentation that leaks across the joint."""
    bone = int(random.choice([LOWER_MASK, UPPER_MASK]))
    merged = image.clone()
    merged[bone] = image[1:].amax(dim=0)
    return merged, spacing


BOTH = (LOWER_MASK, UPPER_MASK)
CORRUPTIONS: Mapping[str, Corruption] = {
    "inverted": inverted,
    "blank": blank,
    "noise_0.05": partial(noisy, deviation=0.05),
    "noise_0.1": partial(noisy, deviation=0.1),
    "blur_0.3mm": partial(blurred, deviation=0.3),
    "blur_0.6mm": partial(blurred, deviation=0.6),
    "overexposed": partial(exposed, gain=2.0),
    "underexposed": partial(exposed, gain=0.3),
    "spacing_x0.5": partial(rescaled, factor=0.5),
    "spacing_x0.7": partial(rescaled, factor=0.7),
    "spacing_x1.4": partial(rescaled, factor=1.4),
    "spacing_x2": partial(rescaled, factor=2.0),
    "swapped": swapped,
    "upside_down": upside_down,
    "turned": turned,
    "image_upside_down": image_upside_down,
    "masks_shifted_1mm": partial(shifted_masks, distance=1.0, bones=BOTH),
    "masks_shifted_2mm": partial(shifted_masks, distance=2.0, bones=BOTH),
    "masks_shifted_4mm": partial(shifted_masks, distance=4.0, bones=BOTH),
    "lower_mask_shifted_2mm": partial(shifted_masks, distance=2.0, bones=(LOWER_MASK,)),
    "upper_mask_shifted_2mm": partial(shifted_masks, distance=2.0, bones=(UPPER_MASK,)),
    "masks_1mm_too_wide": partial(grown_masks, distance=1.0),
    "masks_1mm_too_narrow": partial(grown_masks, distance=-1.0),
    "masks_merged": merged_masks,
}
"""The corruptions by which the flag is evaluated, by name."""


def corrupt(name: str, image: Tensor, spacing: float, seed: int) -> Corrupted:
    """Corrupt one image by name; the same seed gives the same image."""
    return CORRUPTIONS[name](image, spacing, np.random.RandomState(seed))
