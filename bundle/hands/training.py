"""Batches and validation of the training of the finder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from bundle.hands.augmentation import HandPicture, RandHandViewsd
from bundle.hands.networks import BLOCK, probabilities
from ignite.metrics import Metric
from torch import Tensor

KINDS = ("film", "crop")
"""Kinds of views, in the order of :class:`bundle.hands.FinderNetwork`."""


def views_and_points(
    batch: Mapping[str, Tensor], device: Any = None, non_blocking: bool = False, **_: Any
) -> tuple[list[Tensor], list[Tensor]]:
    """Split a batch of :class:`RandHandViewsd` into the inputs of the network and the targets of the loss.

    It is a ``prepare_batch`` of MONAI's engines; all views of a kind become one batch.
    """
    views = [batch[kind].flatten(0, 1).to(device, non_blocking=non_blocking) for kind in KINDS]
    return views, [batch[f"{kind}_points"].flatten(0, 1).to(device, non_blocking=non_blocking) for kind in KINDS]


def fixed_views(hands: Sequence[dict[str, HandPicture]], each: int, seed: int) -> list[dict[str, Tensor]]:
    """Sample views of hands once, for validation.

    Args:
        hands: samples with the key ``hand``.
        each: number of views per hand.
        seed: random seed.
    """
    sampling = RandHandViewsd(hands)
    sampling.set_random_state(seed)
    return [sampling(hand) for hand in hands for _ in range(each)]


class LandmarkAccuracy(Metric):
    """Fraction of the landmarks that are predicted correctly, over the views of one kind.

    A landmark in the view is correct if the peak of its heatmap lies within a distance of it and the probability that
    it is in the view is at least 0.5; of two hands, either counts. A landmark that is not in the view is correct if
    this probability is below 0.5.

    Args:
        kind: ``film`` or ``crop``.
        within_px: distance in pixels of the view.
        output_transform: from the engine's output to logits and points of all kinds.
    """

    def __init__(self, kind: str, within_px: float = 6.0, output_transform: Any = lambda output: output) -> None:
        self.kind, self.within_px = KINDS.index(kind), within_px
        super().__init__(output_transform, skip_unrolling=True)

    def reset(self) -> None:
        """Forget all views."""
        self.correct, self.count = 0, 0

    def update(self, output: Sequence[Any]) -> None:
        """Add the views of a batch."""
        logits, points = output[0][self.kind], output[1][self.kind]
        maps = probabilities(logits)
        at = maps.flatten(2).argmax(dim=2)
        places = torch.stack([at % maps.shape[-1], at // maps.shape[-1]], dim=-1) * BLOCK + (BLOCK - 1) / 2
        near = ((places[:, None] - points[..., :2]).norm(dim=-1) <= self.within_px) & (points[..., 2] > 0)
        present, visible = maps.sum(dim=(2, 3)) >= 0.5, (points[..., 2] > 0).any(dim=1)
        correct = torch.where(visible, present & near.any(dim=1), ~present)
        self.correct, self.count = self.correct + int(correct.sum()), self.count + correct.numel()

    def compute(self) -> float:
        """Return the fraction."""
        return self.correct / max(self.count, 1)
