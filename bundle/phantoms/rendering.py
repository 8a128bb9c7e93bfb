"""Procedural radiographs of finger joints with known layers, masks and joint space width (JSW).

A phantom is a finger joint rendered in millimetres from a few dozen parameters. Image formation follows an X-ray
detector: sum of the layers' attenuations, blur, Poisson noise, electronic noise, quantisation. Sizes and grey levels
follow the public frames and depend on the finger; left hands are mirrored.

Each bone has its own coordinates in mm: origin on its axis at the joint, u across and v along the axis (down the
screen). Its outline is the zero level of a function that equals, near the outline, the depth inside the bone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from bundle.phantoms.anatomy import Pose, lower_depth, place, upper_depth
from bundle.phantoms.attenuation import Texture, lower_attenuation, soft_attenuation, upper_attenuation
from bundle.phantoms.parameters import DETECTOR, NATIVE, TEXTURE, Array, PhantomParameters
from bundle.physics import attenuation_shares, partition
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

BLUR_REACH = 4.0
"""Truncation of the blur in standard deviations; beyond it, a bone layer is exactly zero outside its bone."""


@dataclass(frozen=True)
class Phantom:
    """A rendered phantom; float32 tensors.

    Attributes:
        image: radiograph (1, H, W) in [0, 1], quantised.
        layers: true layers (3, H, W): soft tissue, lower bone, upper bone. They compose to ``image`` to float
            precision: each has its noise-free share of the attenuation, so the same shares divide noise and
            quantisation. Beyond the reach of the blur a bone layer is exactly zero.
        masks: soft bone masks (2, H, W), lower and upper: 0.5 on the outline with a ramp of two pixels across it, which
            preserves the outline to a fraction of a pixel; above 0.5 is bone.
        parameters: parameters of the phantom.
    """

    image: Tensor
    layers: Tensor
    masks: Tensor
    parameters: PhantomParameters


def render(parameters: PhantomParameters) -> Phantom:
    """Render a phantom; the same parameters give the same bits.

    The attenuations of the layers are rendered in mm and blurred, which equals a blur of their sum. Poisson noise,
    electronic noise and quantisation follow.
    """
    x, y = _pixels(parameters)
    scene = _Scene(parameters)
    depths = [scene.lower_depth(x, y), scene.upper_depth(x, y)]
    sharp = np.stack([scene.soft(x, y), scene.lower(x, y), scene.upper(x, y)])
    sharp[1:] *= np.clip(np.stack(depths) / parameters.spacing + 0.5, 0.0, 1.0)
    blurred = [gaussian_filter(layer, _blur(parameters), mode="nearest", truncate=BLUR_REACH) for layer in sharp]
    image = _measure(np.sum(blurred, axis=0), parameters)
    absorbed = torch.from_numpy(-np.expm1(-np.stack(blurred))).float()
    masks = torch.from_numpy(np.clip(0.5 + np.stack(depths) / (2 * parameters.spacing), 0.0, 1.0)).float()
    return Phantom(image, partition(image, attenuation_shares(absorbed)), masks, parameters)


def _blur(parameters: PhantomParameters) -> float:
    return parameters.detector.blur / parameters.spacing


def _pixels(parameters: PhantomParameters) -> tuple[Array, Array]:
    """Pixel centres in mm from the frame's centre, (H, W) each; x is mirrored for a left hand."""
    axis = (np.arange(parameters.size) + 0.5 - parameters.size / 2) * parameters.spacing
    return np.meshgrid(-axis if parameters.side == "left" else axis, axis)  # type: ignore[return-value]


def _measure(attenuation: Array, parameters: PhantomParameters) -> Tensor:
    """Simulate the detector on an attenuation (H, W): noise on detector pixels, resampled and quantised, (1, H, W)."""
    detector, size = parameters.detector, parameters.size
    transmitted = torch.from_numpy(np.exp(-attenuation))[None, None]
    native = max(1, round(size * parameters.spacing / NATIVE))
    coarse = F.interpolate(transmitted, (native, native), mode="bilinear", antialias=True).clamp(min=0.0).numpy()
    rng = np.random.default_rng([parameters.seed, DETECTOR, parameters.retake])
    noise = rng.poisson(coarse * detector.photons) / detector.photons - coarse
    noise += detector.electronic * rng.standard_normal(coarse.shape)
    fine = F.interpolate(torch.from_numpy(noise), (size, size), mode="bicubic", antialias=True)
    absorbed = (1.0 - transmitted - fine)[0].clamp(0.0, 1.0)
    return ((absorbed * detector.levels).round() / detector.levels).float()


class _Scene:
    """The layers of a phantom as functions of the position in mm from the frame's centre."""

    def __init__(self, parameters: PhantomParameters) -> None:
        self._parameters = parameters
        self._upper, self._lower = place(parameters)
        self._texture = Texture(np.random.default_rng([parameters.seed, TEXTURE]))

    def upper_depth(self, x: Array, y: Array) -> Array:
        return upper_depth(self._parameters.upper, *self._upper.local(x, y))

    def lower_depth(self, x: Array, y: Array) -> Array:
        return lower_depth(self._parameters.lower, *self._lower.local(x, y))

    def upper(self, x: Array, y: Array) -> Array:
        return upper_attenuation(self._parameters.upper, *self._upper.local(x, y), self._texture)

    def lower(self, x: Array, y: Array) -> Array:
        return lower_attenuation(self._parameters.lower, *self._lower.local(x, y), self._texture)

    def soft(self, x: Array, y: Array) -> Array:
        posture = self._parameters.posture
        pose = Pose(posture.x, posture.y, posture.tilt)
        return soft_attenuation(self._parameters.soft, *pose.local(x, y), self._texture)
