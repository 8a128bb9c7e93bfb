"""What inference, evaluation and synthesis leave on disk."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bundle.base import parse_json
from bundle.errors import InputError
from bundle.inference.quality import JointQuality, quality_label
from bundle.io import (
    DRAWN,
    RESULT_ENDINGS,
    TITLES,
    Item,
    Sums,
    append_line,
    are_whole,
    claim_output,
    fingerprint,
    montage,
    resampling,
    sums_of,
    write_bytes,
    write_layer_images,
    write_layers,
    write_masks,
)
from bundle.separation import separation_row
from bundle.workflow import GeneratorWeights
from ignite.engine import Engine, Events
from torch import Tensor

if TYPE_CHECKING:
    from bundle.inference.dicom_results import DicomResults

REJECTED = "rejected.jsonl"
"""Names of joints and hands that could not be used, with the reasons."""
QUALITY = "quality.jsonl"
"""What inference says of each joint besides its layers (:class:`bundle.inference.JointQuality`)."""


_log = logging.getLogger("bundle.inference")


class Results:
    """Base of the handlers that write what becomes of joints: claims its output folder when the run starts.

    Args:
        output_dir: refused when it holds another run's results.
        settings: of the run; they tell runs apart and are written with the results.
        weights: of the generator.
    """

    def __init__(self, output_dir: str, settings: Mapping[str, Any], weights: GeneratorWeights) -> None:
        self.settings = {"results": type(self).__name__, **settings, "separator": weights.source}
        self.output_dir = Path(output_dir)
        self.joints: Sequence[Item] | None = None
        self.rejected: Sequence[Mapping[str, Any]] = []

    def claim(self) -> None:
        """Claim the folder."""
        claim_output(self.output_dir, fingerprint(self.settings))

    def remaining(self, joints: Sequence[Item]) -> list[Item]:
        """See :func:`remaining`; nothing is written yet."""
        self.joints, self.rejected = self.usable(joints)
        return self.left(self.joints)

    def usable(self, joints: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Mapping[str, Any]]]:
        """The joints that can be written, and names and reasons of the others."""
        return joints, getattr(joints, "rejected", [])

    def left(self, joints: Sequence[Item]) -> list[Item]:
        """The joints that are left."""
        raise NotImplementedError

    def begin(self) -> None:
        """Claim the folder, and list what the audit rejected of the joints that are asked for, if they are known."""
        self.claim()
        if self.joints is not None:
            self.write_lines(REJECTED, self.rejected)

    def write_lines(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Replace a file of lines; without any it is taken away."""
        path = self.output_dir / name
        if lines:
            write_bytes(path, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
        else:
            path.unlink(missing_ok=True)

    def attach(self, engine: Engine) -> None:
        """Begin with the engine, and write each joint as it comes."""
        engine.add_event_handler(Events.STARTED, lambda _: self.begin())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Write the joints of a batch."""
        raise NotImplementedError


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that are whole, each of a joint; none of a file that is not there."""
    found = []
    for line in path.read_bytes().splitlines() if os.path.isfile(path) else []:
        with suppress(ValueError):
            found.append(parse_json(line))
    return [line for line in found if isinstance(line, dict) and "name" in line]


def _written(line: Mapping[str, Any]) -> tuple[str, str]:
    """The joint that an item or a line is of, with what tells its files from others."""
    return str(line["name"]), str(line.get("digest", ""))


class LayerWriter(Results):
    """Inference: ``<name>_layers.nii.gz`` (float32, 3 channels), a PNG of each layer and ``<name>_montage.png``.

    ``quality.jsonl`` has a line for each joint: how sure its split is and whether to trust it, and ``files``, its
    files with their CRC-32: a joint of which one is missing or damaged is done again. Masks that were drawn are written
    too, ``<name>_mask_lower.png`` and ``_upper``, and the frame of a joint in a hand, ``<name>.nii.gz``.

    Args:
        output_dir: as in :class:`Results`.
        settings: as in :class:`Results`.
        weights: as in :class:`Results`.
        quality: judges the joints; without it ``quality.jsonl`` only says which are done.
        dicom: writes results as DICOM, too.
    """

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        weights: GeneratorWeights,
        quality: JointQuality | None = None,
        dicom: DicomResults | None = None,
    ) -> None:
        super().__init__(output_dir, settings, weights)
        self.quality = quality
        self.dicom = dicom

    def usable(self, joints: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Mapping[str, Any]]]:
        """See :meth:`Results.usable`."""
        return writable(joints, self.dicom)

    def left(self, joints: Sequence[Item]) -> list[Item]:
        """See :meth:`Results.left`."""
        done = {_written(line) for line in self._done(joints)}
        left = [joint for joint in joints if _written(joint) not in done]
        if len(left) < len(joints):
            _log.info(f"{len(joints) - len(left)} of {len(joints)} joints have been done before")
        return left

    def begin(self) -> None:
        """See :meth:`Results.begin`; lines of joints that are no longer asked for, or are done again, go."""
        super().begin()
        if self.joints is not None:
            self.write_lines(QUALITY, self._done(self.joints))

    def _done(self, joints: Sequence[Item]) -> list[dict[str, Any]]:
        """The lines of joints whose files are all there and whole."""
        wanted = {_written(joint) for joint in joints}
        lines = [line for line in _lines(self.output_dir / QUALITY) if _written(line) in wanted]
        return [line for line in lines if are_whole(self.output_dir, line.get("files"))]

    def __call__(self, engine: Any) -> None:
        """Judge and write the joints of a batch."""
        for row, (joint, output) in enumerate(zip(engine.state.batch, engine.state.output, strict=True)):
            line = {"name": str(joint["name"])} if self.quality is None else self.quality(joint, row)
            self.write(joint, output["pred"].detach().cpu(), quality_label(line))
            source = {"masks": joint.get("masks", "given"), "digest": joint.get("digest", "")}
            source |= {"resampled": note} if (note := resampling(joint)) else {}
            found = {**line, **source, "files": self._files_of(str(joint["name"]))}
            append_line(self.output_dir / QUALITY, json.dumps(found))

    def _files_of(self, name: str) -> Sums:
        """The sums of a joint's files."""
        paths = [self.output_dir / f"{name}{ending}" for ending in RESULT_ENDINGS]
        return sums_of(self.output_dir, [path for path in paths if path.is_file()])

    def write(self, joint: Mapping[str, Any], layers: Tensor, label: str = "") -> None:
        """Write one joint with its layers (3, H, W) and the label of its montage."""
        name, spacing = str(joint["name"]), float(joint["spacing"])
        write_layers(self.output_dir / f"{name}_layers.nii.gz", layers, spacing)
        write_layer_images(self.output_dir, name, layers)
        self._write_frame(joint, name, spacing)
        if self.dicom is not None:
            self.dicom.write_layers(self.output_dir, joint, layers, self.settings["separator"])
        row = separation_row(joint["image"], layers, spacing)
        montage([row], TITLES, self.output_dir / f"{name}_montage.png", [label or name])

    def _write_frame(self, joint: Mapping[str, Any], name: str, spacing: float) -> None:
        """Write what of a joint's frame lies in no file yet."""
        image = joint["image"].cpu()
        if joint.get("frame"):
            write_layers(self.output_dir / f"{name}.nii.gz", image[:1], spacing)
        if joint.get("masks") == DRAWN:
            write_masks(self.output_dir, name, image[1:])


def writable(joints: Sequence[Item], dicom: DicomResults | None) -> tuple[list[Item], list[dict[str, str]]]:
    """The joints whose results can be written, and the lines of ``rejected.jsonl``, those of the audit among them.

    Args:
        joints: as :class:`bundle.io.Joints`.
        dicom: writes results as DICOM, if they are written so.

    Raises:
        InputError: a strict run has a joint whose results cannot be written, or there is no other.
    """
    left, refused = [], dict[str, str]()
    for joint in joints:
        try:
            if dicom is not None:
                dicom.check(joint)
            left.append(joint)
        except InputError as error:
            refused[str(joint["name"])] = str(error)
            _log.warning(f"rejected {error}")
    if refused and (getattr(joints, "strict", False) or not left):
        raise InputError("\n".join(["expected joints whose results can be written:", *refused.values()]))
    lines = [{"name": name, "reason": reason} for name, reason in refused.items()]
    return left, [*getattr(joints, "rejected", []), *lines]


def remaining(joints: Sequence[Item], writer: Results) -> list[Item]:
    """The joints of which a writer has no results yet, or whose files have changed since.

    When the run begins, lines of joints that are no longer asked for are taken out of its record, and what the audit
    rejected (:class:`bundle.io.Joints`) is listed in ``rejected.jsonl``.
    """
    return writer.remaining(joints)


def run_remaining(evaluator: Any, writer: Results) -> None:
    """Run an evaluator over the joints of which a writer has no results yet (:func:`remaining`), if any."""
    writer.begin()
    if len(evaluator.data_loader):
        evaluator.run()
    else:
        _log.info("nothing is left to do")
