"""Measure the speed of synthesis, separation, inference and training in one run, on phantoms, as a Markdown table.

All batches are already in the device's memory. The weight-free separator is the reference of the ratios. A training
step is one of stage 2, with all three networks, without the synthesis of its batch. The promises of the default
network, its speed relative to the paper's and the memory of one image, are listed below the table.

    python scripts/benchmark.py --output docs/benchmark.md
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import re
import resource
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import monai
import numpy as np
import torch
import yaml
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.networks.utils import eval_mode
from monai.utils import set_determinism
from torch import Tensor, nn
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer as synchronised_time

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.errors import InputError, report_plainly
from bundle.io import SEEDS_PER_RUN, check_destination, processor, write_bytes
from bundle.joint import MCP
from bundle.networks import CACHE, RUNTIMES, TORCH, compiled, installed_runtimes, package_label
from bundle.phantoms import Phantom, render, sample_parameters
from bundle.physics import RigidMotion, move, reconstruct, separate, synthesize
from bundle.quality import FlipInferer
from bundle.separation import LayerSeparationTrainer

ROOT = Path(__file__).resolve().parents[1]
EXTENT = MCP.frame_mm
"""Width of a frame in mm, at any number of pixels."""
LARGEST_CHANGE = 1.0
"""Largest change of the JSW by the synthesis, in mm."""
REFERENCE = "separator"
MEMORY = "memory"
INFERENCE = (ROOT / "configs" / "inference.json",)
TRAINING = (ROOT / "configs" / "train.yaml",)
PAPER = (*TRAINING, ROOT / "configs" / "variants" / "lsn_paper.yaml")


@dataclass(frozen=True)
class Settings:
    """Subject and settings of the measurement.

    Attributes:
        device: device to measure on.
        threads: number of CPU threads of torch.
        batch_size: batch size of everything; None for that of each configuration.
        repeats: number of repeats of each figure.
        seconds: time after which no further repeat of a figure starts; at least one is made.
        size: height and width of the phantoms in pixels.
        seed: random seed of phantoms, motions, noise texture and weights.
        inference: configuration files of the default network.
        training: configuration files of its training.
        paper: configuration files of the paper's network and its training.
        skip: names in :data:`SUBJECTS`, or ``memory``, to leave out.
    """

    device: torch.device
    threads: int
    batch_size: int | None
    repeats: int
    seconds: float
    size: int
    seed: int
    inference: Sequence[Path]
    training: Sequence[Path]
    paper: Sequence[Path]
    skip: Sequence[str]


@dataclass(frozen=True)
class Figure:
    """Speed of one subject.

    Attributes:
        subject: description in Markdown.
        batch: images per batch.
        times: time per batch in seconds, one for each repeat.
        unit: unit of the figure, ``images/s`` or ``s/step``.
    """

    subject: str
    batch: int
    times: Sequence[float]
    unit: str = "images/s"

    @property
    def speed(self) -> float:
        """Images per second, by the median time."""
        return self.batch / median(self.times)

    @property
    def value(self) -> float:
        """The figure in its unit."""
        return median(self.times) if self.unit == "s/step" else self.speed

    @property
    def spread(self) -> float:
        """Range of the times as a fraction of their median."""
        return (max(self.times) - min(self.times)) / median(self.times)


# ---- measuring -----------------------------------------------------------------------------------------------------


def batch_times(run: Callable[[], Any], settings: Settings) -> list[float]:
    """Measure the time of ``run`` in seconds, one for each repeat, after a warm-up."""
    timer = Timer("run()", globals={"run": run}, num_threads=settings.threads)
    run()
    times: list[float] = []
    start = synchronised_time()
    while len(times) < settings.repeats and (not times or synchronised_time() - start < settings.seconds):
        times.append(timer.blocked_autorange().median)
    return times


def step_times(trainer: LayerSeparationTrainer, settings: Settings) -> list[float]:
    """Measure the steps of a trainer in seconds, without the first one, which warms up."""
    started: list[float] = []
    times: list[float] = []

    def start(engine: Engine) -> None:
        started.append(synchronised_time())

    def stop(engine: Engine) -> None:
        times.append(synchronised_time() - started[-1])
        if len(times) > 1 and sum(times[1:]) >= settings.seconds:
            engine.terminate()

    trainer.add_event_handler(Events.ITERATION_STARTED, start)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
    trainer.run()
    return times[1:]


# ---- what is measured ----------------------------------------------------------------------------------------------


@cache
def phantom(seed: int, size: int) -> Phantom:
    """Render a phantom of ``size`` pixels with the field of view of the default size."""
    return render(sample_parameters(seed, size=size, spacing=EXTENT / size))


def joints(count: int, settings: Settings) -> dict[str, Tensor]:
    """Return a batch of phantoms for :class:`bundle.separation.LayerSeparationTrainer`."""
    first = settings.seed * SEEDS_PER_RUN
    phantoms = [phantom(first + index, settings.size) for index in range(count)]
    image = torch.stack([torch.cat([made.image, made.masks]) for made in phantoms])
    label = torch.stack([made.layers for made in phantoms])
    known = torch.ones(count, 1)
    batch = {"image": image, "label": label, "truth": known, "source": image, "spacing": known * EXTENT / settings.size}
    return {key: values.to(settings.device) for key, values in batch.items()}


def configuration(files: Sequence[Path], settings: Settings) -> ConfigParser:
    """Read configuration files laid over each other, for the settings' device and batch size.

    Raises:
        InputError: a file cannot be read.
    """
    parser = ConfigParser()
    try:
        parser.read_config([str(path) for path in files])
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        msg = f"{named(files)}: not a configuration in JSON or YAML ({error}). Correct the files or their names."
        raise InputError(msg) from error
    parser["device"], parser["seed"] = settings.device, settings.seed
    if settings.batch_size is not None:
        parser["batch_size"] = settings.batch_size
    return parser


def named(files: Sequence[Path]) -> str:
    """Join the names of files laid over each other."""
    return " + ".join(map(str, files))


def built(parser: ConfigParser, name: str, files: Sequence[Path]) -> Any:
    """Build the item ``name`` of the configuration.

    Raises:
        InputError: there is no such item.
    """
    if name not in parser:
        msg = f"{named(files)}: the configuration has no {name}. Pass a complete configuration."
        raise InputError(msg)
    return parser.get_parsed_content(name)


def image_batch(settings: Settings) -> int:
    """Return the batch size for everything but training, that of the default inference."""
    return int(built(configuration(settings.inference, settings), "batch_size", settings.inference))


def widening(count: int, settings: Settings) -> RigidMotion:
    """Sample random changes of the JSW."""
    change = np.random.default_rng(settings.seed).uniform(-LARGEST_CHANGE, LARGEST_CHANGE, count)
    return RigidMotion.widening(torch.from_numpy(change))


def separator(settings: Settings) -> Figure:
    """Measure the weight-free separator."""
    batch = image_batch(settings)
    image = joints(batch, settings)["image"]
    times = batch_times(partial(separate, image[:, :1], image[:, 1:]), settings)
    return Figure("weight-free separator", batch, times)


def shift(settings: Settings) -> Figure:
    """Measure the bare equation, ``f_r(f_s(L, t))``."""
    batch = image_batch(settings)
    joint, motion = joints(batch, settings), widening(batch, settings)
    layers, masks, spacing = joint["label"], joint["image"][:, 1:], joint["spacing"]
    times = batch_times(lambda: reconstruct(move(layers, masks, motion, spacing)[0]), settings)
    return Figure("f_r + f_s alone, bilinear", batch, times)


def synthesis(settings: Settings) -> Figure:
    """Measure the synthesis of radiographs with another joint space."""
    batch = image_batch(settings)
    joint, motion = joints(batch, settings), widening(batch, settings)
    layers, masks, spacing = joint["label"], joint["image"][:, 1:], joint["spacing"]
    times = batch_times(partial(synthesize, layers, masks, motion, spacing, range(batch)), settings)
    return Figure("f_r + f_s synthesis, bicubic, with noise texture", batch, times)


def inference(files: Sequence[Path], settings: Settings, amp: bool = False, runtime: str = TORCH) -> Figure:
    """Measure inference by the network of a configuration, with random weights; ``amp`` allows bfloat16."""
    parser = configuration(files, settings)
    network = built(parser, "network_def", files).to(settings.device)
    batch, subject = image_batch(settings), described(network, parser, files)
    inferer = FlipInferer(flips=False, amp=amp and runtime == TORCH)
    with eval_mode(network):
        used = network if runtime == TORCH else in_runtime(network, runtime, amp, settings.size)
        low = inferer.amp if runtime == TORCH else used.backbone.in_bfloat16
        times = batch_times(partial(inferer, joints(batch, settings)["image"], used), settings)
    place = "" if runtime == TORCH else f", {package_label(runtime)}"
    return Figure(f"inference{', bfloat16' if low else ''}{place}, {subject}", batch, times)


def in_runtime(network: Any, name: str, amp: bool, size: int) -> Any:
    """Return a generator whose logits a runtime computes; its export is not kept."""
    logits = compiled(nn.Sequential(network.backbone, network.start), name, amp)
    with TemporaryDirectory() as folder, patch.dict(os.environ, {CACHE: folder}):
        logits.prepare((1, network.head.in_channels, size, size))
    return network.with_logits(logits)


def in_runtimes() -> dict[str, Callable[[Settings], Figure]]:
    """Return the subjects of the installed runtimes."""
    found: dict[str, Callable[[Settings], Figure]] = {}
    for runtime in installed_runtimes():
        found[f"inference_{runtime.name}"] = partial(_in_one, "inference", runtime.name, False)
        found[f"paper_inference_{runtime.name}"] = partial(_in_one, "paper", runtime.name, False)
        if runtime.has_bfloat16():
            found[f"inference_amp_{runtime.name}"] = partial(_in_one, "inference", runtime.name, True)
    return found


def _in_one(files: str, runtime: str, amp: bool, settings: Settings) -> Figure:
    return inference(getattr(settings, files), settings, amp, runtime)


def training(files: Sequence[Path], settings: Settings) -> Figure:
    """Measure a step of the trainer of a configuration's stage 2, repeated on one batch."""
    parser = configuration(files, settings)
    batch = int(built(parser, "batch_size", files))
    steps = settings.repeats + 1
    memory: dict[str, Any] = {"handlers": [], "dataloader": (joints(batch, settings),) * steps}
    parser["train"] = {**parser.get("train", {}), **memory}
    parser["stage2_epochs"] = 1
    trainer = built(parser, "train#trainer", files)
    times = step_times(trainer, settings)
    return Figure(
        f"training step, {described(trainer.players.generator.network, parser, files)}", batch, times, unit="s/step"
    )


def described(network: nn.Module, parser: ConfigParser, files: Sequence[Path]) -> str:
    """Describe a network by its backbone, its size, and its configuration files."""
    backbone = parser.get("backbone", type(network).__name__)
    millions = sum(values.numel() for values in network.parameters()) / 1e6
    return f"{backbone} of {significant(millions)} M parameters ({' + '.join(f'`{path.name}`' for path in files)})"


SUBJECTS: dict[str, Callable[[Settings], Figure]] = {
    REFERENCE: separator,
    "shift": shift,
    "synthesis": synthesis,
    "inference": lambda settings: inference(settings.inference, settings),
    "paper_inference": lambda settings: inference(settings.paper, settings),
    "inference_amp": lambda settings: inference(settings.inference, settings, amp=True),
    "paper_inference_amp": lambda settings: inference(settings.paper, settings, amp=True),
    **in_runtimes(),
    "training": lambda settings: training(settings.training, settings),
    "paper_training": lambda settings: training(settings.paper, settings),
}
"""Subjects of the measurement, in this order. The names are those of ``--skip``."""


def measure(settings: Settings) -> dict[str, Figure]:
    """Measure every subject that is not skipped, by name, the reference first."""
    torch.set_num_threads(settings.threads)
    figures = {}
    for name, subject in SUBJECTS.items():
        if name not in settings.skip and (settings.device.type == "cpu" or name not in in_runtimes()):
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            set_determinism(settings.seed)
            figures[name] = subject(settings)
    return figures


def peak_memory(settings: Settings) -> float | None:
    """Measure the peak memory in MB of inference on one image, in a process of its own; None if skipped."""
    if MEMORY in settings.skip:
        return None
    print(f"measuring {MEMORY} ...", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(inference_memory, replace(settings, batch_size=1)).result()


def inference_memory(settings: Settings) -> float:
    """Separate a batch by the default network; return the peak memory of this process in MB."""
    torch.set_num_threads(settings.threads)
    network = built(configuration(settings.inference, settings), "network_def", settings.inference)
    with eval_mode(network.to(settings.device)):
        network(joints(image_batch(settings), settings)["image"])
    return most_held() / 1e6


def most_held() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would include the memory of the parent process before the fork
        return 1024 * int(re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)[0])
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else 1024 * held


# ---- the report ----------------------------------------------------------------------------------------------------


def significant(value: float) -> str:
    """Format with three significant digits, without an exponent."""
    return np.format_float_positional(value, precision=3, unique=False, fractional=False, trim="-")


def table(figures: Sequence[Figure]) -> str:
    """Format the figures as a Markdown table; ratios are to the first one."""
    lines = ["| measured | figure | unit | ratio | batch | repeats | spread |", "|---|---:|---|---:|---:|---:|---:|"]
    for figure in figures:
        ratio = significant(figure.speed / figures[0].speed)
        numbers = f"{significant(figure.value)} | {figure.unit} | {ratio} | {figure.batch} | {len(figure.times)}"
        lines.append(f"| {figure.subject} | {numbers} | {figure.spread:.0%} |")
    return "\n".join(lines)


def hardware(device: torch.device) -> str:
    """Return the name of the device's hardware."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


COMPARED = (
    ("inference", "paper_inference", ""),
    ("inference_amp", "paper_inference_amp", ", both in bfloat16"),
    ("inference_amp", "paper_inference", " in bfloat16"),
)
"""Pairs of subjects; the speed of the first is stated relative to the second."""


def promises(figures: Mapping[str, Figure], memory: float | None) -> str:
    """Format the promises of the default network as a Markdown list of the measured figures."""
    lines = []
    for own, paper, precision in COMPARED:
        if {own, paper} <= figures.keys():
            ratio = significant(figures[own].speed / figures[paper].speed)
            compared = f"{ratio} times the images a second of the paper's network"
            lines.append(f"- separation by the default network{precision}: {compared}")
    lines += best_runtimes(figures)
    if memory is not None:
        shown = f"{significant(memory)} MB"
        lines.append(f"- memory of inference on one image, at most: {shown}, Python and its libraries included")
    return "\n".join(lines)


def best_runtimes(figures: Mapping[str, Figure]) -> list[str]:
    """Format the speeds relative to the paper's network, each in its fastest runtime, as Markdown lines."""
    own, paper = (fastest(figures, name) for name in ("inference", "paper_inference"))
    allowed = fastest(figures, "inference", "inference_amp")
    if own is None or paper is None or allowed is None:
        return []
    both = f"- separation, both in their best fp32 runtime: {significant(own / paper)} times the paper's network"
    if "inference_amp" not in figures or "paper_inference" not in figures:
        return [both]
    ratio = significant(allowed / figures["paper_inference"].speed)
    return [both, f"- separation with --amp true against the paper's network in torch: {ratio} times"]


def fastest(figures: Mapping[str, Figure], *subjects: str) -> float | None:
    """Return the highest speed of subjects in any runtime; None if none is measured."""
    names = [name for subject in subjects for name in (subject, *(f"{subject}_{runtime}" for runtime in RUNTIMES))]
    return max((figures[name].speed for name in names if name in figures), default=None)


def report(figures: Mapping[str, Figure], memory: float | None, settings: Settings, command: str) -> str:
    """Format the Markdown document: command and machine, the table, the promises, and how to read them."""
    size, device = settings.size, settings.device
    versions = f"torch {torch.__version__}, MONAI {monai.__version__}, Python {platform.python_version()}"
    return f"""# Speed

Written by `{command}`.

- device: {device} ({hardware(device)}), threads: {settings.threads}; {versions}
- data: phantoms of {size} x {size} pixels, seed {settings.seed}

{table(list(figures.values()))}

{promises(figures, memory)}

The figure is the median over the repeats after a warm-up, the spread their range relative to it. The ratio is that of
images per second, a step counting the images of its batch, to the {figures[REFERENCE].subject}: above 1 is faster.
Batches are already in the device's memory, networks have random weights. A training step is one of stage 2 with
generator, supervisor and discriminator, without the synthesis of its batch.
"""


# ---- the command line ----------------------------------------------------------------------------------------------


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
