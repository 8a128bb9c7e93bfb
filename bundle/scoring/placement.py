"""Dependence of predictions on the mark by which a joint is cut out of a radiograph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from bundle.errors import InputError
from bundle.io import JointFrame, JointPlace, MaskMaker, Recentre
from bundle.joint import Keys
from bundle.physics import continue_to_border
from bundle.scoring.agreement import Reading
from bundle.statistics import IDENTITY
from monai.networks.utils import eval_mode
from torch import Tensor, nn
from torch.nn import functional as F

OFF_MM, OFF_DEG = 3.0, 20.0
"""Largest error of a mark."""

MARGIN_MM = 8.0
"""Width by which a radiograph is continued beyond its border, so that it holds every moved frame."""

Prediction = dict[str, Any]


class PlacementCheck:
    """Predictions of joints from marks that are off by up to 3 mm and 20 degrees, against those from the right mark.

    Masks are predicted in every frame, and frames are placed as in inference. Radiographs of one joint end near the
    frame; they are continued by the values at their border.

    Args:
        joints: loaded joints with their truth (:class:`bundle.scoring.JointSpaceLabels`).
        network: scoring network.
        preparation: transform from a joint with ``image`` (3, H, W) and ``spacing`` to the input of the network.
        reading: interpretation of the network's outputs.
        segment: network that predicts masks.
        recentre: placement of frames from marks; None uses the frame around the mark.
        count: number of marks of each joint; 0 for no check.
        seed: random seed of the marks.
        device: device of the network.
    """

    def __init__(
        self,
        joints: Iterable[Any],
        network: nn.Module,
        preparation: Callable[[Any], Any],
        reading: Reading,
        segment: MaskMaker,
        recentre: Recentre | None = None,
        count: int = 0,
        seed: int = 0,
        device: Any = "cpu",
    ) -> None:
        self.joints, self.network, self.preparation, self.reading = joints, network, preparation, reading
        self.segment, self.recentre, self.count, self.seed, self.device = segment, recentre, count, seed, device

    def figures(self) -> dict[str, Any]:
        """Compute the figures of all joints; empty without marks.

        Joints of unknown truth, and those that are refused at the right mark, are left out.

        Returns:
            Number of ``joints``, of other ``marks`` and the fraction of them ``refused``; mean, 99 % quantile and
            largest absolute ``change`` of the answer; figures of the predictions against the truth.
        """
        if not self.count:
            return {}
        random = np.random.RandomState(self.seed)
        each = [found for joint in self.joints if (found := self._predictions(joint, random))]
        rows = [
            {**row, "change": abs(row[self.reading.answer] - right[self.reading.answer])}
            for right, *others in each
            for row in others
        ]
        refused = 1.0 - len(rows) / (self.count * len(each)) if each else 1.0
        return {"joints": len(each), "marks": len(rows), "refused": refused, **self._summary(rows)}

    def _summary(self, rows: list[Prediction]) -> dict[str, Any]:
        if len(rows) < 2:
            return {}
        table = pd.DataFrame(rows)
        change = table["change"].to_numpy(np.float64)
        figures = {"mean": change.mean(), "p99": np.quantile(change, 0.99), "largest": change.max()}
        measured = self.reading.measure(table, self.seed).figures
        kept: Prediction = {
            name: measured[name] for name in ("mae_mm", "within_limits", "accuracy") if name in measured
        }
        return {"change": {name: float(value) for name, value in figures.items()}, **kept}

    def _predictions(self, joint: Mapping[str, Any], random: np.random.RandomState) -> list[Prediction]:
        """Predictions from the right mark and from others that are not refused; empty if the right one is."""
        motions = [random_motion(random) for _ in range(self.count)]
        if (truth := self.reading.truth({"radiograph_spacing": joint[Keys.SPACING], **joint})) is None:
            return []
        known = {**{key: str(joint[key]) for key in IDENTITY}, **truth}
        radiograph, mark = continued(joint[Keys.IMAGE][:1], float(joint[Keys.SPACING]))
        right, *others = [self._predict(radiograph, mark.moved(*motion)) for motion in ((0.0, 0.0, 0.0), *motions)]
        return [{**known, **found} for found in (right, *others) if found] if right else []

    def _predict(self, radiograph: Tensor, mark: JointFrame) -> Prediction:
        """Predict from a mark; empty if it is refused."""
        try:
            frame = mark if self.recentre is None else self.recentre(radiograph, mark)[0]
            image = frame.cut(radiograph).clamp(0.0, 1.0)
        except InputError:
            return {}
        masks = continue_to_border(self.segment(image), frame.pixel)
        joint = {Keys.IMAGE: torch.cat([image, masks]), Keys.SPACING: torch.tensor([frame.pixel])}
        prepared = torch.as_tensor(self.preparation(joint)[Keys.IMAGE])
        with eval_mode(self.network):
            return self.reading.read(self.network(prepared[None].to(self.device))[0])


def random_motion(random: np.random.RandomState) -> tuple[float, float, float]:
    """Sample the error of a mark: right and down in mm, uniform in a disc, and degrees, uniform."""
    distance, angle = OFF_MM * math.sqrt(random.uniform()), random.uniform(0.0, 2.0 * math.pi)
    return distance * math.cos(angle), distance * math.sin(angle), random.uniform(-OFF_DEG, OFF_DEG)


def continued(radiograph: Tensor, spacing: float) -> tuple[Tensor, JointFrame]:
    """Continue a radiograph (1, H, W) beyond its border, and return it with the frame of its former extent."""
    margin, (height, width) = math.ceil(MARGIN_MM / spacing), radiograph.shape[-2:]
    whole = F.pad(radiograph[None], (margin,) * 4, mode="replicate")[0]
    place = JointPlace("joint", (margin + (width - 1) / 2.0, margin + (height - 1) / 2.0))
    return whole, JointFrame(place, (spacing, spacing), height, height * spacing)
