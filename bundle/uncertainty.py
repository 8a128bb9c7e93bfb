"""How sure a separator is of its split: it separates each joint and its mirror image, and the two answers are compared.

A joint mirrored left to right is a joint, so a separator has no reason to answer otherwise; where it does, it does not
know. The mean of the answers is test-time augmentation. It is taken in attenuation, where layers add: if each answer
composes to the radiograph, so does the mean. (The mean of intensities does not; this is why MONAI's
``TestTimeAugmentation``, which also draws its transforms at random and takes one joint at a time, is not used.)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from numpy.typing import ArrayLike
from torch import Tensor

from bundle.data.writing import write_bytes
from bundle.errors import InputError, flag
from bundle.masks import overlap
from bundle.radiograph import attenuation, intensity

COVERED = 0.9
"""Part of the joints whose error is below :meth:`Calibration.upper`."""


class FlipInferer(Inferer):
    """Separates images and their mirror images, and gives the mean.

    Args:
        flips: false leaves the mirror images out; true or false as text is understood.

    Attributes:
        deviation: standard deviation of the two answers to the last images, (B, 3, H, W); None without mirror images.
    """

    def __init__(self, flips: bool | str = True) -> None:
        super().__init__()
        self.flips = flag(flips)
        self.deviation: Tensor | None = None

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Layers (B, 3, H, W) of images (B, 3, H, W)."""
        layers = network(inputs, *args, **kwargs)
        if not self.flips:
            return layers
        mirrored = network(inputs.flip(-1), *args, **kwargs).flip(-1)
        layers, self.deviation = combine(torch.stack([layers, mirrored], dim=1))
        return layers


def combine(answers: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and disagreement of several answers of a separator, (..., N, 3, H, W), to the same image.

    Args:
        answers: layers in [0, 1].

    Returns:
        The layers of mean attenuation, (..., 3, H, W), which compose exactly if every answer does, and the standard
        deviation of the answers in intensity, (..., 3, H, W).
    """
    mean = intensity(attenuation(answers).mean(dim=-4))
    return mean, answers.std(dim=-4, correction=0)


def bone_disagreement(deviation: Tensor, weights: Tensor) -> Tensor:
    """Root mean square of the bones' standard deviations over a region; NaN for one smaller than a pixel.

    Args:
        deviation: of the three layers, (B, 3, H, W), from :func:`combine`.
        weights: the region, (B, 1, H, W) for both bones.

    Returns:
        (B,), in intensity.
    """
    area = weights.sum(dim=(-3, -2, -1))
    squares = (deviation[:, 1:].square() * weights).sum(dim=(-3, -2, -1)) / 2.0
    return (squares / area.clamp(min=1.0)).sqrt().masked_fill(area < 1.0, torch.nan)


def overlap_disagreement(deviation: Tensor, masks: Tensor) -> Tensor:
    """:func:`bone_disagreement` where both bones lie; masks (B, 2, H, W)."""
    return bone_disagreement(deviation, overlap(masks))


@dataclass(frozen=True)
class Calibration:
    """What disagreement means: the error to be expected, ``exp(intercept) * disagreement ** slope``.

    Attributes:
        slope: at least 0, so that more disagreement never means less error.
        intercept: logarithm of the error at a disagreement of 1.
        excess: factor by which the error of :data:`COVERED` of the joints at most exceeds the expected one.
        separator: that was calibrated (:attr:`bundle.handlers.GeneratorWeights.source`).
        made: data, number of joints and seed, and how well the map ranks and fits them.
    """

    slope: float
    intercept: float
    excess: float
    separator: str
    made: dict[str, Any]

    @classmethod
    def fit(cls, disagreement: ArrayLike, error: ArrayLike, separator: str, made: dict[str, Any]) -> Calibration:
        """Least squares between the logarithms, over joints whose error is known.

        Args:
            disagreement: (N,), :func:`overlap_disagreement`; joints with NaN or 0 are left out.
            error: (N,), root mean squared error of the bones in the overlap (E2).
            separator: that was measured.
            made: what to state with the map.

        Raises:
            ValueError: if fewer than three joints have both.
        """
        x, y = np.asarray(disagreement, dtype=np.float64), np.asarray(error, dtype=np.float64)
        known = (x > 0.0) & (y > 0.0)
        if known.sum() < 3:
            msg = f"expected at least three joints with an overlap and a known error, got {int(known.sum())}"
            raise ValueError(msg)
        x, y = np.log(x[known]), np.log(y[known])
        slope = max(float(np.polyfit(x, y, 1)[0]), 0.0) if np.ptp(x) > 0.0 else 0.0
        intercept = float(y.mean() - slope * x.mean())
        excess = float(np.exp(np.quantile(y - slope * x - intercept, COVERED)))
        return cls(slope, intercept, excess, separator, made)

    def expected(self, disagreement: float) -> float:
        """Error to be expected; NaN stays NaN."""
        return float(np.exp(self.intercept) * disagreement**self.slope)

    def upper(self, disagreement: float) -> float:
        """Error below which :data:`COVERED` of the joints with this disagreement lie."""
        return self.excess * self.expected(disagreement)

    def write(self, path: str | Path) -> None:
        """Write as JSON; raises :class:`InputError` where that is refused."""
        write_bytes(path, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: str | Path) -> Calibration:
        """Read what :meth:`write` wrote.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            return cls(**json.loads(Path(path).read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            msg = f"expected a calibration, got {path} ({error}): restore it, or make it by configs/calibrate.yaml"
            raise InputError(msg) from error
