"""Plot the figure of the README: a phantom, its separated layers, and its joint made wider and narrower.

python scripts/draw_figure.py docs/separation.png [--seed 3] [--weights models/model.pt]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import torch
from bundle.errors import report_plainly
from bundle.io import TITLES, montage, phantom_items
from bundle.separation import separation_row
from bundle.separation.transforms import LoadJointd
from monai.bundle import ConfigParser
from monai.data import Dataset


def network(weights: str) -> Any:
    """Return the network of inference with the weights of a file; empty for the shipped ones, "none" for none."""
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "inference.json"))
    parser.update({"bundle_root": str(ROOT), "device": "cpu", "weights": weights})
    parser.get_parsed_content("used_weights")(None)
    return parser.get_parsed_content("network").eval()


def main() -> None:
    """Read the command line and plot."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("path", type=Path)
    options.add_argument("--seed", type=int, default=0, help="seed of the phantoms")
    options.add_argument("--joints", type=int, default=2, help="number of rows")
    options.add_argument("--weights", default="", help="file of the weights, or none; by default the shipped ones")
    chosen = options.parse_args()
    report_plainly()
    generator, rows = network(chosen.weights), []
    joints = Dataset(phantom_items(chosen.joints, chosen.seed), LoadJointd())
    for joint in (joints[index] for index in range(len(joints))):
        with torch.no_grad():
            layers = generator(joint["image"][None])[0]
        rows.append(separation_row(joint["image"], layers, float(joint["spacing"])))
    montage(rows, TITLES, chosen.path)


if __name__ == "__main__":
    main()
