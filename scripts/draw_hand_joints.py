"""Plot a sample of the joints that are found in hand radiographs, to judge them by eye.

    python scripts/draw_hand_joints.py HANDS --output_dir outputs/by_eye

A joint is a row: frame, predicted masks, joint surfaces, and its growth plate, doubts and refusal in words. The hands
that the finder was not trained on come first (:func:`bundle.hands.hand_items` with the seed 0).
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import torch
from bundle.errors import InputError, report_plainly
from bundle.face import Joint, separate
from bundle.face.shipped import parts
from bundle.hands import JointFinder, hand_items
from bundle.inference.montage_writer import joint_space_label, surfaces_panel
from bundle.io import (
    JointFrame,
    OpenFiles,
    Picture,
    grey_panel,
    montage,
    open_joints,
    outlined_panel,
    read_joint,
    recentred,
)
from bundle.joint import MCP, Keys
from bundle.quality import PlausibilityReference, measure
from torch import Tensor

TITLES = ("frame", "masks", "joint surfaces")
ROWS = 10
"""Number of joints in a picture."""

Found = tuple[dict[str, Any], OpenFiles]


def found_joints(folder: str, role: str) -> Iterator[Found]:
    """Find the joints of the hands of a role."""
    find = JointFinder(parts("finder")["finder"])
    for hand in hand_items(folder, role):
        known = {Keys.FINGER: "unknown", Keys.SIDE: "unknown", Keys.LOWER: "", Keys.UPPER: ""}
        files, joints = open_joints({**hand, **known, Keys.POINTS: "", Keys.SPACING: hand["pixel_mm"]}, find=find)
        yield from ((joint, files) for joint in joints)


def sampled(folder: str, count: int, seed: int) -> list[Found]:
    """Sample joints, of the held-out hands as far as there are enough."""
    chosen: list[Found] = []
    for role in ("held_out", "validation", "training"):
        joints = list(found_joints(folder, role)) if len(chosen) < count else []
        kept = sorted(random.Random(seed).sample(range(len(joints)), min(count - len(chosen), len(joints))))
        chosen += [joints[number] for number in kept]
    return chosen


def row(item: Mapping[str, Any], files: OpenFiles, reference: PlausibilityReference) -> tuple[str, Sequence[Picture]]:
    """Return the label and the panels of a joint."""
    used, name = parts("segmenter", "recentring"), str(item[Keys.NAME])
    try:
        placed = recentred(dict(item), files, used["recentring"])
        joint = read_joint(placed, MCP.pixels, used["segmenter"], files)
    except InputError as error:
        whole = torch.from_numpy(files.radiograph.intensity)[None]
        frame = grey_panel(JointFrame.from_json(item[Keys.FRAME]).cut(whole))
        return f"{name}: refused: {str(error).rsplit(': ', 1)[-1]}", [frame, frame, frame]
    return _measured(name, joint, placed, reference)


def _measured(
    name: str, joint: Tensor, placed: Mapping[str, Any], reference: PlausibilityReference
) -> tuple[str, Sequence[Picture]]:
    """Label and panels of a joint with masks."""
    pixel = float(placed[Keys.SPACING])
    reasons = "; ".join(reference.judge(measure(joint, pixel)).reasons) or "plausible"
    space = separate(Joint(joint[:1], joint[1:], pixel, name)).joint_space
    label = f"{name}: growth plate {placed[Keys.GROWTH_PLATE]}, {joint_space_label(space)}, {reasons}"
    surfaces = grey_panel(joint[0]) if space.refused[0] else surfaces_panel(joint[0], space, pixel)
    return label, [grey_panel(joint[0]), outlined_panel(joint[:1], joint[1:]), surfaces]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and plot."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("hands", help="folder of hand radiographs with landmarks.csv")
    options.add_argument("--output_dir", type=Path, default=Path("outputs/by_eye"))
    options.add_argument("--count", type=int, default=60, help="number of joints")
    options.add_argument("--seed", type=int, default=0, help="random seed of the sample")
    chosen = options.parse_args(arguments)
    report_plainly()
    reference = PlausibilityReference.read(Path(__file__).resolve().parents[1] / "models" / "plausibility.json")
    rows = [row(item, files, reference) for item, files in sampled(chosen.hands, chosen.count, chosen.seed)]
    chosen.output_dir.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(rows), ROWS):
        labels, panels = zip(*rows[first : first + ROWS], strict=True)
        montage(panels, TITLES, chosen.output_dir / f"joints_{first:03d}.png", labels)


if __name__ == "__main__":
    main()
