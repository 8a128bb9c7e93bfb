"""Prediction of joint spaces by the shipped regressor, beside their measurement."""

from __future__ import annotations

from pathlib import Path

import torch
from bundle.networks import file_label, load_weights, stated_sha256
from bundle.scoring.losses import predicted_joint_space
from monai.transforms import Transform
from torch import Tensor, nn


class JointSpaceRegressor:
    """Regressor of the joint space of a radiograph, on the CPU; its weights are loaded on first use.

    Args:
        network: network from frames (B, 1, H, W) to outputs (B, 2) (:func:`bundle.scoring.make_scorer`).
        load_path: file of the weights.
        preparation: transform from a joint with ``image`` (3, H, W) and ``spacing`` to its input frame.
        metadata: file of the bundle's metadata with the checksum of the weights; empty for user-trained weights.
    """

    def __init__(self, network: nn.Module, load_path: str | Path, preparation: Transform, metadata: str = "") -> None:
        self.network, self.load_path = network.eval(), Path(load_path)
        self.preparation, self.metadata = preparation, metadata
        self._loaded = False

    @torch.no_grad()
    def __call__(self, image: Tensor, spacing_mm: float) -> tuple[float, float]:
        """Predict the joint space and its standard deviation in mm from a radiograph and its masks, (3, H, W).

        Raises:
            InputError: if the weights are missing or those of another network.
        """
        self._load()
        frame = self.preparation({"image": image, "spacing": torch.tensor([spacing_mm])})["image"]
        width, deviation = predicted_joint_space(self.network(torch.as_tensor(frame)[None]))
        return float(width), float(deviation)

    def __str__(self) -> str:
        """Name and checksum of the weights."""
        return file_label(self.load_path)

    def _load(self) -> None:
        if self._loaded:
            return
        sha256 = stated_sha256(self.metadata, self.load_path.name) if self.metadata else None
        remedy = "train this network with configs/jobs/read_joint_space.yaml"
        load_weights(self.network, self.load_path, "joint space regressor", remedy, "cpu", sha256)
        self._loaded = True
