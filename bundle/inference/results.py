"""What inference, evaluation and synthesis leave on disk."""

from __future__ import annotations

import io
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from torch import Tensor

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
    command_line,
    fingerprint,
    machine,
    montage,
    private_setting,
    resampling,
    sums_of,
    write_bytes,
    write_layer_images,
    write_layers,
    write_masks,
)
from bundle.separation import IDENTITY, separation_row
from bundle.statistics import Measured, SeparatedJoints, summarize, to_markdown
from bundle.workflow import GeneratorWeights

if TYPE_CHECKING:
    from bundle.inference.dicom_results import DicomResults

REJECTED = "rejected.jsonl"
"""Names of joints and hands that could not be used, with the reasons."""
QUALITY = "quality.jsonl"
"""What inference says of each joint besides its layers (:class:`bundle.inference.JointQuality`)."""

METRICS = "metrics.json"
"""The figures of an evaluation."""

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
    for line in path.read_bytes().splitlines() if path.is_file() else []:
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
        return self.output_dir / METRICS

    def open(self, separator: str, training: Mapping[str, Any] | None = None) -> None:
        """Claim the output folder and read what was measured there before.

        Args:
            separator: what is measured.
            training: how it was trained (:class:`bundle.workflow.TrainingRecord`), for the results.

        Raises:
            InputError: the folder is another run's, or its ``metrics.json`` cannot be read.
        """
        self.found["settings"]["separator"] = separator
        claim_output(self.output_dir, fingerprint(self.found["settings"]))
        self.found["training"] = training
        if not self.path.is_file():
            return
        try:
            self.found["measures"] = dict(parse_json(self.path.read_bytes())["measures"])
            for entry in self.found["measures"].values():
                _tables("", entry)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            msg = f"expected the figures of an evaluation, got a file that is damaged ({error}): {self.path}: delete it"
            raise InputError(msg) from error

    def holds(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Whether a measure with these hyper-parameters is in ``metrics.json``, and its files are as it states."""
        known = self.found["measures"].get(name, {})
        whole = "files" not in known or are_whole(self.output_dir, known["files"])
        return known.get("settings") == plain(settings) and whole

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
        written = write_measured(folder, "per_image.csv", measured.per_image, measured.plots)
        shown = self._show_worst(name, measured.worst, joints)
        sizes = {key: {"images": len(part), "joints": len(set(part.joints))} for key, part in joints.items()}
        made = {"seconds": round(seconds, 1), "command": command_line(), "machine": machine(self.device)}
        figures = {"figures": measured.figures, "fingers": _fingers(measured.per_image).to_dict("records")}
        files = sums_of(self.output_dir, [*written, *shown])
        self.found["measures"][name] = plain({"settings": settings, "data": sizes, **figures, **made, "files": files})
        self._write_tables()

    def show(self, folder: str, joints: SeparatedJoints) -> None:
        """Write a montage of each joint into a folder of the output."""
        for row, item in enumerate(joints.items):
            self._write_montage(f"{folder}/{item['name']}.png", joints, row, str(item["name"]))

    def _show_worst(self, name: str, worst: Sequence[str], joints: Mapping[str, SeparatedJoints]) -> list[Path]:
        places = {str(item["name"]): (part, row) for part in joints.values() for row, item in enumerate(part.items)}
        shown = []
        for rank, joint in enumerate(list(dict.fromkeys(worst))[: self.worst], start=1):
            part, row = places[joint]
            file = f"worst/{name}/{rank:02d}_{joint}.png"
            shown.append(self._write_montage(file, part, row, f"{joint}: {rank}. of {name}"))
        return shown

    def _write_montage(self, file: str, joints: SeparatedJoints, row: int, label: str) -> Path:
        path = self.output_dir / file
        path.parent.mkdir(parents=True, exist_ok=True)
        panels = separation_row(joints.images[row], joints.layers[row], float(joints.spacing[row]))
        montage([panels], TITLES, path, [label])
        return path

    def _write_tables(self) -> None:
        self.found["measures"] = dict(sorted(self.found["measures"].items()))
        write_figures(self.path, self.found)
        parts = [_tables(name, entry) for name, entry in self.found["measures"].items()]
        write_bytes(self.output_dir / "metrics.md", "\n".join(parts).encode())


def _fingers(images: pd.DataFrame) -> pd.DataFrame:
    """Means of all measured (float) columns per finger and overall (:func:`bundle.statistics.summarize`).

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


def file_stem(label: str) -> str:
    """A label as the stem of a file's name: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def write_measured(folder: Path, table: str, rows: pd.DataFrame, plots: Mapping[str, Figure]) -> list[Path]:
    """Write the rows of a measure as a CSV file of that name, and its plots as PNG files; gives their paths."""
    write_bytes(folder / table, rows.to_csv(index=False).encode())
    drawn = {folder / f"{name}.png": figure for name, figure in plots.items()}
    for path, figure in drawn.items():
        write_plot(path, figure)
    return [folder / table, *drawn]


def write_figures(path: Path, found: Mapping[str, Any]) -> None:
    """Write what an evaluation or an experiment found as JSON, settings as they may be told."""
    write_bytes(path, json.dumps(private_setting("", plain(found)), indent=1, allow_nan=False).encode())


def write_plot(path: Path, figure: Figure) -> None:
    """Write a figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_bytes(path, buffer.getvalue())


def plain(value: Any) -> Any:
    """The same for JSON: plain numbers, lists and dictionaries; null for NaN, text for infinity."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (np.generic, Tensor)):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if isinstance(value, (bool, int, float, str)) or value is None else str(value)
