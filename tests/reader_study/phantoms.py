"""Candidates of a study made of phantoms, and made of plain frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.io import read_joint
from bundle.io.lists import read_datalist
from bundle.joint import MCP
from bundle.phantoms import render, sample_parameters
from bundle.physics import RigidMotion, synthesize
from bundle.physics.harmonic import separate
from bundle.reader_study.study_matching import Candidate
from torch import Tensor

SIZE = 140
SPACING = MCP.spacing_at(SIZE)
FINGERS = ("index", "middle", "ring")


def candidate(
    name: str, frame: Tensor, joint: str, finger: str = "index", width: float = 1.5, **more: Any
) -> Candidate:
    return Candidate(name, joint, finger, width, more.get("spacing_mm", SPACING), lambda: frame)


def plain(kind: str, joints: Sequence[int], **more: Any) -> list[Candidate]:
    """Frames of noise, a radiograph of each joint."""
    frames = {row: torch.from_numpy(np.random.RandomState(row).rand(1, SIZE, SIZE)).float() for row in joints}
    return [
        candidate(f"{kind} {row}", frames[row], f"joint {row}", FINGERS[row % 3], 1.0 + 0.02 * (row % 50), **more)
        for row in joints
    ]


def phantoms(count: int) -> tuple[list[Candidate], list[Candidate]]:
    """Real and synthetic radiographs of different phantoms; the bones of the synthetic ones have moved."""
    real, synthetic = [], []
    for seed in range(2 * count):
        parameters = sample_parameters(seed, size=SIZE, finger="ring", outline_gap_mm=0.4 + 0.02 * (seed // 2))
        phantom, width = render(parameters), parameters.outline_gap_mm + 1.2
        if seed % 2:
            change = 0.3 if seed % 4 == 1 else -0.3
            frame = moved(phantom.image, (phantom.masks > 0.5).float(), change, seed)
            synthetic.append(candidate(f"synthetic {seed}", frame, f"joint {seed}", "ring", width + change))
        else:
            real.append(candidate(f"real {seed}", phantom.image, f"joint {seed}", "ring", width))
    return real, synthetic


def public_joints(folder: Path, count: int, seed: int = 0) -> tuple[list[Candidate], list[Candidate]]:
    """Radiographs of different joints of the public set, chosen at random; the bones of every second one have moved."""
    items = {item["joint"]: item for item in read_datalist(folder, "LS_K1_nonoverlap_train")}
    real, synthetic = [], []
    for row, joint in enumerate(np.random.RandomState(seed).permutation(list(items))[: 2 * count].tolist()):
        frame = read_joint(items[joint])
        if row % 2:
            image = moved(frame[:1], frame[1:], 0.3 if row % 4 == 1 else -0.3, row)
            synthetic.append(candidate(f"synthetic {row}", image, joint, spacing_mm=MCP.spacing_mm))
        else:
            real.append(candidate(f"real {row}", frame[:1], joint, spacing_mm=MCP.spacing_mm))
    return real, synthetic


def moved(image: Tensor, masks: Tensor, change_mm: float, seed: int) -> Tensor:
    """The radiograph with another joint space, separated without weights."""
    spacing = MCP.spacing_at(image.shape[-1])
    layers = separate(image[None], masks[None], spacing)
    motion = RigidMotion.widening(torch.tensor([change_mm]))
    return synthesize(layers, masks[None], motion, spacing, [seed]).image[0]
