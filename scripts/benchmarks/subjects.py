"""What ``scripts/benchmark.py`` measures: synthesis, separation, inference and training of the configurations."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from bundle.errors import InputError
from bundle.io import SEEDS_PER_RUN
from bundle.joint import MCP
from bundle.networks import TORCH, installed_runtimes
from bundle.phantoms import Phantom, render, sample_parameters
from bundle.physics import RigidMotion, move, reconstruct, separate, synthesize
from bundle.quality import FlipInferer
from monai.bundle import ConfigParser
from monai.networks.utils import eval_mode
from monai.utils import set_determinism
from scripts.benchmarks.runtimes import in_runtime, packages
from scripts.benchmarks.settings import MEMORY, REFERENCE, Figure, Settings, significant
from scripts.benchmarks.timing import batch_times, held, most_held, step_times
from torch import Tensor, nn

EXTENT = MCP.frame_mm
"""Width of a frame in mm, at any number of pixels."""
LARGEST_CHANGE = 1.0
"""Largest change of the JSW by the synthesis, in mm."""


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
    """Measure inference by the network of a configuration, with random weights; in bfloat16 with ``amp``."""
    parser = configuration(files, settings)
    network = built(parser, "network_def", files).to(settings.device)
    batch, subject = image_batch(settings), described(network, parser, files)
    inferer = FlipInferer(flips=False, amp=amp and runtime == TORCH)
    with eval_mode(network):
        used = network if runtime == TORCH else in_runtime(network, runtime, amp, settings.size)
        times = batch_times(partial(inferer, joints(batch, settings)["image"], used), settings)
    precision, place = ", bfloat16" if amp else "", "" if runtime == TORCH else f", {packages(network, used, runtime)}"
    return Figure(f"inference{precision}{place}, {subject}", batch, times)


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


def peak_memory(settings: Settings) -> tuple[float, float] | None:
    """Measure :func:`inference_memory` on one image in a process of its own; None if skipped."""
    if MEMORY in settings.skip:
        return None
    print(f"measuring {MEMORY} ...", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(inference_memory, replace(settings, batch_size=1)).result()


def inference_memory(settings: Settings) -> tuple[float, float]:
    """Separate a batch with the default network; return the memory of this process in MB, at most and before."""
    before = held() / 1e6
    torch.set_num_threads(settings.threads)
    network = built(configuration(settings.inference, settings), "network_def", settings.inference)
    with eval_mode(network.to(settings.device)):
        network(joints(image_batch(settings), settings)["image"])
    return most_held() / 1e6, before
