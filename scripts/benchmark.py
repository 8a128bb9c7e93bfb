"""Measure the speed of synthesis, separation, inference and training in one run, on phantoms, as a Markdown table.

All batches are already in the device's memory. The weight-free separator is the reference of the ratios. A training
step is one of stage 2, with all three networks, without the synthesis of its batch. A list below the table states the
speed of the default network relative to the paper's, and its memory for one image.

    python scripts/benchmark.py --output docs/benchmark.md
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import torch
from bundle.errors import report_plainly
from bundle.io import check_destination, write_bytes
from scripts.benchmarks.settings import INFERENCE, MEMORY, PAPER, REFERENCE, TRAINING, Settings
from scripts.benchmarks.speed_report import report
from scripts.benchmarks.subjects import SUBJECTS, measure, peak_memory


def usable_device(name: str) -> torch.device:
    """Return an available CPU or CUDA device."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise argparse.ArgumentTypeError(f"{name} is not available ({error}). Choose cpu or cuda.") from error
    if device.type not in ("cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"{name} is not supported. Choose cpu or cuda.")
    return device


def whole(text: str, lowest: int = 1, highest: int = 2**32 - 1) -> int:
    """Parse a whole number in a range."""
    if not re.fullmatch(r"[0-9]{1,10}", text) or not lowest <= int(text) <= highest:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from {lowest} to {highest}")
    return int(text)


def duration(text: str) -> float:
    """Parse a time in seconds, 0 or more."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds, 0 or more")
    return float(text)


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the options: those of :class:`Settings`, and ``--output``."""
    options = argparse.ArgumentParser(description="Measure the speed of the bundle on phantoms, as a Markdown table.")
    threads = partial(whole, highest=os.cpu_count() or 1)
    default_device = "cuda" if torch.cuda.is_available() else "cpu"
    add = options.add_argument
    add("--device", type=usable_device, default=default_device, help="cpu, cuda or cuda:<n> (default: %(default)s)")
    add("--threads", type=threads, default=torch.get_num_threads(), help="CPU threads of torch (default: %(default)s)")
    add("--batch_size", type=whole, help="batch size (default: that of each configuration)")
    add("--repeats", type=whole, default=5, help="repeats of each measurement (default: %(default)s)")
    add("--seconds", type=duration, default=60.0, help="time limit for repeats of a figure (default: %(default)s)")
    add("--size", type=whole, default=256, help="size of the phantoms in pixels (default: %(default)s)")
    add(
        "--seed",
        type=partial(whole, lowest=0),
        default=0,
        help="seed of phantoms, motions and weights (default: %(default)s)",
    )
    skippable = [*(name for name in SUBJECTS if name != REFERENCE), MEMORY]
    add("--skip", nargs="+", default=[], choices=skippable, metavar="NAME", help=f"some of {', '.join(skippable)}")
    files: dict[str, Any] = {"nargs": "+", "type": Path, "metavar": "FILE"}
    add("--inference", **files, default=INFERENCE, help="configuration of the default network")
    add("--training", **files, default=TRAINING, help="configuration of its training")
    add("--paper", **files, default=PAPER, help="configuration of the paper's network and training")
    add("--output", type=Path, help="Markdown file to write in addition to standard output")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, print the report, and write it."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = vars(command_line().parse_args(given))
    output = options.pop("output")
    if output is not None:
        check_destination(output)
    settings = Settings(**options)
    command = shlex.join(["python", "scripts/benchmark.py", *given])
    text = report(measure(settings), peak_memory(settings), settings, command)
    print(text)
    if output is not None:
        write_bytes(output, text.encode())


if __name__ == "__main__":
    report_plainly()
    main()
