"""Measure the speed of making data sets, and of loops over images with PIL's affine transforms in the same run.

The loops make the same images from the same separated joints one by one, like scripts that come with papers: PIL moves
each bone with its mask and its support, NumPy and SciPy do the rest. Nothing is written to disk unless stated. The
report is in Markdown.

    python scripts/benchmark_data_sets.py --output docs/benchmark_data_sets.md
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import torch
from bundle.base import keep_freed_memory
from bundle.errors import report_plainly
from bundle.io import check_destination, processor, write_bytes
from scripts.benchmarks.data_set_speed import Joints, difference, encoded, make_one, rate, steps, together
from scripts.benchmarks.pil_loop import ALL_KEPT, SIDE, loops


def report(count: int, seconds: float, command: str) -> str:
    """Measure everything and report it in Markdown."""
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        joints = Joints(folder, count)
        rivals = loops(joints.layers, joints.masks)
        speeds = {
            **{name: rate(partial(make_one, joints, loop), seconds) for name, loop in rivals.items()},
            "factory, 1 process": together(folder, count, 1, seconds),
            "factory, 2 processes": together(folder, count, 2, seconds),
        }
        spent = steps(joints, folder, seconds / 4)
        apart = difference(joints, rivals[ALL_KEPT])
        size = sum(len(part) for part in encoded(joints.factory.make(joints.specifications.sample([0]))[0]).values())
    return text(speeds, list(rivals), spent, apart, size, command)


def text(
    speeds: Mapping[str, float],
    rivals: Sequence[str],
    spent: Mapping[str, float],
    apart: Mapping[str, float],
    size: int,
    command: str,
) -> str:
    """Format the Markdown document."""
    rows = "\n".join(
        f"| {name} | {speed:.1f} | {' | '.join(f'{speed / speeds[loop]:.1f}' for loop in rivals)} |"
        for name, speed in speeds.items()
    )
    once = sum(time for name, time in spent.items() if name != "motion")
    shares = "\n".join(f"| {name} | {time:.2f} | {time / once:.0%} |" for name, time in spent.items())
    hours = once * 1e6 / 3.6e6
    return f"""# Speed of data sets

Written by `{command}` on {processor()}, one thread per process, phantoms of {SIDE} x {SIDE} pixels.

Images per second, nothing written; ratios are to the four loops:

| made by | images/s | to the first | to the second | to the third | to the fourth |
|---|---:|---:|---:|---:|---:|
{rows}

The factory separates each joint once. The images are the same: those of the loops without a network differ by
{apart["image"]:.4f} (root mean square, in intensity; PIL has another cubic kernel), their masks by
{apart["masks"]:.5f} on average, the gaps of their outlines by {apart["outline_gap"]:.4f} mm.

Time of each step in one process, with files:

| step | ms per image | share |
|---|---:|---:|
{shares}

"motion" is part of the step below it. A million images take {hours:.1f} hours of one core and {size / 1e3:.0f} GB as
WebDataset shards.
"""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--output", type=Path, help="Markdown file; by default the report is printed")
    parser.add_argument("--joints", type=int, default=12, help="number of phantoms as source joints")
    parser.add_argument("--seconds", type=float, default=10.0, help="measuring time of each figure")
    return parser.parse_args()


def main() -> None:
    """Measure and report."""
    report_plainly()
    given = arguments()
    if given.output is not None:
        check_destination(given.output)
    command = shlex.join(["python", "scripts/benchmark_data_sets.py", *sys.argv[1:]])
    found = report(given.joints, given.seconds, command)
    if given.output is None:
        print(found)
    else:
        write_bytes(given.output, found.encode())


if __name__ == "__main__":
    main()
