"""Plot failures of the separation: the worst closed phantoms, and one whose lower mask lies 2 mm off its bone.

python scripts/draw_failures.py docs/failures.png [--phantoms 40] [--seed 1000] [--worst 3]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import torch
from bundle.errors import report_plainly
from bundle.evaluation.measures import LayerTruth
from bundle.io import Picture, difference_panel, montage, outlined_panel
from bundle.quality import corrupt
from bundle.statistics import SeparatedJoints
from monai.bundle import ConfigParser
from torch import Tensor

LIMIT = 0.2
"""Error in intensity at which the colours are saturated."""
TITLES = ("radiograph, masks", "soft tissue", "lower bone", "its error", "upper bone", f"its error (+-{LIMIT:g})")
CORRUPTION = "lower_mask_shifted_2mm"


def configuration(phantoms: int, seed: int) -> ConfigParser:
    """Return the configuration of the evaluation of the shipped weights on phantoms."""
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "evaluate.yaml"))
    parser.update({"bundle_root": str(ROOT), "dataset_dir": "", "phantoms": phantoms, "phantom_seed": seed})
    return parser


def row(image: Tensor, layers: Tensor, truth: Tensor) -> Sequence[Picture]:
    """Return a panel for each of the titles."""
    errors = [difference_panel(layers[bone] - truth[bone], LIMIT) for bone in (1, 2)]
    return [outlined_panel(image[:1], image[1:]), layers[0], layers[1], errors[0], layers[2], errors[1]]


def worst_rows(joints: SeparatedJoints, truth: Tensor, count: int) -> list[tuple[str, Sequence[Picture]]]:
    """Return the joints with the largest error of the bones in the overlap, with their labels."""
    table = LayerTruth()(joints).per_image.nlargest(count, "overlap_rmse")
    return [
        (
            f"RMSE of the bones in the overlap {line['overlap_rmse']:.3f}, outline gap {line['outline_gap_mm']:.1f} mm",
            row(joints.images[index], joints.layers[index], truth[index]),
        )
        for index, line in table.iterrows()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and plot."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("path", type=Path)
    options.add_argument("--phantoms", type=int, default=40)
    options.add_argument("--seed", type=int, default=1000, help="seed of the phantoms; no training uses this one")
    options.add_argument("--worst", type=int, default=3, help="number of rows with the largest errors")
    chosen = options.parse_args(arguments)
    report_plainly()
    parser = configuration(chosen.phantoms, chosen.seed)
    separator = parser.get_parsed_content("separator")
    separator.prepare([])
    joints = parser.get_parsed_content("sets#closed_phantoms").separate(separator)
    truth = torch.as_tensor(joints.truth)
    rows = worst_rows(joints, truth, chosen.worst)
    image, _ = corrupt(CORRUPTION, joints.images[0], float(joints.spacing[0]), chosen.seed)
    moved = row(image, separator(["moved"], image[None])[0], truth[0])
    rows.append(("lower mask 2 mm beside the bone", moved))
    montage([panels for _, panels in rows], TITLES, chosen.path, [label for label, _ in rows])


if __name__ == "__main__":
    main()
