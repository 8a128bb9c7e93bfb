"""Samples of phantoms, and the dictionary transforms that are tested on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
import torch
from bundle.measurement.outline_gap import outline_gap
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.separation.transforms.dictionary import (
    PseudoOverlapd,
    RandPseudoOverlapd,
    RandShiftBonesd,
    RandSynthesizeJointSpaced,
    ShiftBonesd,
    SynthesizeJointSpaced,
)
from monai.transforms import Randomizable
from torch import Tensor

SIZE = 64
PIXEL = 21 / SIZE
Sample = dict[Any, Any]
SHIFT: dict[str, Any] = {"translation_mm": ((0.3, 0.4), (-0.2, -0.6)), "rotation_deg": (2.0, -3.0)}
MAKERS: dict[str, Callable[..., Any]] = {
    "ShiftBonesd": lambda **options: ShiftBonesd(**SHIFT, **options),
    "RandShiftBonesd": RandShiftBonesd,
    "SynthesizeJointSpaced": lambda **options: SynthesizeJointSpaced(change_mm=0.6, **options),
    "RandSynthesizeJointSpaced": RandSynthesizeJointSpaced,
    "PseudoOverlapd": PseudoOverlapd,
    "RandPseudoOverlapd": RandPseudoOverlapd,
}
makers = pytest.mark.parametrize("name", MAKERS)
random_ones = pytest.mark.parametrize("name", [name for name in MAKERS if name.startswith("Rand")])


@lru_cache
def rendered(seed: int, outline_gap_mm: float) -> tuple[Tensor, Tensor]:
    made = render(sample_parameters(seed, outline_gap_mm=outline_gap_mm, size=SIZE, spacing=PIXEL))
    return torch.cat([made.image, made.masks]), separate(made.image[None], made.masks[None], PIXEL)[0]


def sample(seed: int = 0, outline_gap_mm: float = 1.3, **more: Any) -> Sample:
    """A joint of a file after SeparateLayersd: its layers are only a separation."""
    image, layers = rendered(seed, outline_gap_mm)
    return {
        "name": f"joint_{seed}",
        "image": image.clone(),
        "label": layers.clone(),
        "truth": torch.zeros(1),
        "spacing": torch.tensor([PIXEL]),
        "overlapping": False,
        **more,
    }


def width(image: Tensor) -> float:
    return float(outline_gap(image[None, 1:], PIXEL))


def same(one: Sample, other: Sample) -> bool:
    """The same keys and values, tensors to the bit."""
    return one.keys() == other.keys() and all(
        torch.equal(one[key], other[key]) if isinstance(one[key], Tensor) else one[key] == other[key] for key in one
    )


def seeded(name: str, seed: int = 0, **options: Any) -> Any:
    transform = MAKERS[name](**options)
    if isinstance(transform, Randomizable):
        transform.set_random_state(seed)
    return transform
