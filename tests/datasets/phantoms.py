"""Separated phantoms, and what images of them the tests ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from bundle.datasets.distributions import Uniform
from bundle.datasets.gate import QualityGate
from bundle.datasets.sources import Source, SourceStore
from bundle.datasets.specifications import DataPlan
from bundle.joint import MCP
from bundle.measurement.facing import facing_centers
from bundle.measurement.outline_gap import outline_gap
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.synthesis import SeparatedBones

COUNT = 3
OPEN = QualityGate(largest_change_mm=9.0, least_visible=0.0, largest_overlap=1.0, tolerance_mm=9.0)


class Joints:
    """Separated phantoms, kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self.store, self.sources = SourceStore(folder), []
        self.layers: dict[str, torch.Tensor] = {}
        self.masks: dict[str, torch.Tensor] = {}
        for seed in range(COUNT):
            phantom = render(sample_parameters(seed, outline_gap_mm=0.8 + 0.3 * seed))
            image, masks = phantom.image[None], (phantom.masks[None] > 0.5).float()
            name = f"phantom{seed}"
            self.layers[name], self.masks[name] = separate(image, masks), masks
            edges = facing_centers(masks[0].numpy() > 0.5, MCP.spacing_mm).tolist()
            width = float(outline_gap(masks, MCP.spacing_mm))
            found = Source(name, name, "ring", "left", MCP.spacing_mm, width, edges, "given", "", "none", False, 0.02)
            self.store.write(found, SeparatedBones.of(self.layers[name], masks), image[0])
            self.sources.append(found)


def plan(**more: Any) -> DataPlan:
    wanted = {"jsw": Uniform(0.0, 2.0), "sideways": Uniform(-0.3, 0.3), "rotation": Uniform(-2.0, 2.0)}
    return DataPlan(**{**wanted, "count": 12, **more})
