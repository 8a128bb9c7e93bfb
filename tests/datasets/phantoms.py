"""Separated phantoms, and what images of them the tests ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from bundle.datasets.distributions import Uniform
from bundle.datasets.gate import QualityGate
from bundle.datasets.sources import Source, SourceStore, stated_joint_space
from bundle.datasets.specifications import DataPlan
from bundle.joint import MCP
from bundle.measurement.curves import columns
from bundle.measurement.facing import facing_centers
from bundle.measurement.joint_space import measure_joint_space
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.synthesis import SeparatedBones

COUNT = 3
OPEN = QualityGate(largest_change_mm=9.0, least_visible=0.0, largest_overlap=1.0, tolerance_mm=9.0)


def flat(width: float, axis: float = 0.0) -> dict[str, Any]:
    """The fields of a source joint whose surfaces are straight lines across an axis, some mm apart."""
    row = torch.ones_like(columns())
    surfaces = {"axis": axis, "middle": 0.0, "head": (width / 2 * row).tolist(), "floor": (-width / 2 * row).tolist()}
    window = (columns().abs() < 2).tolist()
    return {
        "joint_space_mm": width,
        "joint_space_sd_mm": 0.05,
        "joint_space_refused": "",
        "surfaces": {**surfaces, "window": window},
    }


def source(name: str, **more: Any) -> Source:
    """A source joint; its surfaces are flat and 1 mm apart if nothing else is given."""
    known = {"name": name, "joint": name, "finger": "ring", "side": "left", "spacing_mm": MCP.spacing_mm, **flat(1.0)}
    origin = {"masks": "given", "digest": "", "separator": "none", "flagged": False}
    return Source(**{**known, "edges_mm": [[0.0, 1.0], [0.0, -1.0]], **origin, **more})


class Joints:
    """Separated phantoms, kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self.store, self.sources = SourceStore(folder), []
        self.layers: dict[str, torch.Tensor] = {}
        self.masks: dict[str, torch.Tensor] = {}
        for seed in range(COUNT):
            phantom = render(sample_parameters(seed, outline_gap_mm=0.2 + 0.2 * seed))
            image, masks = phantom.image[None], (phantom.masks[None] > 0.5).float()
            name = f"phantom{seed}"
            self.layers[name], self.masks[name] = separate(image, masks), masks
            edges = facing_centers(masks[0].numpy() > 0.5, MCP.spacing_mm).tolist()
            space = stated_joint_space(measure_joint_space(self.layers[name], masks, MCP.spacing_mm))
            found = source(name, **space, edges_mm=edges, expected_overlap_rmse=0.02)
            self.store.write(found, SeparatedBones.of(self.layers[name], masks), image[0])
            self.sources.append(found)


def plan(**more: Any) -> DataPlan:
    wanted = {
        "joint_space_mm": Uniform(0.5, 2.5),
        "sideways_mm": Uniform(-0.3, 0.3),
        "rotation_deg": Uniform(-2.0, 2.0),
    }
    return DataPlan(**{**wanted, "count": 12, **more})
