"""Uncertainty of a separation from test-time augmentation: each joint and its mirror image are separated and compared.

The mirror image of a joint is a joint, so an ideal separator gives the same layers for both; their difference shows
the uncertainty. The mean of the two predictions is taken in attenuation, where layers add: if each prediction composes
to the radiograph, so does the mean. (The mean of intensities does not; this is why MONAI's ``TestTimeAugmentation``,
which also samples its transforms at random and takes one joint at a time, is not used.)

Both predictions may share an error, which their difference does not show. Size and brightness of an overlap predict
the error as well: a :class:`Calibration` combines all :data:`SIGNS`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.base import one_thread, read_json, side_by_side
from bundle.errors import InputError, flag
from bundle.io import write_bytes
from bundle.networks import TORCH, package_label
from bundle.physics import attenuation, intensity, overlap
from bundle.separation import NetworkRuntime
from bundle.statistics import conformal_quantile
from monai.inferers import Inferer
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from scipy.stats import spearmanr
from torch import Tensor

COVERED = 0.9
"""Fraction of the joints whose error is below :meth:`Calibration.upper`."""

SIGNS = ("overlap_disagreement", "overlap_bone_intensity", "overlap_area_mm2")
"""Predictors of the error in the overlap (:func:`overlap_signs`)."""

FEWEST = 4
"""Minimum number of joints for a calibration."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """Prediction of a separator.

    Attributes:
        layers: (B, 3, H, W).
        deviation: standard deviation of the predictions for the images and for their mirror images, (B, 3, H, W); None
            without mirror images.
    """

    layers: Tensor
    deviation: Tensor | None = None


class FlipInferer(Inferer):
    """Inferer that separates images and their mirror images, and returns the mean.

    The layers of an image do not depend on the rest of its batch, to the last bit. On the CPU each image is separated
    by one thread, several side by side, whatever the number of threads (:mod:`bundle.base.threads`); this takes no
    longer than a batch. Other devices get padded batches of constant size.

    Args:
        flips: whether to separate mirror images; a switch, also as text.
        amp: whether the network runs in mixed precision, bfloat16: faster on hardware that supports it. Heads that
            partition the radiograph keep the precision of the image.
        batch_size: number of images per batch on devices other than the CPU; 0 for all.
        runtime: runtime of the network, with the same ``amp``; None for torch.

    Raises:
        InputError: the runtime has another ``amp``.
    """

    def __init__(
        self,
        flips: bool | str = True,
        amp: bool | str = False,
        batch_size: int = 0,
        runtime: NetworkRuntime | None = None,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.flips = flag(flips)
        self.amp = flag(amp)
        self.runtime = runtime
        if runtime is not None and runtime.amp != self.amp:
            msg = f"inferer#amp is {self.amp} and that of its runtime {runtime.amp}. Pass --amp for both."
            raise InputError(msg)

    @property
    def runtime_name(self) -> str:
        """Name of the runtime of the network."""
        return TORCH if self.runtime is None else self.runtime.name

    def described(self) -> dict[str, Any]:
        """Describe the computation for the provenance: ``runtime`` with its version, ``precision`` and ``flips``."""
        usual = "bfloat16" if self.amp else "float32"
        precision = usual if self.runtime is None else self.runtime.precision
        runtime = package_label(TORCH) if self.runtime is None else self.runtime.label
        return {"runtime": runtime, "precision": precision, "flips": self.flips}

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Return the layers (B, 3, H, W) of images (B, 3, H, W)."""
        return self.answer(inputs, network, *args, **kwargs).layers

    def answer(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Answer:
        """Return the layers of images (B, 3, H, W), and their deviation from those of the mirror images."""
        fast = None if self.runtime is None else self.runtime.of(network, inputs)

        def one(images: Tensor) -> Tensor:
            with torch.autocast(images.device.type, torch.bfloat16, enabled=self.amp and fast is None):
                return (fast or network)(images, *args, **kwargs)

        views = [inputs, inputs.flip(-1)] if self.flips else [inputs]
        answers = self._answers(one, views)
        if not self.flips:
            return Answer(answers)
        straight, mirrored = answers.chunk(2)
        return Answer(*combine(torch.stack([straight, mirrored.flip(-1)], dim=1)))

    def _answers(self, answer: Callable[[Tensor], Tensor], views: Sequence[Tensor]) -> Tensor:
        """Return the predictions for one or more batches of images (B, 3, H, W), each independent of the others.

        On a CPU, torch uses one thread: another would wait for work, on a core that the next images need.
        """
        if views[0].device.type == "cpu":
            found = side_by_side(answer, [image for images in views for image in images.split(1)])
            with one_thread():
                return torch.cat(found)
        images = torch.cat(list(views))
        size = self.batch_size or len(images)
        return torch.cat([_filled(answer, part, size) for part in images.split(size)])


def _filled(answer: Callable[[Tensor], Tensor], images: Tensor, size: int) -> Tensor:
    """Return the predictions for at most ``size`` images, in a batch padded to that size."""
    rows = torch.arange(size, device=images.device).clamp(max=len(images) - 1)
    return answer(images[rows])[: len(images)]


def combine(answers: Tensor) -> tuple[Tensor, Tensor]:
    """Compute mean and disagreement of several predictions of a separator, (..., N, 3, H, W), for the same image.

    Args:
        answers: layers in [0, 1].

    Returns:
        The layers of mean attenuation, (..., 3, H, W), which compose exactly if every prediction does, and the standard
        deviation of the predictions in intensity, (..., 3, H, W).
    """
    mean = intensity(attenuation(answers).mean(dim=-4))
    return mean, answers.std(dim=-4, correction=0)


def bone_disagreement(deviation: Tensor, weights: Tensor) -> Tensor:
    """Compute the root mean square of the bones' standard deviations over a region; NaN below one pixel.

    Args:
        deviation: deviation of the three layers, (B, 3, H, W), from :func:`combine`.
        weights: the region, (B, 1, H, W) for both bones.

    Returns:
        (B,), in intensity.
    """
    return _mean_of_bones(deviation.square(), weights).sqrt()


def overlap_signs(layers: Tensor, deviation: Tensor, masks: Tensor, spacing: float | Tensor) -> dict[str, Tensor]:
    """Compute the :data:`SIGNS` of an error in the overlap of the bones.

    Args:
        layers: generated layers, (B, 3, H, W) in [0, 1].
        deviation: deviation of the predictions, (B, 3, H, W), from :func:`combine`.
        masks: bone masks, (B, 2, H, W).
        spacing: pixel size in mm; scalar or (B,).

    Returns:
        (B,) each: the disagreement (:func:`bone_disagreement`) and the mean of both bone layers, in intensity and NaN
        for an overlap smaller than a pixel, and the area of the overlap in mm^2.
    """
    both = overlap(masks)
    area = both.sum(dim=(-3, -2, -1)) * torch.as_tensor(spacing).to(both) ** 2
    return dict(zip(SIGNS, (bone_disagreement(deviation, both), _mean_of_bones(layers, both), area), strict=True))


def _mean_of_bones(layers: Tensor, weights: Tensor) -> Tensor:
    """Average the bone layers of (B, 3, H, W) over a region (B, 1, H, W); NaN for a region below one pixel."""
    pixels = weights.sum(dim=(-3, -2, -1))
    total = (layers[:, 1:] * weights).sum(dim=(-3, -2, -1)) / 2.0
    return (total / pixels.clamp(min=1.0)).masked_fill(pixels < 1.0, torch.nan)


@dataclass(frozen=True)
class Calibration:
    """Expected error from signs s_k: ``exp(intercept) * prod_k s_k ** c_k``.

    Attributes:
        coefficients: c_k by the name of their sign, at least 0, so that a larger sign never means a smaller error.
        intercept: logarithm of the error if all signs are 1.
        excess: ratio of true to expected error that a fraction :data:`COVERED` of the joints does not exceed.
        separator: calibrated separator (:attr:`bundle.workflow.GeneratorWeights.source`).
        made: provenance: data, number of joints and seed, with rank correlation and coverage on left-out joints.

    Raises:
        ValueError: a sign is unknown, or there is none.
    """

    coefficients: dict[str, float]
    intercept: float
    excess: float
    separator: str
    made: dict[str, Any]

    def __post_init__(self) -> None:
        if not self.coefficients or not set(dict(self.coefficients)) <= set(SIGNS):
            msg = f"coefficients must be named after some of the signs {SIGNS}, got {self.coefficients}"
            raise ValueError(msg)

    @classmethod
    def fit(
        cls, signs: Mapping[str, ArrayLike], error: ArrayLike, joints: ArrayLike, separator: str, made: dict[str, Any]
    ) -> Calibration:
        """Fit by least squares between the logarithms, over samples of joints with known error.

        The excess is relative to a fit to the other joints, so that the bound holds for unseen joints.

        Args:
            signs: (N,) each, by name (:func:`overlap_signs`); samples with a NaN or 0 are omitted.
            error: root mean squared error of the bones in the overlap (E2), (N,).
            joints: joint of each sample, (N,). All joints have the same weight in the excess.
            separator: measured separator.
            made: provenance to record with the calibration.

        Raises:
            InputError: fewer than :data:`FEWEST` joints have complete samples.
        """
        coefficients, intercept, excess = _fit(*_logarithms(signs, error, joints))
        named = dict(zip(signs, coefficients.tolist(), strict=True))
        return cls(named, intercept, float(np.exp(excess)), separator, made)

    def expected(self, signs: Mapping[str, ArrayLike]) -> Floats:
        """Return the expected error, of the shape of each sign; NaN if a sign is not above 0."""
        values = np.stack([np.asarray(signs[name], dtype=np.float64) for name in self.coefficients])
        logs = np.log(np.where(values > 0.0, values, np.nan))
        return np.exp(self.intercept + np.tensordot(list(self.coefficients.values()), logs, axes=1))

    def upper(self, signs: Mapping[str, ArrayLike]) -> Floats:
        """Return the error below which the fraction :data:`COVERED` of the joints with these signs lies."""
        return self.excess * self.expected(signs)

    def write(self, path: str | Path) -> None:
        """Write as JSON; raises :class:`InputError` if the file cannot be written."""
        write_bytes(path, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: str | Path) -> Calibration:
        """Read a file from :meth:`write`.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            found = cls(**read_json(path))
            numbers = [float(value) for value in (*found.coefficients.values(), found.intercept, found.excess)]
            if not all(map(math.isfinite, numbers)) or found.excess <= 0.0:
                raise ValueError("a number is not finite, or the excess not above 0")
            return replace(found, separator=str(found.separator), made=dict(found.made))
        except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
            msg = f"{path}: not a calibration ({error}). Restore the file, or run configs/jobs/calibrate.yaml."
            raise InputError(msg) from error


def held_out_figures(signs: Mapping[str, ArrayLike], error: ArrayLike, joints: ArrayLike) -> dict[str, float]:
    """Cross-validate :meth:`Calibration.fit` on joints that are left out in turn.

    For arguments and errors see :meth:`Calibration.fit`.

    Returns:
        ``spearman``, the rank correlation of expected and true error; ``coverage``, the fraction of the samples below
        :meth:`Calibration.upper`; ``factor``, the geometric mean ratio of the larger to the smaller of both errors.
    """
    x, y, names = _logarithms(signs, error, joints)
    expected, excess = np.empty_like(y), np.empty_like(y)
    for out in _each(names):
        coefficients, intercept, excess[out] = _fit(x[~out], y[~out], names[~out])
        expected[out] = x[out] @ coefficients + intercept
    return {
        "spearman": float(spearmanr(expected, y).statistic),
        "coverage": float(np.mean(y <= expected + excess)),
        "factor": float(np.exp(np.abs(y - expected).mean())),
    }


def _logarithms(
    signs: Mapping[str, ArrayLike], error: ArrayLike, joints: ArrayLike
) -> tuple[Floats, Floats, NDArray[Any]]:
    """Return logarithms of signs (N, K) and errors (N,), and the joints (N,), of the complete samples."""
    columns = [np.asarray(values, dtype=np.float64) for values in (*signs.values(), error)]
    known = np.all([values > 0.0 for values in columns], axis=0)
    names = np.asarray(joints)[known]
    if len(np.unique(names)) < FEWEST:
        msg = (
            f"a calibration needs {FEWEST} joints, closed until they overlap, with a known error; the list has "
            f"{len(np.unique(names))}. Add joints whose bones do not overlap, or use more of the list."
        )
        raise InputError(msg)
    *x, y = (np.log(values[known]) for values in columns)
    return np.stack(x, axis=1), y, names


def _fit(x: Floats, y: Floats, joints: NDArray[Any]) -> tuple[Floats, float, float]:
    """Fit coefficients (K,), intercept and logarithm of the excess.

    The excess is the limit (:func:`bundle.statistics.conformal_quantile`) of the amounts by which the errors exceed a
    fit to the other joints.
    """
    exceeded = np.empty_like(y)
    for out in _each(joints):
        coefficients, intercept = _log_linear(x[~out], y[~out])
        exceeded[out] = y[out] - x[out] @ coefficients - intercept
    return *_log_linear(x, y), conformal_quantile(exceeded, joints, COVERED)


def _log_linear(x: Floats, y: Floats) -> tuple[Floats, float]:
    """Fit y (N,) to x (N, K) by least squares with coefficients (K,) of at least 0, and the intercept."""
    varied = np.where(np.ptp(x, axis=0) > 0.0, x - x.mean(axis=0), 0.0)
    coefficients, _ = nnls(varied, y - y.mean())
    return coefficients, float(y.mean() - x.mean(axis=0) @ coefficients)


def _each(joints: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """Return, for each joint, the mask of its samples."""
    return [joints == joint for joint in np.unique(joints)]
