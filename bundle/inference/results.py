"""Results of inference, evaluation and synthesis on disk."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from bundle.base import one_thread
from bundle.errors import InputError
from bundle.inference.joint_table import JOINT_LINES, TABLE, JointTable
from bundle.inference.locating import SURFACES, located_surfaces
from bundle.inference.montage_writer import MontageWriter
from bundle.inference.nifti_writer import NiftiWriter
from bundle.inference.png_writer import PngWriter
from bundle.inference.quality import JointQuality, quality_label
from bundle.inference.writers import SeparatedJoint, Writer
from bundle.io import (
    RUNTIME,
    Item,
    Sums,
    append_line,
    are_whole,
    check_output,
    named_lines,
    resampling,
    reserve_output,
    sums_of,
    write_or_remove,
)
from bundle.joint import UNKNOWN_PLATE, Keys
from bundle.measurement import JointSpace, measure_joint_space
from bundle.networks import TORCH
from bundle.quality import FlipInferer
from bundle.workflow import GeneratorWeights, results_run
from ignite.engine import Events
from torch import Tensor

REJECTED = "rejected.jsonl"
"""Names of unusable joints and hands, with the reasons."""
QUALITY = "quality.jsonl"
"""File with the assessment of each joint (:class:`bundle.inference.JointQuality`)."""


_log = logging.getLogger("bundle.inference")


_Results = TypeVar("_Results", bound="Results")
_Layers = TypeVar("_Layers", bound="LayerWriter")


class Results:
    """Results of joints on disk: the joints that remain, and the files of each.

    :func:`run_remaining` calls :meth:`begin`, which reserves the output folder, and then :meth:`add` for each joint.
    ``line_files`` names the files with a line per joint or rejected joint.

    Args:
        output_dir: output folder; refused if it holds the results of another run.
        settings: settings of the run; they identify it and are written with the results.
        weights: weights of the generator.
        defined_by: ids of the parts of the configuration that make the results: their options also identify the run
            (:func:`bundle.workflow.results_run`).
        inferer: inferer of the separation, whose runtime also identifies the run; None for torch.
    """

    line_files: ClassVar[Sequence[str]] = (REJECTED,)

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        weights: GeneratorWeights,
        defined_by: Sequence[str] = (),
        inferer: FlipInferer | None = None,
    ) -> None:
        self.defined_by, self.inferer = defined_by, inferer
        self.settings = {"results": type(self).__name__, **settings, "separator": weights.source}
        self.output_dir = self.lines_dir = Path(output_dir)
        self.joints: Sequence[Item] | None = None
        self.rejected: Sequence[Mapping[str, Any]] = []
        self.known_run = ""

    def reserve(self) -> None:
        """Reserve the output folder, unless a run has done so that knows its fingerprint."""
        if not self.known_run:
            reserve_output(self.output_dir, self.run)

    @property
    def run(self) -> str:
        """Fingerprint of the run."""
        if self.known_run:
            return self.known_run
        runtime = {} if self.inferer is None else {RUNTIME: self.inferer.runtime_name}
        return results_run({**self.settings, **runtime}, self.defined_by)

    def in_block(self: _Results, folder: Path, run: str) -> _Results:
        """Return a writer of a block (:mod:`bundle.inference.blocks`) of a run that has reserved the output folder.

        Args:
            folder: folder of its lines.
            run: fingerprint of the run.

        Raises:
            InputError: this process separates by another runtime than the run.
        """
        runtime = "" if self.inferer is None else self.inferer.runtime_name
        if runtime != (stated := json.loads(run).get(RUNTIME, "")):
            remedy = f"Install the same packages here, or begin in another output folder with --runtime {TORCH}."
            msg = f"the runtime here is {runtime}, that of the run {stated}. {remedy}"
            raise InputError(msg)
        block = copy(self)
        block.lines_dir, block.known_run = folder, run
        return block

    def has_all(self, joints: Sequence[Item]) -> bool:
        """Whether all results of some joints exist and are intact."""
        raise NotImplementedError

    def remaining(self, joints: Sequence[Item]) -> list[Item]:
        """See :func:`remaining`; writes nothing yet."""
        self.joints, self.rejected = self.usable(joints)
        return self.left(self.joints)

    def usable(self, joints: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Mapping[str, Any]]]:
        """Return the joints that can be written, and the names and reasons of the others."""
        return joints, getattr(joints, "rejected", [])

    def left(self, joints: Sequence[Item]) -> list[Item]:
        """Return the joints that remain."""
        raise NotImplementedError

    def begin(self) -> None:
        """Reserve the folder and, if the requested joints are known, list those that the audit rejected."""
        self.reserve()
        if self.joints is not None:
            self.write_lines(REJECTED, self.rejected)

    def write_lines(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Replace a file of lines; remove it if there are none."""
        write_or_remove(self.lines_dir / name, "".join(f"{json.dumps(line)}\n" for line in lines))

    def add(self, joint: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        """Write the results of a joint.

        Args:
            joint: loaded item of the joint.
            output: output of the evaluator: ``pred``, the layers (3, H, W), and the further entries of
                :func:`bundle.inference.separate_batch`.
        """
        raise NotImplementedError


def _written(line: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of a joint (item or line) and the digest of its files."""
    return str(line["name"]), str(line.get("digest", ""))


_COMPUTED = ("runtime", "precision")
"""Keys of ``quality.jsonl`` that the description of a separator includes."""

_USUAL = (NiftiWriter, PngWriter, MontageWriter)


class LayerWriter(Results):
    """Results of inference: the files that a list of writers makes of each joint.

    ``quality.jsonl`` has a line per joint: uncertainty of the separation, plausibility, and ``files``, its files with
    their CRC-32. A joint with a missing or damaged file is redone.

    Args:
        output_dir: see :class:`Results`.
        settings: see :class:`Results`.
        weights: see :class:`Results`.
        quality: assessment of the joints; without it ``quality.jsonl`` only lists the finished ones.
        writers: one writer per format; None for layers as NIfTI and PNG, and montages. Other writers make it another
            run.
        dicom: additional writer of DICOM results.
        table: table of the joint spaces; None does not measure them.
        defined_by: see :class:`Results`.
        inferer: see :class:`Results`.

    Raises:
        InputError: an entry of ``writers`` is not a writer.
    """

    line_files = (REJECTED, QUALITY, JOINT_LINES, TABLE)

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        weights: GeneratorWeights,
        quality: JointQuality | None = None,
        writers: Sequence[Writer] | None = None,
        dicom: Writer | None = None,
        table: JointTable | None = None,
        defined_by: Sequence[str] = (),
        inferer: FlipInferer | None = None,
    ) -> None:
        super().__init__(output_dir, settings, weights, defined_by, inferer)
        self.quality, self.table = quality, table
        chosen = [make() for make in _USUAL] if writers is None else [one for one in writers if one is not dicom]
        names = [type(writer).__name__ for writer in chosen]
        self.settings |= {} if names == [usual.__name__ for usual in _USUAL] else {"writers": names}
        self.writers = checked_writers(chosen if dicom is None else [*chosen, dicom])

    def in_block(self: _Layers, folder: Path, run: str) -> _Layers:
        """See :meth:`Results.in_block`."""
        block = super().in_block(folder, run)
        block.table = None if self.table is None else self.table.within(folder)
        return block

    def has_all(self, joints: Sequence[Item]) -> bool:
        """See :meth:`Results.has_all`."""
        return len(self._done(joints)) == len(joints)

    def usable(self, joints: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Mapping[str, Any]]]:
        """See :meth:`Results.usable`."""
        return writable(joints, self.writers)

    def left(self, joints: Sequence[Item]) -> list[Item]:
        """See :meth:`Results.left`; refuses a folder with the results of another run."""
        check_output(self.output_dir, self.run)
        done = {_written(line) for line in self._done(joints)}
        left = [joint for joint in joints if _written(joint) not in done]
        if len(left) < len(joints):
            _log.info(f"{len(joints) - len(left)} of {len(joints)} joints are already done.")
        return left

    def begin(self) -> None:
        """See :meth:`Results.begin`; removes the lines of joints that are no longer requested or are redone."""
        super().begin()
        if self.joints is None:
            return
        done = self._done(self.joints)
        self.write_lines(QUALITY, done)
        if self.table is not None:
            self.table.keep(line["name"] for line in done)

    def _done(self, joints: Sequence[Item]) -> list[dict[str, Any]]:
        """Return the lines of joints whose files are all present and intact, with their rows of the table."""
        wanted = {_written(joint) for joint in joints}
        lines = [line for line in named_lines(self.lines_dir / QUALITY) if _written(line) in wanted]
        if self.table is not None:
            measured = {row["name"] for row in self.table.rows()}
            lines = [line for line in lines if line["name"] in measured]
        return [line for line in lines if are_whole(self.output_dir, line.get("files"))]

    def add(self, joint: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        """Assess and write a joint; see :meth:`Results.add`."""
        line = {"name": str(joint["name"])} if self.quality is None else self.quality(joint, output)
        layers = output["pred"].detach().cpu()
        separator = ", ".join([self.settings["separator"], *(line[key] for key in _COMPUTED if key in line)])
        space, row = (None, {}) if self.table is None else _measured(self.table, joint, layers, line)
        files = self._write(SeparatedJoint(joint, layers, separator, quality_label(line), space, row))
        source = {"masks": joint.get("masks", "given"), "digest": joint.get("digest", "")}
        source[Keys.GROWTH_PLATE] = joint.get(Keys.GROWTH_PLATE, UNKNOWN_PLATE)
        source |= {"resampled": note} if (note := resampling(joint)) else {}
        source |= {"side_conflict": joint["side_conflict"]} if joint.get("side_conflict") else {}
        source |= {} if space is None else {SURFACES: located_surfaces(joint, space)}
        append_line(self.lines_dir / QUALITY, json.dumps({**line, **source, "files": files}))

    def _write(self, result: SeparatedJoint) -> Sums:
        """Write a joint in every format; return the checksums of its files."""
        written = [path for writer in self.writers for path in writer.write(self.output_dir, result)]
        return sums_of(self.output_dir, written)


def _measured(
    table: JointTable, joint: Mapping[str, Any], layers: Tensor, quality: Mapping[str, Any]
) -> tuple[JointSpace, dict[str, Any]]:
    """Measure the joint space of a joint and add it to the table; return it with its row."""
    with one_thread():
        space = measure_joint_space(layers[None], joint["image"].cpu()[None, 1:], float(joint["spacing"]))
    space = table.checked(joint, space)
    return space, table.append(joint, space, quality)


def checked_writers(writers: Sequence[Any]) -> list[Writer]:
    """Check that every entry is a writer.

    Raises:
        InputError: an entry of ``writers``, or ``dicom``, is not a component that writes results.
    """
    for writer in writers:
        if not callable(getattr(writer, "write", None)) or not callable(getattr(writer, "check", None)):
            msg = (
                f"writers and dicom: {writer!r} does not write results. Pass a component, such as "
                "\"{'_target_': 'bundle.inference.NiftiWriter'}\"."
            )
            raise InputError(msg)
    return list(writers)


def writable(joints: Sequence[Item], writers: Sequence[Writer]) -> tuple[list[Item], list[dict[str, str]]]:
    """Return the joints whose results can be written, and the lines of ``rejected.jsonl``, including the audit's.

    Args:
        joints: joints as :class:`bundle.io.Joints`.
        writers: writers of the results.

    Raises:
        InputError: a strict run has a joint whose results cannot be written, or no joint remains.
    """
    left, refused = [], dict[str, str]()
    for joint in joints:
        try:
            for writer in writers:
                writer.check(joint)
            left.append(joint)
        except InputError as error:
            refused[str(joint["name"])] = str(error)
            _log.warning(f"rejected {error}")
    if refused and (getattr(joints, "strict", False) or not left):
        raise InputError("\n".join(["The results of these joints cannot be written:", *refused.values()]))
    lines = [{"name": name, "reason": reason} for name, reason in refused.items()]
    return left, [*getattr(joints, "rejected", []), *lines]


def remaining(joints: Sequence[Item], writer: Results) -> list[Item]:
    """Return the joints without results of this writer, and those whose files have changed since.

    When the run begins, its record loses the lines of joints that are no longer requested, and ``rejected.jsonl`` lists
    the joints that the audit rejected (:class:`bundle.io.Joints`).
    """
    return writer.remaining(joints)


def run_remaining(evaluator: Any, writer: Results) -> None:
    """Run an evaluator over the joints without results (:func:`remaining`), if any.

    Each joint is passed to the writer with its output once its batch is complete.
    """
    writer.begin()
    if not len(evaluator.data_loader):
        _log.info("All joints are done.")
        return
    with evaluator.add_event_handler(Events.ITERATION_COMPLETED, _hand_over, writer):
        evaluator.run()


def _hand_over(engine: Any, writer: Results) -> None:
    """Pass the joints of a batch to the writer."""
    for joint, output in zip(engine.state.batch, engine.state.output, strict=True):
        writer.add(joint, output)
