"""Plot widened joints whose overlap is the mean of the plausible textures, and two samples of them.

    python scripts/draw_sampled_overlaps.py DATA --output outputs/sampled_overlaps

One PNG a joint, deepest overlap first: the radiograph, and the joint widened from the mean and from two seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import numpy as np
import torch
from bundle import Joint, separate, synthesize
from bundle.errors import report_plainly
from bundle.io import write_png
from bundle.io.lists import read_datalist
from bundle.physics import overlap
from torch import Tensor
from torch.nn import functional as F

GROSS = 0.25
"""Fraction of the smaller mask in the overlap, above which the masks are taken to be wrong."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Plot joints widened from mean and sampled layers.")
    parser.add_argument("dataset_dir")
    parser.add_argument("--datalist", default="LS_K1_overlap_test")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--change_mm", type=float, default=1.0)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    report_plainly()
    items = read_datalist(given.dataset_dir, given.datalist)
    joints = (Joint.read(item["image"], lower=item["lower"], upper=item["upper"]) for item in items)
    given.output.mkdir(parents=True, exist_ok=True)
    for rank, joint in enumerate(deepest(joints, given.count)):
        pixels = (panels(joint, given.change_mm)[0] * 255.0).round().numpy().astype(np.uint8)
        write_png(given.output / f"{rank}_{joint.name}.png", pixels)


def deepest(joints: Iterable[Joint], count: int) -> list[Joint]:
    """Select the joints with the largest overlap, largest first, without those with wrong masks."""
    sizes = [(float(overlap(joint.masks[None]).sum()), joint) for joint in joints]
    right = [(size, joint) for size, joint in sizes if size < GROSS * float(joint.masks.sum(dim=(1, 2)).min())]
    return [joint for _, joint in sorted(right, key=lambda pair: -pair[0])[:count]]


def panels(joint: Joint, change_mm: float) -> Tensor:
    """Return the radiograph and the widened joint (mean, two samples) side by side at twice the size, (1, H, W)."""
    mean = separate(joint)
    samples = [separate(joint, sample_overlap=True, seed=seed) for seed in (0, 1)]
    widened = [synthesize(layers, change_mm).radiograph for layers in (mean, *samples)]
    row = torch.cat([joint.radiograph, *widened], dim=2)
    return F.interpolate(row[None], scale_factor=2.0, mode="bicubic")[0].clamp(0.0, 1.0)


if __name__ == "__main__":
    main()
