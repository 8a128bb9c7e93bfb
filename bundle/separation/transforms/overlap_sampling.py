"""Dictionary transforms of the sampler of overlaps: its use, and its training on closed joints."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from bundle.joint import Keys
from bundle.separation.overlap_sampling import (
    DEVIATION,
    ROWS,
    OverlapSampler,
    conditions,
    exchanged,
    flow_step,
    joint_rows,
)
from bundle.separation.transforms.loading import Sample, spacing_of
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable, ThreadUnsafe, Transform
from monai.utils.enums import TransformBackends
from torch import Tensor, nn


class SampleOverlapd(MapTransform):
    """Sampled textures in the overlap of separated layers (:class:`bundle.separation.OverlapSampler`).

    Args:
        sampler: the sampler.
        keys: layers (3, H, W).
        image_key: key of the radiograph and masks, (3, H, W).
        allow_missing_keys: whether to ignore missing keys.
    """

    backend = [TransformBackends.TORCH]

    def __init__(
        self,
        sampler: OverlapSampler,
        keys: KeysCollection = Keys.PRED,
        image_key: str = Keys.IMAGE,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.sampler = sampler

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Sample the overlap of one joint."""
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self.sampler(sample[self.image_key], sample[key], spacing_of(sample, sample[key]))
        return sample


class OverlapTextured(Transform):
    """Training pair of the sampler: the conditions of a closed joint, and the texture that its true layers require.

    Returns ``name``, ``given`` (7, 64, W) and ``texture`` (1, 64, W): the rows around the overlap, in half precision.

    Args:
        network: generator.
        weights: loader of its weights.
        inferer: MONAI inferer of the generator.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, network: nn.Module, weights: Callable[[Any], None], inferer: Callable[..., Tensor]) -> None:
        self.network, self.weights, self.inferer = network, weights, inferer
        self._loaded = False

    @torch.no_grad()
    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Separate one joint and compare it with its ``label``, the true layers."""
        if not self._loaded:
            self.weights(None)
            self.network.eval()
            self._loaded = True
        image = data[Keys.IMAGE]
        image = torch.cat([image[:1].clamp(0.0, 1.0), (image[1:] > 0.5).to(image)])[None]
        layers = self.inferer(image, self.network)
        given = conditions(layers, image[:, 1:], spacing_of(data, image))[0]
        texture = exchanged(layers, data[Keys.LABEL][None])[0] / DEVIATION * given[-1:]
        rows = joint_rows(given[-1:], ROWS)
        rows = slice(rows.start, rows.start + ROWS)
        return {"name": data["name"], "given": given[:, rows].half(), "texture": texture[:, rows].half()}


class RandFlowStepd(Randomizable, ThreadUnsafe, Transform):
    """Random noise and time of a training pair: the input of the flow as ``image``, its velocity as ``label``.

    Args:
        seed: seed of noise and time together with the sample's ``name``; None samples them anew at every call.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, data: Mapping[Hashable, Any]) -> Sample:
        """Sample a point of the path from noise to the texture of one joint."""
        if self.seed is not None:
            self.set_random_state(zlib.crc32(f"{self.seed} {data['name']}".encode()))
        generator = torch.Generator().manual_seed(int(self.R.randint(2**31 - 1)))
        given, texture = (torch.as_tensor(data[key]).float() for key in ("given", "texture"))
        both = given[-1:]
        noise = torch.randn(texture.shape, generator=generator) * both
        time = torch.full_like(texture, float(self.R.uniform()))
        state, velocity = flow_step(noise, texture, time)
        return {Keys.IMAGE: torch.cat([state, time, given]), Keys.LABEL: torch.cat([velocity, both])}
