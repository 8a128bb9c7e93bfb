"""Speed of the data set factory and of its steps, compared with a loop that uses PIL."""

from __future__ import annotations

import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.base import keep_freed_memory
from bundle.datasets import (
    TOGETHER,
    DataPlan,
    QualityGate,
    RadiographFactory,
    Sample,
    Source,
    SourceStore,
    TarShards,
    Uniform,
    examine,
    motion_of,
    passed,
    stated_joint_space,
    surfaces_of,
)
from bundle.io import deep_pixels, grey_png_bytes, mask_pixels
from bundle.joint import MCP
from bundle.measurement import facing_centers, measure_joint_space
from bundle.phantoms import render, sample_parameters
from bundle.physics import SeparatedBones, separate
from scripts.benchmarks.pil_loop import Array, PilLoop

PLAN = DataPlan(
    joint_space_mm=Uniform(0.5, 2.6), sideways_mm=Uniform(-0.3, 0.3), rotation_deg=Uniform(-2.0, 2.0), count=10**9
)


class Joints:
    """Separated phantoms stored in a folder.

    Args:
        folder: folder of the factory's source joints; empty, or filled by another process.
        count: number of phantoms.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.layers: dict[str, Array] = {}
        self.masks: dict[str, Array] = {}
        store = SourceStore(folder)
        for seed in range(count):
            if store.find(f"phantom{seed}") is None:
                self._separate(store, seed)
        found = [store.find(f"phantom{seed}") for seed in range(count)]
        self.specifications = PLAN.of([source for source in found if source is not None])
        self.factory = RadiographFactory(store, QualityGate())

    def _separate(self, store: SourceStore, seed: int) -> None:
        phantom, name = render(sample_parameters(seed, outline_gap_mm=0.5 + 0.1 * seed)), f"phantom{seed}"
        image, masks = phantom.image[None], (phantom.masks[None] > 0.5).float()
        layers = separate(image, masks)
        edges = facing_centers(masks[0].numpy() > 0.5, MCP.spacing_mm).tolist()
        space = stated_joint_space(measure_joint_space(layers, masks, MCP.spacing_mm))
        known: dict[str, Any] = {
            "name": name,
            "joint": name,
            "finger": "ring",
            "side": "left",
            "masks": "given",
            "digest": "",
        }
        separator = "weight-free separator"
        source = Source(**known, **space, spacing_mm=MCP.spacing_mm, edges_mm=edges, separator=separator)
        store.write(source, SeparatedBones.of(layers, masks), image[0])
        self.layers[name], self.masks[name] = layers[0].numpy(), masks[0].numpy()

    def blocks(self, first: int, seconds: float) -> int:
        """Make images from an index on for some time; return their number."""
        end, made, refused = time.perf_counter() + seconds, 0, Counter[str]()
        while time.perf_counter() < end:
            start = first + made
            made += len(passed(self.specifications, self.factory, range(start, start + TOGETHER), refused))
        return made


def rate(make: Callable[[int], Any], seconds: float) -> float:
    """Measure the images per second of a function that makes the image of an index."""
    make(0)
    start, made = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        made += 1
        make(made)
    return made / (time.perf_counter() - start)


def in_process(folder: str, count: int, number: int, seconds: float) -> int:
    """Return the number of images that one of several processes makes."""
    torch.set_num_threads(1)
    keep_freed_memory()
    joints = Joints(Path(folder), count)
    joints.blocks(0, 0.5)
    return joints.blocks(10**6 * (number + 1), seconds)


def steps(joints: Joints, folder: Path, seconds: float) -> dict[str, float]:
    """Measure each step of the factory in milliseconds per image, in one process."""
    specifications = joints.specifications.sample(range(TOGETHER))
    names = [specification.source.name for specification in specifications]
    kept, motion = joints.factory.store.load(names), motion_of(specifications)
    spacing = torch.full((TOGETHER,), MCP.spacing_mm)
    seeds = [specification.seed for specification in specifications]
    surfaces = surfaces_of([specification.source for specification in specifications])
    made = kept.synthesize(motion, spacing, seeds, exact=False)
    samples = joints.factory.make(specifications)
    files = [encoded(sample) for sample in samples]
    archive = [(specification.key, part) for specification, part in zip(specifications, files, strict=True)]
    work: dict[str, Callable[[], Any]] = {
        "specifications": lambda: joints.specifications.sample(range(TOGETHER)),
        "separated joints, from memory": lambda: joints.factory.store.load(names),
        "motion": lambda: kept.bones.moved(motion, spacing, "bicubic", False),
        "motion, noise texture and composition": lambda: kept.synthesize(motion, spacing, seeds, exact=False),
        "measuring and the gate": lambda: examine(kept.masks, made.masks, spacing, surfaces.moved(motion)),
        "compression": lambda: [encoded(sample) for sample in samples],
        "tar archive": lambda: TarShards().write(folder, "shard", archive),
    }
    return {name: 1000.0 / (TOGETHER * rate(partial(_run, run), seconds)) for name, run in work.items()}


def make_one(joints: Joints, loop: PilLoop, index: int) -> None:
    """Make the image of an index by a loop."""
    loop(joints.specifications.sample([index])[0])


def _run(work: Callable[[], Any], _: int) -> None:
    work()


def encoded(sample: Sample) -> dict[str, bytes]:
    """Encode the files of an image."""
    lower, upper = mask_pixels(sample.masks)
    shown = TarShards().radiograph(deep_pixels(sample.image))
    return {**shown, "lower.png": grey_png_bytes(lower), "upper.png": grey_png_bytes(upper)}


def difference(joints: Joints, loop: PilLoop) -> dict[str, float]:
    """Compare the loop's images, masks and widths with the factory's."""
    specifications = joints.specifications.sample(range(32))
    pairs = [
        (sample, loop(specification))
        for specification, sample in zip(specifications, joints.factory.make(specifications), strict=True)
    ]
    square = [np.square(sample.image[0].numpy() - image).mean() for sample, (image, _, _) in pairs]
    masks = [np.abs(sample.masks.numpy() - maps).mean() for sample, (_, maps, _) in pairs]
    gaps = [abs(sample.outline_gap_mm - gap) for sample, (_, _, gap) in pairs]
    return {
        "image": math.sqrt(float(np.mean(square))),
        "masks": float(np.mean(masks)),
        "outline_gap": float(np.mean(gaps)),
    }


def together(folder: Path, count: int, processes: int, seconds: float) -> float:
    """Measure the images per second of several processes."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        parts = [pool.submit(in_process, str(folder), count, number, seconds) for number in range(processes)]
        return sum(part.result() for part in parts) / seconds
