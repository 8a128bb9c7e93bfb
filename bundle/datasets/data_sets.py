"""Data sets of synthetic radiographs on disk: separated source joints, the shards made from them, and the card."""

from __future__ import annotations

import json
import logging
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
import torch
from bundle.base import keep_freed_memory, one_thread, read_json
from bundle.cluster import Engine, FolderTasks, Processes
from bundle.datasets.card import DataCount
from bundle.datasets.factory import TOGETHER, RadiographFactory, Sample, passed, truth_of
from bundle.datasets.gate import QualityGate
from bundle.datasets.remeasuring import Remeasurement
from bundle.datasets.shards import Files, ShardFormat, shard_format
from bundle.datasets.source_writer import SourceWriter
from bundle.datasets.sources import Source, SourceStore
from bundle.datasets.specifications import DataPlan, SampleSpecifications
from bundle.errors import InputError
from bundle.inference import REJECTED, writable
from bundle.io import (
    Item,
    JointFrame,
    are_whole,
    command_line,
    deep_pixels,
    fingerprint,
    grey_png_bytes,
    mask_pixels,
    private_setting,
    read_stated,
    reserve_output,
    sums_of,
    write_bytes,
)
from bundle.measurement import DEFINITION
from torch import Tensor
from tqdm import tqdm

if TYPE_CHECKING:
    from bundle.inference.dicom_results import DicomResults

_log = logging.getLogger("bundle.datasets")

CARD = "dataset.json"
_PATIENCE = timedelta(days=7)
"""Maximum time that processes wait for each other."""


def join_processes() -> None:
    """Join the processes started by ``torchrun``, if any."""
    if torch.distributed.is_torchelastic_launched() and idist.model_name() == "serial":
        idist.initialize("gloo", timeout=_PATIENCE)


class DataSet:
    """A data set of synthetic radiographs in its folder.

    ``radiographs-000000`` (a folder, or a tar archive for WebDataset) holds for each image ``<key>.png``, 16 bit (in an
    archive ``<key>.npy.gz``), its masks ``<key>.lower.png`` and ``<key>.upper.png``, for a joint in a hand
    ``<key>.hand.png`` (``.hand.npy.gz``), the hand with the altered joint, and ``<key>.json``, its ground truth;
    ``truth-000000.jsonl`` holds the same ground truth, one image a line. ``dataset.json`` is the card: how the data set
    was made, what was requested and what resulted.

    Any process can make any shard from the plan and the source joints alone; the files do not depend on the number of
    processes.

    Args:
        output_dir: output folder; refused if it holds another data set.
        plan: requested contents.
        gate: quality gate of the images.
        settings: settings of the run.
        format: ``png`` or ``webdataset`` (:data:`bundle.datasets.shards.FORMATS`), or a custom format.
        shard_size: images per shard, an even number.
        engine: engine that makes the shards; default: this process.
        dicom: writer of additional DICOM images.
        version: version of the bundle, for the card.

    Raises:
        InputError: a setting is out of range; on running, the folder is refused.
    """

    def __init__(
        self,
        output_dir: str,
        plan: DataPlan,
        gate: QualityGate,
        settings: Mapping[str, Any],
        format: str | ShardFormat = "png",
        shard_size: int = 1000,
        engine: Engine | None = None,
        dicom: DicomResults | None = None,
        version: str = "",
    ) -> None:
        if shard_size < 2 or shard_size % 2:
            msg = f"shard_size is {shard_size}. Pass an even shard_size of at least 2."
            raise InputError(msg)
        if gate is None:
            msg = (
                "gate is null, but every data set has a quality gate. Widen it, for example with --gate#tolerance_mm 1 "
                "--gate#largest_overlap 1 --gate#plausible false."
            )
            raise InputError(msg)
        self.format, self.shard_size, self.engine, self.dicom = (
            shard_format(format),
            shard_size,
            engine or Processes(),
            dicom,
        )
        self.plan, self.gate, self.version = plan, gate, version
        named = format if isinstance(format, str) else type(format).__name__
        self.settings = {**settings, "plan": plan.describe(), "gate": vars(gate), "format": named, "shard": shard_size}
        self.output_dir = Path(output_dir)

    def reserve(self) -> None:
        """Reserve the folder when the run starts; separated joints without images fit any plan and gate."""
        reserve_output(self.output_dir, fingerprint(self.settings), apart=[Path(self.sources_dir).name])

    @property
    def sources_dir(self) -> str:
        """Folder of the separated joints, which their writer reserves."""
        return str(self.output_dir / "sources")

    def make(self, joints: Sequence[Item], writer: SourceWriter, remeasurement: Remeasurement | None = None) -> None:
        """Make the rest of the data set, once all source joints are stored, and the card.

        Args:
            joints: source joints of the images.
            writer: writer that has stored them.
            remeasurement: measurement of some finished images for the card; None omits it.
        """
        self.reserve()
        idist.barrier()
        usable, rejected = writable(joints, [self.dicom] if self.dicom else [])
        if idist.get_rank() == 0:
            writer.write_lines(REJECTED, rejected)
        shards = Shards(self, writer.kept(usable), writer.store, usable)
        if shards.refused and idist.get_rank() == 0:
            _log.warning(f"No images are made from {len(shards.refused)} joints: {shards.refused}")
        own = range(idist.get_rank(), len(shards), idist.get_world_size())
        made = self.engine.run(_Tasks(shards, own))
        for _ in tqdm(made, desc="making shards", unit="shard", total=len(own), disable=idist.get_rank() > 0):
            pass
        idist.barrier()
        if idist.get_rank() == 0:
            shards.write_card(remeasurement)
        idist.barrier()
        shards.check_made()


def make(
    data_set: DataSet, joints: Sequence[Item], writer: SourceWriter, remeasurement: Remeasurement | None = None
) -> None:
    """See :meth:`DataSet.make`."""
    data_set.make(joints, writer, remeasurement)


class _Tasks(FolderTasks):
    """The shards with these numbers, made on access unless done, in one thread: more would change the last bits."""

    noun = "shard"

    def __init__(self, shards: Shards, numbers: Sequence[int]) -> None:
        super().__init__(shards.data.output_dir)
        self.shards, self.numbers = shards, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: int) -> int:
        keep_freed_memory()
        with one_thread():
            if not self.shards.is_done(self.numbers[row]):
                self.shards.make(self.numbers[row])
        return self.numbers[row]


class Shards:
    """The shards of a data set.

    Args:
        data: the data set.
        sources: separated source joints.
        store: store of the source joints.
        joints: items from which they were loaded.

    Raises:
        InputError: no source joint passes the gate.
    """

    def __init__(self, data: DataSet, sources: Sequence[Source], store: SourceStore, joints: Sequence[Item]) -> None:
        self.data = data
        left = data.gate.usable(sources)
        self.refused = {source.name: reason for source in sources if (reason := data.gate.of_source(source))}
        self.specifications = SampleSpecifications(data.plan, left)
        self.made_from = f"{zlib.crc32(repr(left).encode()):08x}"
        self.factory = RadiographFactory(store, data.gate)
        self.joints = {str(joint["name"]): joint for joint in joints}

    def __len__(self) -> int:
        return -(-len(self.specifications) // self.data.shard_size)

    def is_done(self, number: int) -> bool:
        """Whether a shard is complete: its summary, written last, matches these source joints and all its files."""
        try:
            summary = self._summary(number)
            DataCount(self.specifications).add(summary)
            return summary["made_from"] == self.made_from and are_whole(self.data.output_dir, summary.get("files"))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):  # absent or damaged: it is made again
            return False

    def _summary(self, number: int) -> Any:
        return read_json(self._file("summary", number, "json"))

    def make(self, number: int) -> None:
        """Make a shard."""
        first = number * self.data.shard_size
        indices = range(first, min(first + self.data.shard_size, len(self.specifications)))
        counted, truths = DataCount(self.specifications), list[str]()
        name = self._file("radiographs", number).name
        self.data.format.write(self.data.output_dir, name, self._encoded(indices, counted, truths))
        truth = self._file("truth", number, "jsonl")
        write_bytes(truth, "".join(truths).encode())
        files = sums_of(self.data.output_dir, [*self.data.format.files(self.data.output_dir, name), truth])
        summary = {**counted.to_json(), "made_from": self.made_from, "files": files}
        write_bytes(self._file("summary", number, "json"), json.dumps(summary).encode())

    def _file(self, kind: str, number: int, ending: str = "") -> Path:
        return self.data.output_dir / f"{kind}-{number:06d}{f'.{ending}' if ending else ''}"

    def _encoded(self, indices: range, counted: DataCount, truths: list[str]) -> Iterator[tuple[str, Files]]:
        """Yield key and files of each image that passes the gate; count all images and collect their ground truth."""
        for start in range(indices.start, indices.stop, TOGETHER):
            block = range(start, min(start + TOGETHER, indices.stop))
            samples = passed(self.specifications, self.factory, block, counted.refused)
            for specification in self.specifications.sample(block):
                sample = samples.get(specification.index)
                if sample is None:
                    counted.count(specification, None)
                    continue
                truth = truth_of(sample, samples[specification.index ^ 1] if specification.pair else None)
                counted.count(specification, sample)
                truths.append(f"{json.dumps(truth)}\n")
                yield sample.specification.key, self._files(sample, truth)

    def _files(self, sample: Sample, truth: Mapping[str, Any]) -> Files:
        lower, upper = mask_pixels(sample.masks)
        shown = self.data.format.radiograph
        files = {
            **shown(deep_pixels(sample.image)),
            "lower.png": grey_png_bytes(lower),
            "upper.png": grey_png_bytes(upper),
        }
        joint = self.joints[sample.specification.source.name]
        hand = self._hand(sample, joint)
        if hand is not None:
            files |= shown(deep_pixels(hand), "hand.")
        if self.data.dicom is not None:
            files |= self._dicom(sample, {**joint, "file": joint.get("image", "")}, hand)
        return {**files, "json": json.dumps(truth).encode()}

    def _dicom(self, sample: Sample, joint: Item, hand: Tensor | None) -> Files:
        if self.data.dicom is None:
            return {}
        made = f"{sample.motion.to_json()}, noise seed {sample.specification.seed}"
        number = sample.specification.index + 1
        return self.data.dicom.synthetic(joint, sample.image, sample.masks, made, number, hand)

    def _hand(self, sample: Sample, joint: Item) -> Tensor | None:
        """Return the hand (1, H, W) with the altered joint; None for a joint without a hand."""
        if not joint.get("frame"):
            return None
        kept = joint.get("whole")
        hand = torch.from_numpy(read_stated(joint["image"]).intensity if kept is None else kept.read())[None]
        before = self.factory.store.image(sample.specification.source.name)
        return JointFrame.from_json(joint["frame"]).paste(hand, before, sample.image)

    def check_made(self) -> None:
        """Refuse a data set without any image, according to its card, the one file that every process reads.

        Raises:
            InputError: it has none; the message states the most frequent reason.
        """
        card = read_json(self.data.output_dir / CARD)
        if card["images"]:
            return
        reason, times = max(card["refused"].items(), key=itemgetter(1), default=("none was sampled", 0))
        msg = (
            f"count: no image was made of {len(self.specifications)}: most were refused as {reason!r} ({times} times; "
            f"{self.data.output_dir / CARD}). Correct --joint_space_mm, --changes_mm or --gate and pass another "
            "--output_dir."
        )
        raise InputError(msg)

    def _total(self) -> DataCount:
        total = DataCount(self.specifications)
        for number in range(len(self)):
            total.add(self._summary(number))
        return total

    def _test_joints(self) -> dict[str, int]:
        """Count the source joints on each test list; a data set should have none."""
        lists = [self.joints[source.name].get("test_list", "") for source in self.specifications.sources]
        return dict(Counter(filter(None, lists)))

    def write_card(self, remeasurement: Remeasurement | None = None) -> None:
        """Write ``dataset.json`` from the summaries of all shards and, if requested, a measurement of some images."""
        total = self._total()
        measure = remeasurement if total.made else None
        sources = [
            {"name": source.name, "digest": source.digest, "images": total.images_of(source.name)}
            for source in self.specifications.sources
        ]
        card = {
            "settings": private_setting("", self.data.settings),
            "version": self.data.version,
            "separator": self.specifications.sources[0].separator,
            "computed": dict(self.specifications.sources[0].computed),
            "command": command_line(),
            "shards": len(self),
            "joint_space_definition": DEFINITION,
            "measured_anew": None if measure is None else measure(self.specifications, self.factory, total.made),
            **total.describe(),
            "test_joints": self._test_joints(),
            "refused_sources": self.refused,
            "sources": sources,
        }
        write_bytes(self.data.output_dir / CARD, json.dumps(card, indent=1).encode())
