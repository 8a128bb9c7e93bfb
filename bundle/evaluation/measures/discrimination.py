"""Fresh classifiers that learn to distinguish two kinds of radiographs on some joints and are tested on others."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from bundle.evaluation.measures.crops import crops_of, shifted
from bundle.io import is_overlapping
from bundle.statistics import (
    Curve,
    FitSettings,
    SeparatedJoints,
    area_under_curve,
    bootstrap_interval,
    fit_seeds,
    flip_some,
    predict,
    roc_curve,
)
from monai.networks.blocks import Convolution
from monai.networks.nets import DenseNet
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn


@dataclass(frozen=True)
class Sides:
    """Two stacks (n, 2, H, W) to distinguish, and the joints of the first and then the second."""

    real: Tensor
    other: Tensor
    joints: Sequence[str]


@dataclass(frozen=True)
class Answer:
    """Probabilities (fits, 2n) that examples are of the second kind, their labels (2n,) and joints."""

    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    joints: Sequence[str]

    def of(self, members: NDArray[np.bool_]) -> Answer:
        """Select some of the examples."""
        return Answer(self.scores[:, members], self.labels[members], list(itertools.compress(self.joints, members)))

    def correct(self) -> NDArray[np.float64]:
        """Return the correctness of each prediction, (fits, 2n): 1 or 0, half at a probability of exactly 0.5."""
        side = np.sign(self.scores - 0.5) * np.where(self.labels == 1, 1.0, -1.0)
        return 0.5 + 0.5 * side

    def paired(self) -> NDArray[np.float64]:
        """Return for each pair whether the second kind has the higher probability, (fits, n): 1 or 0, half if equal."""
        real, other = np.split(self.scores, 2, axis=1)
        return 0.5 + 0.5 * np.sign(other.astype(float) - real)

    def area(self, examples: NDArray[np.int64]) -> float:
        """Return the mean over the fits of the area under the curve of some examples."""
        return float(np.mean([area_under_curve(fit[examples], self.labels[examples]) for fit in self.scores]))

    def curves(self) -> list[Curve]:
        """Return the ROC of each fit."""
        return [roc_curve(fit, self.labels) for fit in self.scores]


class View(Protocol):
    """How a classifier sees the frames of both sides."""

    def sampled(self, pairs: Tensor, random: torch.Generator) -> Tensor:
        """Return the frames of a training step, (2B, 2, h, w): first one side, then the other.

        Args:
            pairs: frames of both sides of B joints, (B, 4, H, W).
            random: random generator.
        """

    def fixed(self, frames: Tensor) -> Tensor:
        """Return frames (N, 2, h, w) of (N, 2, H, W) for a test."""


@dataclass(frozen=True)
class SharedShift:
    """Frames in place, mirrored at random and shifted slightly in training, all frames of a step alike.

    Attributes:
        reach: largest shift in pixels.
    """

    reach: int

    def sampled(self, pairs: Tensor, random: torch.Generator) -> Tensor:
        """See :meth:`View.sampled`."""
        return torch.cat(shifted(flip_some(pairs, random), self.reach, random).chunk(2, dim=1))

    def fixed(self, frames: Tensor) -> Tensor:
        """Return the middle of frames, of the training size: the share of padding affects faint predictions."""
        cut = slice(self.reach, -self.reach or None)
        return frames[..., cut, cut]


@dataclass(frozen=True)
class OwnCrops:
    """Each frame mirrored at random and cropped at its own random position, so that positions reveal nothing.

    Attributes:
        reach: largest shift in pixels.
        seed: random seed of the crops of a test.
    """

    reach: int
    seed: int = 0

    def sampled(self, pairs: Tensor, random: torch.Generator) -> Tensor:
        """See :meth:`View.sampled`."""
        return crops_of(flip_some(torch.cat(pairs.chunk(2, dim=1)), random), self.reach, random)

    def fixed(self, frames: Tensor) -> Tensor:
        """See :meth:`View.fixed`."""
        return crops_of(frames, self.reach, torch.Generator().manual_seed(self.seed))


@dataclass(frozen=True, kw_only=True)
class Discriminator:
    """Classifiers of two kinds of radiographs, fitted several times, since a fit on some hundred joints varies.

    Both sides of a joint are in the same step of training.

    Attributes:
        view: how the classifiers see the frames.
        network: function that creates a classifier of frames (N, 2, h, w).
        seed: random seed of the fits.
        fits: number of fits.
        fit_settings: settings of a fit.
        device: device of the classifiers.
    """

    view: View
    network: Callable[[], nn.Module]
    seed: int = 0
    fits: int = 3
    fit_settings: FitSettings = field(default_factory=lambda: FitSettings(batch_size=8))
    device: str = "cpu"

    def ask(self, training: Sides, test: Sides) -> Answer:
        """Fit the classifiers on one set of joints and test them on another."""
        inputs = self.view.fixed(torch.cat([test.real, test.other]))
        fits = [self._fit(training, seed) for seed in fit_seeds(self.seed, self.fits)]
        scores = np.stack([predict(network, inputs).sigmoid().numpy()[:, 0] for network in fits])
        return Answer(scores, np.repeat([0, 1], len(test.real)), test.joints)

    def _fit(self, training: Sides, seed: int) -> nn.Module:
        pairs = torch.cat([training.real, training.other], dim=1).to(self.device)

        def loss(network: nn.Module, joints: Tensor, random: torch.Generator) -> Tensor:
            logits = network(self.view.sampled(pairs[joints], random))
            labels = torch.arange(2).repeat_interleave(len(joints))[:, None]
            return F.binary_cross_entropy_with_logits(logits, labels.to(logits))

        network = self.fit_settings.train(lambda: self.network().to(self.device), loss, len(pairs), seed)
        update_bn(self.view.fixed(torch.cat(pairs.chunk(2, dim=1))).split(32), network)
        return network


def small_classifier(channels: Sequence[int] = (16, 32, 32, 64, 64)) -> nn.Module:
    """Create a classifier of strided convolution blocks with batch normalisation and a mean over the image."""
    blocks = [
        Convolution(2, before, after, strides=2, act="RELU", norm="BATCH", bias=False)
        for before, after in itertools.pairwise([2, *channels])
    ]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 1)]
    return nn.Sequential(*blocks, *head).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def dense_classifier(
    init_features: int = 16, growth_rate: int = 8, block_config: Sequence[int] = (4, 4, 4, 4)
) -> nn.Module:
    """Create a DenseNet of MONAI, deeper than the small classifier."""
    return DenseNet(2, 2, 1, init_features=init_features, growth_rate=growth_rate, block_config=tuple(block_config))


def answer_figures(answer: Answer, name: str, seed: int, paired: bool = False) -> dict[str, Any]:
    """Return accuracy and area under the curve, means over the fits, with 95 % bootstrap intervals over joints.

    Args:
        answer: answer of the classifiers.
        name: name of the trial, the end of the figures' names.
        seed: random seed of the bootstrap.
        paired: whether to add the accuracy within pairs.
    """
    everything = np.arange(len(answer.labels))
    spread = float(answer.correct().mean(axis=1).std(ddof=1)) if len(answer.scores) > 1 else None
    return {
        **mean_figures(answer.correct(), answer.joints, f"accuracy_{name}", seed),
        f"accuracy_std_{name}": spread,
        f"auc_{name}": answer.area(everything),
        f"auc_{name}_interval": list(bootstrap_interval(answer.area, answer.joints, samples=200, seed=seed)),
        **(paired_figures(answer, name, seed) if paired else {}),
    }


def paired_figures(answer: Answer, name: str, seed: int) -> dict[str, Any]:
    """Return the accuracy within pairs of a trial (:func:`answer_figures`)."""
    half = len(answer.joints) // 2
    return mean_figures(answer.paired(), answer.joints[:half], f"paired_accuracy_{name}", seed)


def mean_figures(values: NDArray[np.float64], joints: Sequence[str], name: str, seed: int) -> dict[str, Any]:
    """Return the mean of values (fits, n) with its 95 % bootstrap interval over joints; None without values."""
    each = values.mean(axis=0)
    interval = bootstrap_interval(lambda examples: float(each[examples].mean()), joints, seed=seed)
    return {name: float(each.mean()) if len(each) else None, f"{name}_interval": list(interval)}


def answer_table(answer: Answer, joints: SeparatedJoints) -> pd.DataFrame:
    """Return a row for each radiograph with the scores of both sides and the accuracy, means over the fits."""
    real, made = answer.scores.mean(axis=0).reshape(2, -1)
    correct = answer.correct().mean(axis=0).reshape(2, -1)
    identity = [{key: item[key] for key in ("name", "joint", "finger")} for item in joints.items]
    return pd.DataFrame(identity).assign(
        overlapping=[is_overlapping(image) for image in joints.images],
        real_score=real,
        synthetic_score=made,
        accuracy=correct.mean(axis=0),
    )
