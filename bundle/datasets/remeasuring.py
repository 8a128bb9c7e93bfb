"""Joint space of finished images, measured again on layers that the separator of the run predicts for them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from bundle.base import one_thread
from bundle.datasets.factory import RadiographFactory, Sample, passed
from bundle.datasets.specifications import SampleSpecifications
from bundle.measurement import JointSpace, measure_joint_space
from bundle.statistics import regression_slope
from torch import Tensor

FRACTION, MOST = 0.02, 200
"""Fraction and maximum number of the images that are measured again; at least one is."""

_DIGITS = 4


class Remeasurement:
    """Measurement of a random sample of the finished images, which compares the stated with the measured joint space.

    The images are those of the specifications, before they are stored with 16 bits; the moved masks guide the separator
    and the measurement.

    Args:
        evaluator: evaluator of the run: its network and its inferer separate the images.
        weights: weights of the network (:class:`bundle.workflow.GeneratorWeights`).
        seed: random seed of the choice of images.
    """

    def __init__(self, evaluator: Any, weights: Any, seed: int = 0) -> None:
        self.evaluator, self.weights, self.seed = evaluator, weights, seed

    def __call__(self, specifications: SampleSpecifications, factory: RadiographFactory, made: int) -> dict[str, Any]:
        """Measure images again.

        Args:
            specifications: sample specifications of the data set.
            factory: factory of the images.
            made: number of images of the data set.

        Returns:
            ``seed``, ``n``, the number of images, ``refused`` measurements among them; of the others, measured less
            stated joint space, ``bias_mm`` and ``mae_mm``, and ``slope`` of the measured change from the source joint
            over the stated one; None where it is undefined.
        """
        wanted = min(max(math.ceil(FRACTION * made), 1), MOST, made)
        self.weights(self.evaluator)
        stated, measured, before = [], [], []
        with one_thread():
            for sample in _chosen(specifications, factory, wanted, self.seed):
                stated.append(sample.joint_space_mm)
                measured.append(self._measured(sample))
                before.append(sample.specification.source.width)
        return {"seed": self.seed, **_agreement(*(np.array(part, float) for part in (stated, measured, before)))}

    def _measured(self, sample: Sample) -> float:
        """Joint space in mm of an image on its new layers; NaN if it is refused."""
        masks = (sample.masks[None] > 0.5).float()
        image = torch.cat([sample.image[None], masks], dim=1)
        return float(measured_anew(self._separate, image, sample.specification.source.spacing_mm).mean)

    def _separate(self, image: Tensor) -> Tensor:
        engine = self.evaluator
        with engine.mode(engine.network):
            return engine.inferer(image.to(engine.state.device), engine.network).float().cpu()


def measured_anew(separate: Callable[[Tensor], Tensor], image: Tensor, spacing: float | Tensor) -> JointSpace:
    """Measure the joint space of radiographs on layers that are separated anew.

    Args:
        separate: separator of radiographs with masks into layers.
        image: radiographs with binary masks, (B, 3, H, W); the masks guide separator and measurement.
        spacing: pixel size in mm; scalar or (B,).
    """
    return measure_joint_space(separate(image), image[:, 1:], spacing)


def _chosen(
    specifications: SampleSpecifications, factory: RadiographFactory, wanted: int, seed: int
) -> Iterator[Sample]:
    """Yield this number of images that pass the gate, in random order."""
    order = np.random.default_rng([seed, len(specifications)]).permutation(len(specifications))
    for index in map(int, order):
        if not wanted:
            return
        group = sorted({index, index ^ 1}) if specifications.plan.pairs else [index]
        sample = passed(specifications, factory, group, Counter()).get(index)
        if sample is not None:
            wanted -= 1
            yield sample


def _agreement(stated: np.ndarray, measured: np.ndarray, before: np.ndarray) -> dict[str, Any]:
    """Agreement of joint spaces (N,) in mm; see :class:`Remeasurement`."""
    known = np.isfinite(measured)
    error = (measured - stated)[known]
    found = {"n": len(stated), "refused": int((~known).sum())}
    of_error = {"bias_mm": error.mean(), "mae_mm": np.abs(error).mean()} if known.any() else {}
    figures = {**of_error, "slope": regression_slope((stated - before)[known], (measured - before)[known])}
    return {**found, **{name: _rounded(figures.get(name)) for name in ("bias_mm", "mae_mm", "slope")}}


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(float(value), _DIGITS)
