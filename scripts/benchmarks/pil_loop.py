"""Loop that makes the images of a data set one by one with PIL, like scripts that come with papers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.datasets import SampleSpecification, motion_of
from bundle.joint import MCP
from bundle.measurement import outline_gap
from bundle.physics import CONTINUED_MM, SeparatedBones, reconstruct, separate
from monai.bundle import ConfigParser
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

SIDE = 256
ROOT = Path(__file__).resolve().parents[2]
INFERENCE = ROOT / "configs" / "inference.json"
ALL_KEPT = "loop with PIL, layers, continued bones and noise texture kept"
Array = NDArray[np.floating[Any]]
Separator = Callable[[Tensor, Tensor], Tensor]
"""Layers (1, 3, H, W) of an image (1, 1, H, W) and its masks (1, 2, H, W)."""


class PilLoop:
    """Loop that makes one image after the other with PIL, NumPy and SciPy.

    Args:
        layers: separated joints by name, (3, H, W).
        masks: their bone masks, (2, H, W).
        keeping: what is computed once per joint: ``nothing``, its ``layers``, or, as by the factory, ``all`` that no
            motion changes.
        separator: separator of the loop that keeps nothing.
    """

    def __init__(
        self, layers: Mapping[str, Array], masks: Mapping[str, Array], keeping: str, separator: Separator = separate
    ) -> None:
        self.layers, self.masks, self.keeping, self.separator = dict(layers), masks, keeping, separator
        self.kept = {name: self._prepare(name) for name in layers} if keeping == "all" else {}

    def _separate(self, name: str) -> None:
        image = reconstruct(torch.from_numpy(self.layers[name])[None])
        self.layers[name] = self.separator(image, torch.from_numpy(self.masks[name])[None])[0].numpy()

    def _prepare(self, name: str) -> dict[str, Any]:
        """Return the continued bones, the supports, and the noise texture of a joint."""
        joint = SeparatedBones.of(*(torch.from_numpy(part[name])[None] for part in (self.layers, self.masks)))
        supports = joint.bones.maps[0, :, 1].numpy()
        return {
            "bones": [Image.fromarray(bone) for bone in joint.bones.bones[0].numpy()],
            "maps": [
                Image.fromarray(np.pad(part, round(CONTINUED_MM / MCP.spacing_mm), "edge"))
                for part in (*self.masks[name], *supports)
            ],
            "covered": supports.max(axis=0),
            "missing": joint.noise_texture.missing[0, 0].numpy(),
            "amplitude": joint.noise_texture.amplitude[0, 0].numpy(),
        }

    def __call__(self, specification: SampleSpecification) -> tuple[Array, Array, float]:
        """Return image (H, W), masks (2, H, W) and the gap of their outlines in mm."""
        if self.keeping == "nothing":
            self._separate(specification.source.name)
        known = self.kept.get(specification.source.name) or self._prepare(specification.source.name)
        bones = np.stack(
            [moved(bone, specification, k, Image.Resampling.BICUBIC) for k, bone in enumerate(known["bones"])]
        )
        maps = [moved(part, specification, k % 2, Image.Resampling.BILINEAR) for k, part in enumerate(known["maps"])]
        uncovered = known["covered"] * ((maps[2] < 0.5) & (maps[3] < 0.5))
        soft = -np.log1p(-np.minimum(self.layers[specification.source.name][0], 1 - 2.0**-15))
        textured = np.maximum(
            soft + uncovered * known["missing"] * texture(known["amplitude"], specification.seed), 0.0
        )
        image = 1.0 - np.exp(-textured) * (1.0 - bones.clip(0.0, 1.0)).prod(axis=0)
        masks = np.stack(maps[:2])
        return image, masks, float(outline_gap(torch.from_numpy(masks)[None], specification.source.spacing_mm))


def moved(picture: Image.Image, specification: SampleSpecification, bone: int, kernel: Image.Resampling) -> Array:
    """Return the image of a bone after the motion of a specification, cut to the frame."""
    motion, pixel = motion_of([specification]), specification.source.spacing_mm
    center = motion.center[0, bone].numpy() / pixel
    start = center + motion.translation[0, bone].numpy() / pixel + SIDE / 2
    cosine, sine = (f(math.radians(float(motion.rotation[0, bone]))) for f in (math.cos, math.sin))
    x, y = center + np.array(picture.size) / 2
    across = (cosine, sine, x - cosine * start[0] - sine * start[1])
    down = (-sine, cosine, y + sine * start[0] - cosine * start[1])
    return np.asarray(picture.transform((SIDE, SIDE), Image.Transform.AFFINE, (*across, *down), kernel))


def texture(amplitude: Array, seed: int) -> Array:
    """Return noise with the amplitudes of a spectrum, (H, W), of mean 0 and variance 1."""
    white = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(seed)).numpy()
    made = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(SIDE, SIDE))
    made = made - made.mean()
    return np.asarray(made / np.sqrt(np.square(made).mean()))


def network_separator() -> Separator:
    """Return the network of ``inference.json``, the default separator of data sets."""
    parser = ConfigParser()
    parser.read_config(str(INFERENCE))
    parser["bundle_root"], parser["device"] = str(ROOT), torch.device("cpu")
    parser.get_parsed_content("used_weights")(None)
    network, inferer = parser.get_parsed_content("network").eval(), parser.get_parsed_content("inferer")

    @torch.inference_mode()
    def separated(image: Tensor, masks: Tensor) -> Tensor:
        layers: Tensor = inferer(torch.cat([image, masks], dim=1), network)
        return layers

    return separated


def loops(layers: Mapping[str, Array], masks: Mapping[str, Array]) -> dict[str, PilLoop]:
    """Return the loops by what they keep of separated joints; the loop that keeps nothing has two separators."""
    make, start = partial(PilLoop, layers, masks), "loop with PIL, each image from its radiograph"
    return {
        f"{start} (separated by `{INFERENCE.name}`, the default)": make("nothing", network_separator()),
        f"{start} (separated without weights)": make("nothing"),
        "loop with PIL, layers kept": make("layers"),
        ALL_KEPT: make("all"),
    }
