"""Measure how many masks that were judged by eye are flagged, and how many if radiograph or masks are changed.

    python scripts/measure_masks_by_eye.py HANDS --output docs/results/masks_by_eye.json

``HANDS`` is the folder of hand radiographs with ``landmarks.csv``; the grades are those of the joints that
``scripts/draw_hand_joints.py`` plots. Radiographs of right masks are changed as by other scanners, right masks are
made wrong, and upper bones are displaced sideways; all are counted separately.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import numpy as np
import pandas as pd
import torch
from bundle.errors import InputError, report_plainly
from bundle.face import Joint as FaceJoint
from bundle.face import separate, synthesize
from bundle.face.shipped import parts
from bundle.io import check_destination, read_joint, recentred, write_bytes
from bundle.joint import Keys
from bundle.physics import blur
from bundle.quality import PlausibilityReference, corrupt, measure
from PIL import Image
from scripts.draw_hand_joints import sampled
from torch import Tensor
from torch.nn import functional as F

Joint = tuple[Tensor, float]
"""Radiograph and masks (3, H, W), and pixel size in mm."""

Change = Callable[[Tensor, float], Tensor]
"""Changed radiograph (1, H, W) of a radiograph and its pixel size in mm."""

GRADES = ("right", "doubtful", "wrong")

WRONG = (
    *("masks_shifted_1mm", "masks_shifted_2mm", "masks_shifted_4mm", "lower_mask_shifted_2mm"),
    *("upper_mask_shifted_2mm", "masks_1mm_too_wide", "masks_1mm_too_narrow", "swapped", "masks_merged"),
    *("image_upside_down", "inverted", "blank", "blur_0.6mm", "noise_0.1"),
)
"""Corruptions that make radiograph or masks unusable (:data:`bundle.quality.CORRUPTIONS`)."""

SUBLUXED_MM = (3.0, 4.5, 6.0)
"""Displacements of the upper bone to either side."""

CUT_MM = 5.7
"""Width of the part of the frame that a collimator covers."""


def softer(image: Tensor, pixel: float, deviation: float) -> Tensor:
    """Blur by a Gaussian with a standard deviation in mm."""
    return blur(image[None], deviation / pixel, "reflect")[0]


def contrasted(image: Tensor, pixel: float, gain: float) -> Tensor:
    """Multiply the contrast about the mean."""
    return image.mean() + gain * (image - image.mean())


def curved(image: Tensor, pixel: float, gamma: float) -> Tensor:
    """Raise the intensities to a power."""
    return image**gamma


def noisy(image: Tensor, pixel: float, deviation: float) -> Tensor:
    """Add white noise, always the same."""
    return image + deviation * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))


def coarse(image: Tensor, pixel: float, size_mm: float) -> Tensor:
    """Average over larger pixels and interpolate back."""
    few = F.interpolate(image[None], scale_factor=pixel / size_mm, mode="area")
    return F.interpolate(few, image.shape[-2:], mode="bilinear")[0]


def compressed(image: Tensor, pixel: float, quality: int) -> Tensor:
    """Compress as JPEG."""
    stored = io.BytesIO()
    Image.fromarray((255 * image[0]).round().byte().numpy()).save(stored, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(stored), np.float32) / 255)[None]


CHANGES: dict[str, Change] = {
    "none": lambda image, pixel: image,
    "contrast x 0.6": partial(contrasted, gain=0.6),
    "contrast x 1.5": partial(contrasted, gain=1.5),
    "gamma 0.6": partial(curved, gamma=0.6),
    "gamma 1.7": partial(curved, gamma=1.7),
    "blur 0.15 mm": partial(softer, deviation=0.15),
    "blur 0.3 mm": partial(softer, deviation=0.3),
    "noise 0.02": partial(noisy, deviation=0.02),
    "noise 0.05": partial(noisy, deviation=0.05),
    "pixels of 0.3 mm": partial(coarse, size_mm=0.3),
    "JPEG, quality 50": partial(compressed, quality=50),
    "JPEG, quality 20": partial(compressed, quality=20),
}
"""Changes of a radiograph that leave the masks right."""


def cut_off(joint: Tensor, pixel: float) -> Tensor:
    """Cover the left of radiograph and masks, as a collimator."""
    covered, columns = joint.clone(), round(CUT_MM / pixel)
    covered[:, :, :columns] = 0.0
    covered[0, :, :columns] = joint[0].min()
    return covered


def displaced(joint: Tensor, pixel: float) -> Iterator[tuple[str, Joint]]:
    """Yield the joint with its upper bone displaced to either side by each of :data:`SUBLUXED_MM`."""
    layers = separate(FaceJoint(joint[:1], joint[1:], pixel, "joint"))
    for length in SUBLUXED_MM:
        for sign in (-1.0, 1.0):
            made = synthesize(layers, sideways_mm=sign * length)
            yield f"{length:g} mm", (torch.cat([made.radiograph, made.masks]), pixel)


def judged_joints(hands: str, grades: Path) -> Iterator[tuple[str, Joint]]:
    """Yield grade, radiograph and masks of the joints with masks.

    Raises:
        InputError: a joint has no grade.
    """
    known = pd.read_csv(grades, dtype=str).set_index("joint")["masks"].to_dict()
    used = parts("segmenter", "recentring")
    for item, files in sampled(hands, len(known), seed=0):
        grade = known.get(str(item[Keys.NAME]))
        if grade is None:
            msg = f"{grades}: no grade of the joint {item[Keys.NAME]}. Grade the joints of scripts/draw_hand_joints.py."
            raise InputError(msg)
        if grade not in GRADES:
            continue
        try:
            placed = recentred(dict(item), files, used["recentring"])
        except InputError:  # refused by now
            continue
        yield grade, (read_joint(placed, None, used["segmenter"], files), float(placed[Keys.SPACING]))


def flagged(reference: PlausibilityReference, joints: Sequence[Joint]) -> float:
    """Return the fraction of joints that is flagged."""
    return float(np.mean([reference.judge(measure(*joint)).flagged for joint in joints]))


def figures(reference: PlausibilityReference, joints: dict[str, list[Joint]]) -> dict[str, Any]:
    """Return the flagged fractions of each grade, and of right masks after each change."""
    right = joints["right"]
    changed = {
        name: [(torch.cat([change(joint[:1], pixel).clamp(0.0, 1.0), joint[1:]]), pixel) for joint, pixel in right]
        for name, change in CHANGES.items()
    }
    wrong = {name: [corrupt(name, *joint, seed) for seed, joint in enumerate(right)] for name in WRONG}
    wrong["cut_off"] = [(cut_off(*joint), joint[1]) for joint in right]
    subluxed: dict[str, list[Joint]] = {f"{length:g} mm": [] for length in SUBLUXED_MM}
    for name, held in (one for joint in right for one in displaced(*joint)):
        subluxed[name].append(held)
    sets = {"grades": joints, "changed": changed, "wrong": wrong, "subluxed": subluxed}
    counts = {grade: len(held) for grade, held in joints.items()}
    return {
        "joints": counts,
        **{name: {kind: flagged(reference, held) for kind, held in kinds.items()} for name, kinds in sets.items()},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("hands", help="folder of hand radiographs with landmarks.csv")
    options.add_argument("--grades", type=Path, default=ROOT / "docs" / "results" / "masks_by_eye.csv")
    options.add_argument("--output", type=Path, required=True)
    chosen = options.parse_args(arguments)
    report_plainly()
    check_destination(chosen.output)
    torch.set_num_threads(1)
    joints: dict[str, list[Joint]] = {grade: [] for grade in GRADES}
    for grade, joint in judged_joints(chosen.hands, chosen.grades):
        joints[grade].append(joint)
    reference = PlausibilityReference.read(ROOT / "models" / "plausibility.json")
    write_bytes(chosen.output, (json.dumps(figures(reference, joints), indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
