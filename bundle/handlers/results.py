"""What inference, evaluation and synthesis leave on disk."""

from __future__ import annotations

import io
import json
import logging
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from torch import Tensor

from bundle.data.joints import DRAWN
from bundle.data.loading import Item, open_radiograph
from bundle.data.montage import TITLES, montage
from bundle.data.writing import (
    append_line,
    claim_output,
    fingerprint,
    write_bytes,
    write_deep_image,
    write_image,
    write_layer_images,
    write_layers,
    write_masks,
)
from bundle.errors import InputError
from bundle.frames import JointFrame
from bundle.handlers.checkpoints import GeneratorWeights
from bundle.handlers.logging import separation_row
from bundle.handlers.quality import JointQuality, quality_label
from bundle.jsw import joint_space_width, narrowing_grade
from bundle.metrics import Measured, SeparatedJoints, summarize, to_markdown
from bundle.metrics.reconstruction import IDENTITY
from bundle.motion import RigidMotion
from bundle.provenance import command_line, machine
from bundle.synthesis import SyntheticJoints, synthesize

if TYPE_CHECKING:
    from bundle.handlers.dicom_results import DicomResults

REJECTED = "rejected.jsonl"
"""Names of joints and hands that could not be used, with the reasons."""
QUALITY = "quality.jsonl"
"""What inference says of each joint besides its layers (:class:`bundle.handlers.quality.JointQuality`)."""

_log = logging.getLogger("bundle.handlers")

LARGEST_CHANGE = 10.0
"""Changes of the joint space width are below this, in mm: half the public frame."""


class _Results:
    """Base of the handlers that write: claims its output folder when it is built.

    Every joint has its lines in the file ``record``, written after its other files, by which a run that was stopped
    knows what it has done (:meth:`remaining`).

    Args:
        output_dir: refused when it holds another run's results.
        settings: of the run; they tell runs apart and are written with the results.
        weights: of the generator.
        dicom: writes results as DICOM, too.
    """

    record = ""
    """Name of the file with the lines of each joint."""
    lines_of_a_joint = 1

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        weights: GeneratorWeights,
        dicom: DicomResults | None = None,
    ) -> None:
        self.settings = {"results": type(self).__name__, **settings, "separator": weights.source}
        self.output_dir = claim_output(output_dir, fingerprint(self.settings))
        self.dicom = dicom

    def remaining(self, joints: Sequence[Item]) -> list[Item]:
        """See :func:`remaining`."""
        lines = _lines(self.output_dir / self.record)
        counts = Counter(_written(line) for line in lines)
        done = {joint for joint, count in counts.items() if count == self.lines_of_a_joint}
        wanted = {_written(joint) for joint in joints}
        self._write_lines(self.record, [line for line in lines if _written(line) in done & wanted])
        self._write_lines(REJECTED, getattr(joints, "rejected", []))
        left = [joint for joint in joints if _written(joint) not in done]
        if len(left) < len(joints):
            _log.info(f"{len(joints) - len(left)} of {len(joints)} joints have been done before")
        return left

    def _write_lines(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Replace a file of lines; without any it is taken away."""
        path = self.output_dir / name
        if lines:
            write_bytes(path, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
        else:
            path.unlink(missing_ok=True)

    def attach(self, engine: Engine) -> None:
        """Write each joint as it comes."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Write the joints of a batch."""
        for joint, output in zip(engine.state.batch, engine.state.output, strict=True):
            self.write(joint, output["pred"].detach().cpu())

    def write(self, joint: Mapping[str, Any], layers: Tensor) -> None:
        """Write one joint with its layers (3, H, W)."""
        raise NotImplementedError


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that are whole; none of a file that is not there."""
    found = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def _written(line: Mapping[str, Any]) -> tuple[str, str]:
    """The joint that an item or a line is of, with what tells its files from others."""
    return str(line.get("source", line.get("name"))), str(line.get("digest", ""))


class LayerWriter(_Results):
    """Inference: ``<name>_layers.nii.gz`` (float32, 3 channels), a PNG of each layer and ``<name>_montage.png``.

    ``quality.jsonl`` has a line for each joint: how sure its split is and whether to trust it. Masks that were drawn
    are written too, ``<name>_mask_lower.png`` and ``_upper``, and the frame of a joint in a hand, ``<name>.nii.gz``.

    Args:
        output_dir: as in :class:`_Results`.
        settings: as in :class:`_Results`.
        weights: as in :class:`_Results`.
        quality: judges the joints; without it ``quality.jsonl`` only says which are done.
        dicom: as in :class:`_Results`.
    """

    record = QUALITY

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        weights: GeneratorWeights,
        quality: JointQuality | None = None,
        dicom: DicomResults | None = None,
    ) -> None:
        super().__init__(output_dir, settings, weights, dicom)
        self.quality = quality

    def __call__(self, engine: Any) -> None:
        """Judge and write the joints of a batch."""
        for row, (joint, output) in enumerate(zip(engine.state.batch, engine.state.output, strict=True)):
            line = {"name": str(joint["name"])} if self.quality is None else self.quality(joint, row)
            self.write(joint, output["pred"].detach().cpu(), quality_label(line))
            source = {"masks": joint.get("masks", "given"), "digest": joint.get("digest", "")}
            append_line(self.output_dir / QUALITY, json.dumps({**line, **source}))

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


def remaining(joints: Sequence[Item], writer: _Results) -> list[Item]:
    """The joints of which a writer has no results yet, or whose files have changed since.

    Lines of those that were only begun are taken out of its record. What the audit rejected
    (:class:`bundle.data.joints.Joints`) is listed in ``rejected.jsonl``.
    """
    return writer.remaining(joints)


def run_remaining(evaluator: Any) -> None:
    """Run an evaluator over the joints that are left (:func:`remaining`), if any."""
    if len(evaluator.data_loader):
        evaluator.run()
    else:
        _log.info("nothing is left to do")


def joint_space_changes(
    values: Sequence[float] | None = None, lowest: float = -1.0, highest: float = 1.0, count: int = 0
) -> list[float]:
    """Changes of the joint space width in mm: those given, or else ``count`` evenly spaced ones in a range.

    Raises:
        InputError: there are none, they are not below :data:`LARGEST_CHANGE`, or two differ by less than 0.001 mm.
    """
    try:
        wanted = values or torch.linspace(lowest, highest, max(count, 0), dtype=torch.float64)
        changes = [float(value) for value in wanted]
    except (TypeError, ValueError):
        changes = []
    small = all(abs(change) < LARGEST_CHANGE for change in changes)
    if not changes or lowest > highest or not small or len({_label(change) for change in changes}) < len(changes):
        msg = (
            f"expected a list of changes in mm, or a range from lowest to highest and a count above 0, all below "
            f"{LARGEST_CHANGE} mm and 0.001 mm or more apart, got changes {values}, lowest {lowest}, highest {highest} "
            f"and count {count}"
        )
        raise InputError(msg)
    return changes


def _label(change: float) -> str:
    """A change of the joint space width in the name of a file."""
    return f"jsw{change + 0.0:+.3f}mm"


class SyntheticJointWriter(_Results):
    """Synthesis: shifted radiographs with their masks, and their exact truth as lines of ``truth.jsonl``.

    A line holds ``image``, ``lower``, ``upper`` (files), ``source``, ``joint``, ``finger``, ``side``, ``spacing_mm``,
    ``change_mm``, ``jsw_before_mm``, ``jsw_after_mm`` (measured on the masks), ``narrowing_grade``, ``motion``,
    ``grain_seed``, ``seed``, ``separator`` and the ``digest`` of the source's files. Of a joint in a hand there is also
    the ``hand`` with the changed joint, a 16-bit PNG that differs from the source nowhere else.

    Args:
        output_dir: as in :class:`_Results`.
        settings: as in :class:`_Results`.
        weights: as in :class:`_Results`.
        changes: of the joint space width in mm (:func:`joint_space_changes`).
        upper_share: part of the change that the upper bone makes, in [0, 1].
        seed: of the grain, together with a joint's name and the change.
        dicom: as in :class:`_Results`.

    Raises:
        InputError: ``upper_share`` is out of range, or the output folder is refused.
    """

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        weights: GeneratorWeights,
        changes: Sequence[float],
        upper_share: float = 0.5,
        seed: int = 0,
        dicom: DicomResults | None = None,
    ) -> None:
        if not 0.0 <= upper_share <= 1.0:
            msg = (
                f"expected upper_share, the part of the change that the upper bone makes, in [0, 1], got {upper_share}"
            )
            raise InputError(msg)
        changed = {"changes": list(changes), "upper_share": upper_share}
        super().__init__(output_dir, {**settings, **changed}, weights, dicom)
        self.changes = list(changes)
        self.lines_of_a_joint = len(self.changes)
        self.upper_share = upper_share
        self.seed = seed

    record = "truth.jsonl"

    def write(self, joint: Mapping[str, Any], layers: Tensor) -> None:
        """Write one joint with each change."""
        masks, spacing = joint["image"][1:].cpu(), float(joint["spacing"])
        made = self._synthesize(str(joint["name"]), layers, masks, spacing)
        before = joint_space_width(masks[None], spacing)[0]
        after = joint_space_width(made.masks, spacing)
        hands = self._hands(joint, made)
        for index, change in enumerate(self.changes):
            name = f"{joint['name']}_{_label(change)}"
            files = {**self._write_images(name, made, index), **self._write_hand(name, hands, index)}
            if self.dicom is not None:
                self.dicom.write_synthetic(self.output_dir, name, joint, made, index, hands)
            truth = {"change_mm": change, "jsw_before_mm": _number(before), "jsw_after_mm": _number(after[index])}
            source = {"source": joint["name"], **{key: joint[key] for key in ("joint", "finger", "side")}}
            source["digest"] = joint.get("digest", "")
            line = {**files, **source, **truth, **self._parameters(made, index, spacing)}
            append_line(self.output_dir / self.record, json.dumps(line))

    def _synthesize(self, name: str, layers: Tensor, masks: Tensor, spacing: float) -> SyntheticJoints:
        motion = RigidMotion.widening(torch.tensor(self.changes, dtype=torch.float64), self.upper_share)
        seeds = [zlib.crc32(f"{self.seed} {name} {change:.6f}".encode()) for change in self.changes]
        repeated = [values.expand(len(self.changes), -1, -1, -1) for values in (layers, masks)]
        return synthesize(repeated[0], repeated[1], motion, spacing, seeds)

    def _write_images(self, name: str, made: SyntheticJoints, index: int) -> dict[str, str]:
        write_image(self.output_dir / f"{name}.png", made.image[index])
        write_masks(self.output_dir, name, made.masks[index])
        return {"image": f"{name}.png", "lower": f"{name}_mask_lower.png", "upper": f"{name}_mask_upper.png"}

    def _hands(self, joint: Mapping[str, Any], made: SyntheticJoints) -> list[Tensor]:
        """The hands (1, H, W) with the changed joint; none of a joint that is no part of a hand."""
        if not joint.get("frame"):
            return []
        hand = torch.from_numpy(open_radiograph(joint["file"]).intensity)[None]
        frame, before = JointFrame.from_json(joint["frame"]), joint["image"][:1].cpu()
        return [frame.paste(hand, before, after) for after in made.image]

    def _write_hand(self, name: str, hands: Sequence[Tensor], index: int) -> dict[str, str]:
        if not hands:
            return {}
        write_deep_image(self.output_dir / f"{name}_hand.png", hands[index])
        return {"hand": f"{name}_hand.png"}

    def _parameters(self, made: SyntheticJoints, index: int, spacing: float) -> dict[str, Any]:
        width = joint_space_width(made.masks[index : index + 1], spacing)[0]
        return {
            "narrowing_grade": int(narrowing_grade(width)) if width.isfinite() else None,
            "spacing_mm": spacing,
            "motion": json.loads(made.motion.of(index).to_json()),
            "grain_seed": made.seeds[index],
            "seed": self.seed,
            "separator": self.settings["separator"],
        }


def _number(value: Tensor) -> float | None:
    """A number for JSON; what is not defined is null."""
    return float(value) if value.isfinite() else None


class EvaluationReport:
    """Evaluation: what the measures found, each written as soon as it is done.

    ``metrics.json`` holds the settings and of each measure its hyper-parameters, the number of joints, the figures, the
    means per finger, the command and the machine; ``metrics.md`` the same figures as tables. A folder for each measure
    has ``per_image.csv`` and the plots; ``worst/<measure>/`` has montages of the worst joints.

    Args:
        output_dir: refused when it holds another run's results.
        settings: of the run; they tell runs apart.
        worst: number of joints shown for each measure.
        device: that the separator runs on, for the results.
    """

    def __init__(self, output_dir: str, settings: Mapping[str, Any], worst: int = 10, device: Any = "cpu") -> None:
        self.output_dir = Path(output_dir)
        self.worst = worst
        self.device = device
        self.found: dict[str, Any] = {"settings": {"results": type(self).__name__, **settings}, "measures": {}}

    @property
    def path(self) -> Path:
        """The file of the figures."""
        return self.output_dir / "metrics.json"

    def open(self, separator: str, training: Mapping[str, Any] | None = None) -> None:
        """Claim the output folder and read what was measured there before.

        Args:
            separator: what is measured.
            training: how it was trained (:class:`bundle.handlers.TrainingRecord`), for the results.

        Raises:
            InputError: the folder is another run's, or its ``metrics.json`` cannot be read.
        """
        self.found["settings"]["separator"] = separator
        claim_output(self.output_dir, fingerprint(self.found["settings"]))
        self.found["training"] = training
        if not self.path.is_file():
            return
        try:
            self.found["measures"] = dict(json.loads(self.path.read_bytes())["measures"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"expected the figures of an evaluation, got a file that is damaged ({error}): {self.path}: delete it"
            raise InputError(msg) from error

    def holds(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Whether a measure with these hyper-parameters is in ``metrics.json``."""
        return self.found["measures"].get(name, {}).get("settings") == _plain(settings)

    def add(
        self,
        name: str,
        measured: Measured,
        settings: Mapping[str, Any],
        joints: Mapping[str, SeparatedJoints],
        seconds: float,
    ) -> None:
        """Write the results of a measure, its figures last.

        Args:
            name: of the measure.
            measured: what it found.
            settings: its hyper-parameters.
            joints: that it was called with, by the name of their set.
            seconds: that it took.
        """
        folder = self.output_dir / name
        folder.mkdir(exist_ok=True)
        write_bytes(folder / "per_image.csv", measured.per_image.to_csv(index=False).encode())
        for plot, figure in measured.plots.items():
            _write_plot(folder / f"{plot}.png", figure)
        self._show_worst(name, measured.worst, joints)
        sizes = {key: {"images": len(part), "joints": len(set(part.joints))} for key, part in joints.items()}
        made = {"seconds": round(seconds, 1), "command": command_line(), "machine": machine(self.device)}
        figures = {"figures": measured.figures, "fingers": _fingers(measured.per_image).to_dict("records")}
        self.found["measures"][name] = _plain({"settings": settings, "data": sizes, **figures, **made})
        self._write_tables()

    def show(self, folder: str, joints: SeparatedJoints) -> None:
        """Write a montage of each joint into a folder of the output."""
        for row, item in enumerate(joints.items):
            self._write_montage(f"{folder}/{item['name']}.png", joints, row, str(item["name"]))

    def _show_worst(self, name: str, worst: Sequence[str], joints: Mapping[str, SeparatedJoints]) -> None:
        places = {str(item["name"]): (part, row) for part in joints.values() for row, item in enumerate(part.items)}
        for rank, joint in enumerate(list(dict.fromkeys(worst))[: self.worst], start=1):
            part, row = places[joint]
            self._write_montage(f"worst/{name}/{rank:02d}_{joint}.png", part, row, f"{joint}: {rank}. of {name}")

    def _write_montage(self, file: str, joints: SeparatedJoints, row: int, label: str) -> None:
        path = self.output_dir / file
        path.parent.mkdir(parents=True, exist_ok=True)
        panels = separation_row(joints.images[row], joints.layers[row], float(joints.spacing[row]))
        montage([panels], TITLES, path, [label])

    def _write_tables(self) -> None:
        self.found["measures"] = dict(sorted(self.found["measures"].items()))
        write_bytes(self.path, json.dumps(_plain(self.found), indent=1, allow_nan=False).encode())
        parts = [_tables(name, entry) for name, entry in self.found["measures"].items()]
        write_bytes(self.output_dir / "metrics.md", "\n".join(parts).encode())


def _fingers(images: pd.DataFrame) -> pd.DataFrame:
    """Means of all measured (float) columns per finger and overall (:func:`bundle.metrics.summarize`).

    Where a column of text besides the joint's identity tells kinds of rows apart (a depth, a trial), each kind has its
    own metrics.
    """
    kinds = [column for column in images.select_dtypes("object") if column not in IDENTITY]
    numbers = list(images.select_dtypes("floating"))
    wide = images.groupby([*IDENTITY, *kinds], sort=False)[numbers].mean().unstack(kinds)
    named = {" ".join(map(str, [*key[1:], key[0]] if kinds else [key])): wide[key].to_numpy() for key in wide}
    return summarize(named, wide.index.get_level_values("finger").tolist())


def _tables(name: str, entry: Mapping[str, Any]) -> str:
    """A measure's part of ``metrics.md``."""
    sizes = [f"{key}: {size['images']} images of {size['joints']} joints" for key, size in entry["data"].items()]
    rows = "".join(f"| {key} | {shown_figure(value)} |\n" for key, value in flat_figures(entry["figures"]).items())
    fingers = pd.DataFrame(entry["fingers"]).astype({"mean": float, "std": float})
    table = f"\n{to_markdown(fingers)}" if len(fingers) else ""
    return f"## {name}\n\n{', '.join(sizes)}\n\n| figure | value |\n| --- | ---: |\n{rows}{table}"


def flat_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures by name; those in groups by ``<group> <name>``. Settings among them are left out."""
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            flat |= {f"{name} {key}": part for key, part in flat_figures(value).items() if name != "settings"}
        else:
            flat[name] = value
    return flat


def shown_figure(value: Any, digits: int = 4) -> str:
    """A figure of ``metrics.json`` for a table: a number, an interval, or what else a measure says."""
    if isinstance(value, list):
        return " to ".join(shown_figure(part, digits) for part in value)
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return "not defined" if value is None else str(value)


def _write_plot(path: Path, figure: Figure) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_bytes(path, buffer.getvalue())


def _plain(value: Any) -> Any:
    """The same for JSON: plain numbers, lists and dictionaries; null for NaN, text for infinity."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (np.generic, Tensor)):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if isinstance(value, (bool, int, float, str)) or value is None else str(value)
