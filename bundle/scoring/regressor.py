"""Prediction of joint spaces by the shipped regressor, beside their measurement."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from bundle.networks import LoadedOnUse
from bundle.scoring.calibration import uncertainty_factor
from bundle.scoring.losses import predicted_joint_space
from monai.transforms import Transform
from torch import Tensor, nn


class JointSpaceRegressor(LoadedOnUse):
    """Regressor of the joint space of a radiograph, on the CPU; its weights are loaded on first use.

    Its standard deviations are calibrated by the file beside the weights (:func:`bundle.scoring.uncertainty_factor`).

    Args:
        network: network from frames (B, 1, H, W) to outputs (B, 2) (:func:`bundle.scoring.make_scorer`).
        load_path: file of the weights.
        preparation: transform from a joint with ``image`` (3, H, W) and ``spacing`` to its input frame.
        metadata: file of the bundle's metadata with the checksum of the weights; empty for user-trained weights.
    """

    what = "joint space regressor"
    remedy = "train this network with configs/jobs/read_joint_space.yaml"

    def __init__(self, network: nn.Module, load_path: str | Path, preparation: Transform, metadata: str = "") -> None:
        super().__init__(network, load_path, metadata)
        self.preparation = preparation

    @cached_property
    def factor(self) -> float:
        """Factor of the standard deviations."""
        return uncertainty_factor(self.load_path)

    @torch.no_grad()
    def __call__(self, image: Tensor, spacing_mm: float) -> tuple[float, float]:
        """Predict the joint space and its standard deviation in mm from a radiograph and its masks, (3, H, W).

        Raises:
            InputError: if the weights are missing or those of another network.
        """
        self.load()
        frame = self.preparation({"image": image, "spacing": torch.tensor([spacing_mm])})["image"]
        width, deviation = predicted_joint_space(self.network(torch.as_tensor(frame)[None]))
        return float(width), self.factor * float(deviation)
