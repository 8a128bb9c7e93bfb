"""What inference, evaluation and synthesis leave on disk."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ignite.engine import Engine, Events
from monai.data.utils import list_data_collate
from torch import Tensor

from bundle.data.montage import TITLES, montage
from bundle.data.writing import (
    append_line,
    claim_output,
    fingerprint,
    write_bytes,
    write_image,
    write_layer_images,
    write_layers,
    write_masks,
)
from bundle.errors import InputError, flag
from bundle.handlers.checkpoints import GeneratorWeights
from bundle.handlers.logging import separation_row
from bundle.jsw import joint_space_width, narrowing_grade
from bundle.metrics import summarize, to_markdown
from bundle.motion import RigidMotion
from bundle.synthesis import SyntheticJoints, synthesize

LARGEST_CHANGE = 10.0
"""Changes of the joint space width are below this, in mm: half the public frame."""


class _Results:
    """Base of the handlers that write: claims its output folder when it is built.

    Args:
        output_dir: refused when it holds another run's results.
        settings: of the run; they tell runs apart and are written with the results.
        weights: of the generator.
    """

    def __init__(self, output_dir: str, settings: Mapping[str, Any], weights: GeneratorWeights) -> None:
        self.settings = {"results": type(self).__name__, **settings, "separator": weights.source}
        self.output_dir = claim_output(output_dir, fingerprint(self.settings))

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


class LayerWriter(_Results):
    """Inference: ``<name>_layers.nii.gz`` (float32, 3 channels), a PNG of each layer and ``<name>_montage.png``.

    Arguments as in :class:`_Results`.
    """

    def write(self, joint: Mapping[str, Any], layers: Tensor) -> None:
        """Write one joint with its layers (3, H, W)."""
        name, spacing = str(joint["name"]), float(joint["spacing"])
        write_layers(self.output_dir / f"{name}_layers.nii.gz", layers, spacing)
        write_layer_images(self.output_dir, name, layers)
        row = separation_row(joint["image"], layers, spacing)
        montage([row], TITLES, self.output_dir / f"{name}_montage.png", [name])


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
    ``grain_seed``, ``seed`` and ``separator``.

    Args:
        output_dir: as in :class:`_Results`.
        settings: as in :class:`_Results`.
        weights: as in :class:`_Results`.
        changes: of the joint space width in mm (:func:`joint_space_changes`).
        upper_share: part of the change that the upper bone makes, in [0, 1].
        seed: of the grain, together with a joint's name and the change.

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
    ) -> None:
        if not 0.0 <= upper_share <= 1.0:
            msg = (
                f"expected upper_share, the part of the change that the upper bone makes, in [0, 1], got {upper_share}"
            )
            raise InputError(msg)
        super().__init__(output_dir, {**settings, "changes": list(changes), "upper_share": upper_share}, weights)
        self.changes = list(changes)
        self.upper_share = upper_share
        self.seed = seed

    @property
    def truth(self) -> Path:
        """The file of the truth."""
        return self.output_dir / "truth.jsonl"

    def attach(self, engine: Engine) -> None:
        """Begin a new list of truth when the engine starts."""
        engine.add_event_handler(Events.STARTED, lambda _: write_bytes(self.truth, b""))
        super().attach(engine)

    def write(self, joint: Mapping[str, Any], layers: Tensor) -> None:
        """Write one joint with each change."""
        masks, spacing = joint["image"][1:].cpu(), float(joint["spacing"])
        made = self._synthesize(str(joint["name"]), layers, masks, spacing)
        before = joint_space_width(masks[None], spacing)[0]
        after = joint_space_width(made.masks, spacing)
        for index, change in enumerate(self.changes):
            files = self._write_images(f"{joint['name']}_{_label(change)}", made, index)
            truth = {"change_mm": change, "jsw_before_mm": _number(before), "jsw_after_mm": _number(after[index])}
            source = {"source": joint["name"], **{key: joint[key] for key in ("joint", "finger", "side")}}
            append_line(self.truth, json.dumps({**files, **source, **truth, **self._parameters(made, index, spacing)}))

    def _synthesize(self, name: str, layers: Tensor, masks: Tensor, spacing: float) -> SyntheticJoints:
        motion = RigidMotion.widening(torch.tensor(self.changes, dtype=torch.float64), self.upper_share)
        seeds = [zlib.crc32(f"{self.seed} {name} {change:.6f}".encode()) for change in self.changes]
        repeated = [values.expand(len(self.changes), -1, -1, -1) for values in (layers, masks)]
        return synthesize(repeated[0], repeated[1], motion, spacing, seeds)

    def _write_images(self, name: str, made: SyntheticJoints, index: int) -> dict[str, str]:
        write_image(self.output_dir / f"{name}.png", made.image[index])
        write_masks(self.output_dir, name, made.masks[index])
        return {"image": f"{name}.png", "lower": f"{name}_mask_lower.png", "upper": f"{name}_mask_upper.png"}

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


class EvaluationReport(_Results):
    """Evaluation: ``metrics.json``, ``metrics.csv`` and ``metrics.md`` per finger and overall, ``per_image.csv``, and
    montages of the worst joints in ``worst/``.

    The metrics are those of the evaluator whose :class:`monai.handlers.IgniteMetricHandler` saves its details.

    Args:
        output_dir: as in :class:`_Results`.
        settings: as in :class:`_Results`.
        weights: as in :class:`_Results`.
        rank_by: metric by which the joints are ranked.
        lowest_is_worst: whether a low value of it is bad; true or false as text is understood.
        worst: number of joints shown.
    """

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        weights: GeneratorWeights,
        rank_by: str,
        lowest_is_worst: bool | str = True,
        worst: int = 10,
    ) -> None:
        super().__init__(output_dir, settings, weights)
        self.rank_by = rank_by
        self.lowest_is_worst = flag(lowest_is_worst)
        self.worst = worst
        self.joints: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Note each joint as it comes, report at the end."""
        super().attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.report)

    def write(self, joint: Mapping[str, Any], layers: Tensor) -> None:
        """Note one joint."""
        self.joints.append({key: joint[key] for key in ("name", "joint", "finger", "side")})

    def report(self, engine: Any) -> None:
        """Write the tables and the montages.

        Raises:
            InputError: there is no metric to rank by.
        """
        values = {name: details.reshape(-1).cpu() for name, details in engine.state.metric_details.items()}
        images = pd.concat([pd.DataFrame(self.joints), pd.DataFrame(values)], axis=1)
        self._write_tables(images, summarize(values, [joint["finger"] for joint in self.joints]))
        if self.rank_by not in values:
            msg = f"expected rank_by to be one of {', '.join(values)}, got {self.rank_by}"
            raise InputError(msg)
        ranked = images[self.rank_by].sort_values(ascending=self.lowest_is_worst).index[: self.worst]
        for rank, index in enumerate(ranked, start=1):
            self._write_montage(engine, rank, int(index), float(images[self.rank_by][index]))

    def _write_tables(self, images: pd.DataFrame, table: pd.DataFrame) -> None:
        report = {
            "settings": self.settings,
            "images": len(images),
            "summary": json.loads(table.to_json(orient="records")),
        }
        write_bytes(self.output_dir / "metrics.json", json.dumps(report, indent=2).encode())
        write_bytes(self.output_dir / "metrics.csv", table.to_csv(index=False).encode())
        write_bytes(self.output_dir / "metrics.md", to_markdown(table).encode())
        write_bytes(self.output_dir / "per_image.csv", images.to_csv(index=False).encode())

    def _write_montage(self, engine: Any, rank: int, index: int, value: float) -> None:
        """Separate a joint once more and show it; the layers of all joints would not fit into memory."""
        joint = list_data_collate([engine.data_loader.dataset[index]])
        with torch.no_grad():
            layers = engine.network(joint["image"].to(engine.state.device))[0].cpu()
        folder = self.output_dir / "worst"
        folder.mkdir(exist_ok=True)
        name = joint["name"][0]
        row = separation_row(joint["image"][0], layers, float(joint["spacing"]))
        montage([row], TITLES, folder / f"{rank:02d}_{name}.png", [f"{name}: {self.rank_by} {value:.6g}"])
