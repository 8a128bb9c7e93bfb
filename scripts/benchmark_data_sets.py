"""Measure the speed of making data sets, in one run, against a loop over images with PIL's affine transforms.

The loop makes the same images from the same separated joints one by one, like scripts that come with papers: PIL moves
each bone with its mask and its support, NumPy and SciPy do the rest. Nothing is written to disk unless stated. The
report is in Markdown.

    python scripts/benchmark_data_sets.py --output docs/benchmark_data_sets.md
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.base import keep_freed_memory
from bundle.datasets import (
    DataPlan,
    QualityGate,
    RadiographFactory,
    Sample,
    SampleSpecification,
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
from bundle.errors import report_plainly
from bundle.io import check_destination, deep_pixels, grey_png_bytes, mask_pixels, processor, write_bytes
from bundle.joint import MCP
from bundle.measurement import facing_centers, measure_joint_space, outline_gap
from bundle.phantoms import render, sample_parameters
from bundle.physics import CONTINUED_MM, SeparatedBones, reconstruct, separate

TOGETHER, SIDE = 4, 256
PLAN = DataPlan(
    joint_space_mm=Uniform(0.5, 2.6), sideways_mm=Uniform(-0.3, 0.3), rotation_deg=Uniform(-2.0, 2.0), count=10**9
)
ROOT = Path(__file__).resolve().parents[1]
INFERENCE = ROOT / "configs" / "inference.json"
ALL_KEPT = "loop with PIL, layers, continued bones and noise texture kept"
Array = NDArray[np.floating[Any]]
Separator = Callable[[Tensor, Tensor], Tensor]
"""Layers (1, 3, H, W) of an image (1, 1, H, W) and its masks (1, 2, H, W)."""

# ---- the loop with PIL ---------------------------------------------------------------------------------------------


class PilLoop:
    """Loop that makes one image after the other with PIL, NumPy and SciPy.

    Args:
        layers: separated joints by name, (3, H, W).
        masks: their bone masks, (2, H, W).
        keeping: what is computed once per joint: ``nothing``, its ``layers``, or, as by the factory, ``all`` that no
            motion changes.
        separator: separator of the loop that keeps nothing.
    """

    def __init__(
        self, layers: Mapping[str, Array], masks: Mapping[str, Array], keeping: str, separator: Separator = separate
    ) -> None:
        self.layers, self.masks, self.keeping, self.separator = dict(layers), masks, keeping, separator
        self.kept = {name: self._prepare(name) for name in layers} if keeping == "all" else {}

    def _separate(self, name: str) -> None:
        image = reconstruct(torch.from_numpy(self.layers[name])[None])
        self.layers[name] = self.separator(image, torch.from_numpy(self.masks[name])[None])[0].numpy()

    def _prepare(self, name: str) -> dict[str, Any]:
        """Return the continued bones, the supports, and the noise texture of a joint."""
        joint = SeparatedBones.of(*(torch.from_numpy(part[name])[None] for part in (self.layers, self.masks)))
        supports = joint.bones.maps[0, :, 1].numpy()
        return {
            "bones": [Image.fromarray(bone) for bone in joint.bones.bones[0].numpy()],
            "maps": [
                Image.fromarray(np.pad(part, round(CONTINUED_MM / MCP.spacing_mm), "edge"))
                for part in (*self.masks[name], *supports)
            ],
            "covered": supports.max(axis=0),
            "missing": joint.noise_texture.missing[0, 0].numpy(),
            "amplitude": joint.noise_texture.amplitude[0, 0].numpy(),
        }

    def __call__(self, specification: SampleSpecification) -> tuple[Array, Array, float]:
        """Return image (H, W), masks (2, H, W) and the gap of their outlines in mm."""
        if self.keeping == "nothing":
            self._separate(specification.source.name)
        known = self.kept.get(specification.source.name) or self._prepare(specification.source.name)
        bones = np.stack(
            [moved(bone, specification, k, Image.Resampling.BICUBIC) for k, bone in enumerate(known["bones"])]
        )
        maps = [moved(part, specification, k % 2, Image.Resampling.BILINEAR) for k, part in enumerate(known["maps"])]
        uncovered = known["covered"] * ((maps[2] < 0.5) & (maps[3] < 0.5))
        soft = -np.log1p(-np.minimum(self.layers[specification.source.name][0], 1 - 2.0**-15))
        textured = np.maximum(
            soft + uncovered * known["missing"] * texture(known["amplitude"], specification.seed), 0.0
        )
        image = 1.0 - np.exp(-textured) * (1.0 - bones.clip(0.0, 1.0)).prod(axis=0)
        masks = np.stack(maps[:2])
        return image, masks, float(outline_gap(torch.from_numpy(masks)[None], specification.source.spacing_mm))


def moved(picture: Image.Image, specification: SampleSpecification, bone: int, kernel: Image.Resampling) -> Array:
    """Return the image of a bone after the motion of a specification, cut to the frame."""
    motion, pixel = motion_of([specification]), specification.source.spacing_mm
    center = motion.center[0, bone].numpy() / pixel
    start = center + motion.translation[0, bone].numpy() / pixel + SIDE / 2
    cosine, sine = (f(math.radians(float(motion.rotation[0, bone]))) for f in (math.cos, math.sin))
    x, y = center + np.array(picture.size) / 2
    across = (cosine, sine, x - cosine * start[0] - sine * start[1])
    down = (-sine, cosine, y + sine * start[0] - cosine * start[1])
    return np.asarray(picture.transform((SIDE, SIDE), Image.Transform.AFFINE, (*across, *down), kernel))


def texture(amplitude: Array, seed: int) -> Array:
    """Return noise with the amplitudes of a spectrum, (H, W), of mean 0 and variance 1."""
    white = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(seed)).numpy()
    made = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(SIDE, SIDE))
    made = made - made.mean()
    return np.asarray(made / np.sqrt(np.square(made).mean()))


def network_separator() -> Separator:
    """Return the network of ``inference.json``, the default separator of data sets."""
    parser = ConfigParser()
    parser.read_config(str(INFERENCE))
    parser["bundle_root"], parser["device"] = str(ROOT), torch.device("cpu")
    parser.get_parsed_content("used_weights")(None)
    network, inferer = parser.get_parsed_content("network").eval(), parser.get_parsed_content("inferer")

    @torch.inference_mode()
    def separated(image: Tensor, masks: Tensor) -> Tensor:
        layers: Tensor = inferer(torch.cat([image, masks], dim=1), network)
        return layers

    return separated


def loops(layers: Mapping[str, Array], masks: Mapping[str, Array]) -> dict[str, PilLoop]:
    """Return the loops by what they keep of separated joints; the loop that keeps nothing has two separators."""
    make, start = partial(PilLoop, layers, masks), "loop with PIL, each image from its radiograph"
    return {
        f"{start} (separated by `{INFERENCE.name}`, the default)": make("nothing", network_separator()),
        f"{start} (separated without weights)": make("nothing"),
        "loop with PIL, layers kept": make("layers"),
        ALL_KEPT: make("all"),
    }


# ---- what is measured ----------------------------------------------------------------------------------------------


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


def _made(joints: Joints, loop: PilLoop, index: int) -> None:
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


def report(count: int, seconds: float, command: str) -> str:
    """Measure everything and report it in Markdown."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        joints = Joints(folder, count)
        rivals = loops(joints.layers, joints.masks)
        speeds = {
            **{name: rate(partial(_made, joints, loop), seconds) for name, loop in rivals.items()},
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
{apart["masks"]:.5f} in the mean, the gaps of their outlines by {apart["outline_gap"]:.4f} mm.

Time of each step in one process, with files:

|| step | ms per image | share |
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
