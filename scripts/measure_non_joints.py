"""Measure whether plausibility distinguishes joints from other pictures, with predicted masks.

    python scripts/measure_non_joints.py DATA HANDS --output docs/results/non_joints.json

Joints are those of a list. Other pictures are the same radiographs inverted and rotated, noise, the pictures of
scikit-image, and crops of whole hands with landmarks (``landmarks.csv``, 0.1 mm per pixel times ``reduction``): other
joints, the wrist, random places. Joints of these hands are reported as well: they are of children, and of another
scanner.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import numpy as np
import pandas as pd
import torch
from bundle.errors import InputError, report_plainly
from bundle.io import JointFrame, JointPlace, check_destination, joint_items, read_stated, write_bytes
from bundle.joint import MCP
from bundle.physics import continue_to_border
from bundle.quality import PlausibilityReference, measure
from bundle.segmentation import BoneSegmenter
from bundle.separation.transforms import LoadJointd
from bundle.statistics import area_under_curve
from monai.bundle import ConfigParser
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

Pictures = Iterator[tuple[str, Tensor, float]]
"""Kind, radiograph (1, H, W) and pixel size in mm."""

FINGERS = {
    "thumb": (17, 18, 19, 20),
    "index": (16, 21, 22, 23, 24),
    "middle": (15, 25, 26, 27, 28),
    "ring": (14, 29, 30, 31, 32),
    "small": (13, 33, 34, 35, 36),
}
"""Landmarks of the joints of a finger, from the wrist to the tip."""

BEYOND_MM = 1.6
"""Distance in mm of the landmark of a joint beyond its joint space."""

JOINTS, OTHER_HANDS = "joint", "joint of another source"
EVERYDAY = (
    *("astronaut", "brick", "camera", "cat", "cell", "checkerboard", "clock", "coffee", "coins", "colorwheel", "grass"),
    *("gravel", "horse", "hubble_deep_field", "immunohistochemistry", "logo", "microaneurysms", "moon", "page"),
    *("retina", "rocket", "text"),
)
"""Pictures in scikit-image."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Measure the plausibility of other pictures than joints.")
    parser.add_argument("dataset_dir")
    parser.add_argument("hands_dir", type=Path)
    parser.add_argument("--datalist", default="LS_K1_all_test")
    parser.add_argument("--joints", type=int, default=100, help="number of joints of the list")
    parser.add_argument("--hands", type=int, default=20, help="number of hands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    report_plainly()
    check_destination(given.output)
    torch.set_num_threads(1)
    random_ = random.Random(given.seed)
    reference = PlausibilityReference.read(ROOT / "models" / "plausibility.json")
    chosen = joint_items(given.dataset_dir, given.datalist, seed=given.seed)
    joints: list[Any] = [
        LoadJointd()(cast(Any, item)) for item in random_.sample(list(chosen), min(given.joints, len(chosen)))
    ]
    pictures = [
        *of_joints(joints, random_),
        *noise(given.seed),
        *everyday(),
        *of_hands(given.hands_dir, given.hands, random_),
    ]
    rows = pd.DataFrame([judged(reference, *picture) for picture in tqdm(pictures, unit="picture")])
    settings = {"datalist": given.datalist, "joints": given.joints, "hands": given.hands, "seed": given.seed}
    write_bytes(given.output, (json.dumps({"settings": settings, **figures(rows)}, indent=1) + "\n").encode())


def of_joints(joints: list[dict[Any, Any]], random_: random.Random) -> Pictures:
    """Yield joints, and a quarter of them inverted, rotated and upside down."""
    for joint in joints:
        yield JOINTS, joint["image"][:1], float(joint["spacing"])
    for joint in random_.sample(joints, len(joints) // 4):
        image, spacing = joint["image"][:1], float(joint["spacing"])
        yield "inverted", 1.0 - image, spacing
        yield "rotated by 90 degrees", image.rot90(1, (1, 2)), spacing
        yield "upside down", image.flip(1), spacing


def noise(seed: int, count: int = 5) -> Pictures:
    """Yield white noise and smooth clouds."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield "noise", torch.rand(1, MCP.pixels, MCP.pixels, generator=generator), MCP.spacing_mm
        coarse = torch.rand(1, 1, 16, 16, generator=generator)
        yield "noise", F.interpolate(coarse, (MCP.pixels,) * 2, mode="bicubic")[0].clamp(0.0, 1.0), MCP.spacing_mm


def everyday() -> Pictures:
    """Yield pictures of scikit-image as if they were frames."""
    from skimage import data

    for name in EVERYDAY:
        picture = np.asarray(getattr(data, name)(), dtype=np.float32)
        grey = torch.from_numpy(picture[..., :3].mean(-1) if picture.ndim == 3 else picture)[None, None]
        grey = (grey - grey.min()) / (grey.max() - grey.min())
        yield "everyday picture", F.interpolate(grey, (MCP.pixels,) * 2, mode="area")[0], MCP.spacing_mm


def of_hands(folder: Path, count: int, random_: random.Random) -> Pictures:
    """Yield frames of hands: MCP joints, other joints, the wrist and random places."""
    table = pd.read_csv(folder / "landmarks.csv", dtype={"name": str})
    for row in table.sample(count, random_state=random_.randrange(2**31)).to_dict("records"):
        hand = torch.from_numpy(read_stated(folder / f"{Path(row['name']).stem}.jpg").intensity)[None]
        for kind, place in _places(row, tuple(hand.shape[1:]), random_):
            frame = JointFrame(place, (0.1 * row["reduction"],) * 2)
            try:
                yield kind, frame.cut(hand).clamp(0.0, 1.0), frame.pixel
            except InputError:  # the frame leaves the radiograph
                continue


def _places(row: dict[str, Any], shape: tuple[int, ...], random_: random.Random) -> Iterator[tuple[str, JointPlace]]:
    points = [np.array([row[f"x{index}"], row[f"y{index}"]]) for index in range(37)]
    for landmarks in FINGERS.values():
        for kind, below, here in zip((OTHER_HANDS, "PIP joint", "DIP joint"), landmarks, landmarks[1:-1], strict=False):
            along = points[here] - points[below]
            middle = points[here] - along / np.linalg.norm(along) * BEYOND_MM / (0.1 * row["reduction"])
            yield kind, JointPlace(kind, tuple(middle), tuple(along))
    yield "wrist", JointPlace("wrist", tuple(points[random_.randrange(13)]))
    x, y = random_.uniform(0.2, 0.8) * shape[1], random_.uniform(0.2, 0.8) * shape[0]
    yield "random place", JointPlace("place", (x, y), (random_.uniform(-1.0, 1.0), -1.0))


@lru_cache
def segmenter() -> BoneSegmenter:
    """Return the segmentation network of inference."""
    config = ConfigParser()
    config.read_config(str(ROOT / "configs" / "inference.json"))
    config.update({"bundle_root": str(ROOT)})
    found: BoneSegmenter = config.get_parsed_content("segmenter")
    return found


def judged(reference: PlausibilityReference, kind: str, image: Tensor, spacing: float) -> dict[str, Any]:
    """Judge a picture with predicted masks; without both bones it is implausible."""
    masks = segmenter()(image)
    if not bool(masks.flatten(1).any(dim=1).all()):
        return {"kind": kind, "score": np.inf, "flagged": True}
    verdict = reference.judge(measure(torch.cat([image, continue_to_border(masks, spacing)]), spacing))
    return {"kind": kind, "score": verdict.score, "flagged": verdict.flagged}


def figures(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the area under the curve of the joints against all other pictures, and the flagged part of each kind."""
    groups = {str(kind): group for kind, group in rows.groupby("kind")}
    scored = rows[rows["kind"] != OTHER_HANDS].assign(score=rows["score"].clip(upper=1e6))
    other = (scored["kind"] != JOINTS).to_numpy()
    return {
        "auc": area_under_curve(scored["score"].to_numpy(), other),
        "others": int(other.sum()),
        "flagged": {kind: float(group["flagged"].mean()) for kind, group in groups.items()},
        "pictures": {kind: len(group) for kind, group in groups.items()},
    }


if __name__ == "__main__":
    main()
