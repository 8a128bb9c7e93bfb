"""E4, detectability: accuracy of a network that finds the bones in the soft-tissue layer, which should hide them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from bundle.physics import blur, signed_distance, union, visible_region
from bundle.statistics import (
    Column,
    FitSettings,
    Measured,
    SeparatedJoints,
    area_under_curve,
    bootstrap_interval,
    fit_seeds,
    flip_some,
    plot_roc,
    predict,
    roc_curve,
)
from monai.networks.nets import BasicUNet
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class ShadowDetectability:
    """E4: a fresh segmenter learns to find the bones in soft-tissue layers and is tested on other joints.

    Bone is the union of the annotated masks. Their outlines run inside the penumbra of the bones, so pixels up to
    ``penumbra_mm`` outside of them are neither bone nor tissue and are ignored. The band around the outline is
    evaluated: bone up to ``band_mm`` deep, and visible tissue up to ``band_mm`` beyond the penumbra. The segmenter is
    trained on exactly these pixels.

    The figure is the area under the ROC within the band of ONE image, averaged over images. Pooled over the pixels of
    all images, it would also reward recognising which frame is bright or shows much bone, and weight large joints more;
    that figure is reported as ``pooled``. These predictors are compared:

    - ``soft``: the segmenter, given the soft-tissue layer;
    - ``shape``: the mean of the training masks at each pixel, the usual position of the bones;
    - ``outline``: the segmenter, given only the visible region. The outline of the finger also reveals the bones
      without any shadow, so this part of ``soft`` is not due to the layer;
    - ``true``, if all true layers are known (phantoms): the segmenter, given the true soft tissue; the floor.

    ``above_shape`` is the mean of the images' differences, soft minus shape; 0 means that no shadow is left. It also
    detects tissue that is too smooth below the bones. ``blur_mm`` removes the noise texture first, to test for the
    shadow alone.

    A segmenter depends on its seed, so each is fitted ``fits`` times; areas are means over the fits.

    Args:
        seed: random seed of the fits and of the bootstrap.
        size: height and width in pixels to which larger layers are reduced, antialiased.
        band_mm: width of the band on either side, in mm.
        penumbra_mm: width of the penumbra in mm.
        blur_mm: sigma in mm of a Gaussian over the soft-tissue layers; 0 for none.
        outline: whether to train the third predictor.
        fits: number of fits of each segmenter.
        fit_settings: settings of a fit.
        features: features of the segmenter, MONAI's ``BasicUNet``.
        device: device of the segmenter.
    """

    columns: ClassVar[Mapping[str, Sequence[Column]]] = {
        "E4": (
            Column("auc_soft", "AUC"),
            Column("auc_shape", "AUC of shape alone"),
            Column("above_shape", "above shape", "<= 0.02"),
            Column("above_outline", "above outline"),
        ),
        "E4_phantoms": (
            Column("auc_soft", "AUC"),
            Column("auc_true", "AUC of the true soft tissue"),
            Column("above_true", "above the true soft tissue", "<= 0.01"),
            Column("above_shape", "above shape"),
        ),
    }

    seed: int = 0
    size: int = 128
    band_mm: float = 1.0
    penumbra_mm: float = 0.4
    blur_mm: float = 0.0
    outline: bool = True
    fits: int = 3
    fit_settings: FitSettings = field(default_factory=lambda: FitSettings(epochs=8, batch_size=8))
    features: Sequence[int] = (8, 16, 16, 32, 32, 8)
    device: str = "cpu"

    def __call__(self, training: SeparatedJoints, test: SeparatedJoints) -> Measured:
        """Measure.

        Args:
            training: joints to train on.
            test: other joints, of the same size.

        Returns:
            ``figures``: ``auc_<predictor>`` with ``..._interval`` (95 %, over joints) and ``pooled_auc_<predictor>``,
            ``above_<predictor>``, soft minus the other ones, with paired intervals, ``auc_<predictor>_std``, the
            standard deviation over fits, and the settings. ``per_image``: the area of each predictor; NaN for an image
            without bone or tissue in the band. ``plots``: the ROC, mean of the images' curves. ``worst``: images whose
            bones are found best.
        """
        learned, asked = self._questions(training), self._questions(test)
        scores = {
            "soft": self._segment(learned.soft, learned, asked.soft),
            "shape": [learned.bone.mean(dim=0, keepdim=True).expand_as(asked.bone)],
        }
        if self.outline:
            scores["outline"] = self._segment(learned.visible, learned, asked.visible)
        if learned.true is not None and asked.true is not None:
            scores["true"] = self._segment(learned.true, learned, asked.true)
        by_fit = {name: _by_fit(area_under_curve, fits, asked) for name, fits in scores.items()}
        areas = {name: np.mean(fits, axis=0) for name, fits in by_fit.items()}
        identity = pd.DataFrame([{key: item[key] for key in ("name", "joint", "finger")} for item in test.items])
        per_image = identity.assign(**{f"auc_{name}": area for name, area in areas.items()})
        spread = {f"auc_{name}_std": _spread(fits) for name, fits in by_fit.items() if len(fits) > 1}
        pooled = {f"pooled_auc_{name}": _pooled(fits, asked) for name, fits in scores.items()}
        curves = {name: list(itertools.chain(*_by_fit(roc_curve, fits, asked))) for name, fits in scores.items()}
        plot = plot_roc(curves, "bone in the soft-tissue layer, band at the outline")
        worst = per_image.dropna().sort_values("auc_soft", ascending=False)["name"]
        return Measured(
            {**self._settings(training, test), **_figures(areas, test.joints, self.seed), **spread, **pooled},
            per_image,
            {"detectability_roc": plot},
            list(worst),
        )

    def _settings(self, training: SeparatedJoints, test: SeparatedJoints) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in ("seed", "size", "band_mm", "penumbra_mm", "blur_mm", "fits")}
        return {**settings, "training_joints": len(training), "test_joints": len(test)}

    def _questions(self, joints: SeparatedJoints) -> _Questions:
        """Resample the joints and select the evaluated pixels."""
        size = min(self.size, *joints.images.shape[-2:])
        pixel = joints.spacing * joints.images.shape[-1] / size
        images = _resampled(joints.images, size)
        soft = self._seen(joints.layers, size, pixel)
        true = None if joints.truth is None else self._seen(joints.truth, size, pixel)
        mask = union(images[:, 1:])
        reach = math.ceil((self.band_mm + self.penumbra_mm) / float(pixel.min()))
        depth = signed_distance(mask, reach + 1) * pixel[:, None, None, None]
        visible = visible_region(images[:, :1], images[:, 1:])
        bone = (depth > 0).float()
        tissue = ((depth < -self.penumbra_mm) & (depth > -self.penumbra_mm - self.band_mm)).float() * visible
        return _Questions(soft, visible, bone, torch.maximum(bone * (depth < self.band_mm), tissue) > 0, true)

    def _seen(self, layers: Tensor, size: int, pixel: Tensor) -> Tensor:
        """Return the soft tissue of layers as a segmenter sees it, reduced and blurred."""
        soft, sigmas = _resampled(layers[:, :1], size), (self.blur_mm / pixel).tolist()
        return torch.cat([blur(one, sigma) for one, sigma in zip(soft.split(1), sigmas, strict=True)])

    def _segment(self, inputs: Tensor, learned: _Questions, test_inputs: Tensor) -> list[Tensor]:
        """Fit segmenters on the band and return their logits for the test's inputs, (N, 1, H, W) per fit."""
        seeds = fit_seeds(self.seed, self.fits)
        return [predict(self._fit(inputs, learned, seed), test_inputs) for seed in seeds]

    def _fit(self, inputs: Tensor, learned: _Questions, seed: int) -> nn.Module:
        known = torch.cat([inputs, learned.bone, learned.counts.float()], dim=1).to(self.device)

        def loss(network: nn.Module, joints: Tensor, random: torch.Generator) -> Tensor:
            given, bone, counts = flip_some(known[joints], random).split(1, dim=1)
            errors = F.binary_cross_entropy_with_logits(network(given), bone, reduction="none")
            return (errors * counts).sum() / counts.sum().clamp(min=1.0)

        return self.fit_settings.train(partial(_segmenter, self.features, self.device), loss, len(known), seed)


@dataclass(frozen=True)
class _Questions:
    """Inputs of the predictors and the position of the bone; all (N, 1, H, W).

    Attributes:
        soft: soft-tissue layers.
        visible: visible region.
        bone: 1 in bone.
        counts: whether a pixel is evaluated.
        true: true soft-tissue layers; None if unknown.
    """

    soft: Tensor
    visible: Tensor
    bone: Tensor
    counts: Tensor
    true: Tensor | None = None


def _resampled(stack: Tensor, size: int) -> Tensor:
    return F.interpolate(stack, (size, size), mode="bilinear", antialias=True, align_corners=False)


def _segmenter(features: Sequence[int], device: str) -> nn.Module:
    return BasicUNet(2, 1, 1, features=features, upsample="nontrainable", norm=("batch", {})).to(device)


def _by_fit(measure: Any, scores: Sequence[Tensor], asked: _Questions) -> list[list[Any]]:
    """Measure, for each fit, the area or curve of the evaluated pixels of each image."""
    return [[measure(*one) for one in _counting(fit, asked)] for fit in scores]


def _counting(scores: Tensor, asked: _Questions) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return scores and truth of each image's evaluated pixels."""
    return [
        (score[counts].numpy(), bone[counts].numpy())
        for score, bone, counts in zip(scores, asked.bone, asked.counts, strict=True)
    ]


def _pooled(scores: Sequence[Tensor], asked: _Questions) -> float:
    bone = asked.bone[asked.counts].numpy()
    return float(np.mean([area_under_curve(fit[asked.counts].numpy(), bone) for fit in scores]))


def _spread(fits: Sequence[Sequence[float]]) -> float:
    """Return the standard deviation over fits of the images' mean area."""
    return float(np.nanmean(fits, axis=1).std(ddof=1))


def _figures(areas: Mapping[str, NDArray[np.float64]], joints: Sequence[str], seed: int) -> dict[str, Any]:
    """Average the areas and their differences over images, with intervals over joints."""
    values = {f"auc_{name}": area for name, area in areas.items()}
    above = {f"above_{name}": values["auc_soft"] - values[f"auc_{name}"] for name in areas if name != "soft"}
    figures: dict[str, Any] = {}
    for name, value in {**values, **above}.items():
        mean = partial(_mean, value)
        figures[name] = mean(np.arange(len(value)))
        figures[f"{name}_interval"] = list(bootstrap_interval(mean, joints, seed=seed))
    return figures


def _mean(values: NDArray[np.float64], images: NDArray[np.int64]) -> float:
    return float(np.nanmean(values[images]))
