"""Pack the joints of lists into one file, which every command accepts as its dataset_dir.

python scripts/pack_joints.py DATASET_DIR --lists LS_K1_all_train LS_K1_all_test --output joints.pack
    [--spacing MM] [--size 256] [--strict]
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

from bundle.errors import report_plainly
from bundle.io import FOLDER, pack_joints


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, pack, and report the contents of the pack."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("dataset_dir", type=Path)
    options.add_argument("--lists", nargs="+", default=[FOLDER], help="names of lists; by default all radiographs")
    options.add_argument("--output", type=Path, required=True, help="file to write")
    options.add_argument("--spacing", type=float, default=0.0, help="pixel size in mm of files that state none")
    options.add_argument("--size", type=int, default=256, help="height and width of frames in pixels")
    options.add_argument("--strict", action="store_true", help="refuse a list with an unusable joint")
    chosen = options.parse_args(arguments)
    report_plainly()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = {"spacing": chosen.spacing, "size": chosen.size, "strict": chosen.strict}
    done = pack_joints(chosen.dataset_dir, chosen.lists, chosen.output, **settings)
    for name, count in done.joints.items():
        left_out = sum(rejected[0] == name for rejected in done.rejected)
        print(f"{name}: {count} joints, {left_out} left out")
    print(f"{chosen.output}: {done.files} files, {done.size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
