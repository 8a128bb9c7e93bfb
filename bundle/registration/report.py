"""Results of methods that measure joint space narrowing: their measurements and their accuracy."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bundle.errors import InputError
from bundle.io import (
    METRICS,
    append_line,
    command_line,
    fingerprint,
    machine,
    reserve_output,
    write_bytes,
    write_figures,
    write_measured,
)
from bundle.measurement import VERTICAL, DetectableChange
from bundle.quality import PlausibilityReference, measure
from bundle.registration.agreement import narrowing_of_real_pairs, narrowing_of_synthetic_pairs
from bundle.registration.alignment import FrameMotion, warp
from bundle.registration.method import Registration
from bundle.registration.narrowing import PairReading, read_pair
from bundle.registration.plausibility import judge_registration
from bundle.statistics import Measured
from bundle.workflow import NetworkWeights
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

NARROWING = "narrowing.jsonl"
"""File with a line per measured pair."""

_NAMES = ("name", "joint", "finger", "side")
Row = dict[str, Any]
_log = logging.getLogger("bundle.registration")


class NarrowingWriter:
    """Writer of the narrowing of each pair of radiographs as a line of ``narrowing.jsonl``.

    A line has the names and

    - ``jsn_mm``, positive if the moving radiograph is narrower; null if a bone was not found;
    - ``lower`` and ``upper``: scale, rotation in degrees and translation in mm of each bone, about the middle of its
      edge that faces the joint;
    - ``registration_mse`` of the raw intensities;
    - ``method``, and ``refined``: whether a fit at full resolution has refined the network's result;
    - ``plausible`` and ``plausibility``, the assessment of both radiographs and of the registration
      (:class:`bundle.registration.PairQuality`);
    - ``smallest_detectable_change_mm`` of the finger, and ``exceeds``: whether ``jsn_mm`` exceeds it.

    Args:
        output_dir: output folder; refused if it holds the results of another run.
        settings: settings of the run.
        registration: registration method.
        weights: weights of its network; ignored if it has none.
        quality: assessment of the pairs.
    """

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        registration: Registration,
        weights: NetworkWeights,
        quality: PairQuality,
    ) -> None:
        settings = {**settings, "method": registration.name}
        if getattr(registration, "network", None) is not None:
            weights.load()
            settings["weights"] = weights.source
        self.output_dir, self.settings = Path(output_dir), dict(settings)
        self.registration, self.quality = registration, quality

    def reserve(self) -> None:
        """Reserve the folder when the run starts."""
        reserve_output(self.output_dir, fingerprint({"results": type(self).__name__, **self.settings}))

    def write(self, pairs: Dataset[dict[str, Any]]) -> None:
        """Measure and write all pairs.

        Raises:
            InputError: no pair could be measured; the file states the reasons.
        """
        self.reserve()
        write_bytes(self.output_dir / NARROWING, b"")
        measured = [self._write(pair) for pair in _each(pairs, "measuring pairs")]
        if not any(measured):
            msg = (
                f"{self.output_dir / NARROWING}: the bones of no pair were found in both radiographs. Check the "
                "reasons there, and the masks; --method gauss_newton or --method network may find them."
            )
            raise InputError(msg)

    def _write(self, pair: Mapping[str, Any]) -> bool:
        """Measure a pair and write its line; return whether its bones were found."""
        reading = read_pair(self.registration, pair["image"], pair["moving"], float(pair["spacing"]))
        quality = self.quality(pair, reading)
        if not quality["plausible"]:
            _log.warning(f"{pair['name']} is implausible: {_reasons(quality['plausibility'])}")
        names = (*_NAMES, "fixed_name", "moving_name")
        line = {**{name: str(pair[name]) for name in names}, **_described(reading), **quality}
        append_line(self.output_dir / NARROWING, json.dumps(line))
        return reading.found


def _reasons(plausibility: Mapping[str, Mapping[str, Any]]) -> str:
    """Join the reasons of a pair in a line."""
    return "; ".join(f"{part}: {reason}" for part, verdict in plausibility.items() for reason in verdict["reasons"])


def _each(pairs: Dataset[dict[str, Any]], what: str) -> Iterable[dict[str, Any]]:
    count = len(pairs)  # type: ignore[arg-type]
    return (pairs[row] for row in tqdm(range(count), desc=what, unit="pair", mininterval=0.5))


def _described(reading: PairReading) -> Row:
    """Describe a reading for JSON."""
    how = _how(reading)
    if not reading.found:
        return {"jsn_mm": None, "lower": None, "upper": None, "registration_mse": None, **how}
    bones = dict(zip(("lower", "upper"), reading.bones.parameters()[0].tolist(), strict=True))
    moved = {
        bone: {"scale": scale, "rotation_degrees": degrees, "x_mm": x, "y_mm": y}
        for bone, (scale, degrees, x, y) in bones.items()
    }
    return {"jsn_mm": reading.jsn_mm, **moved, "registration_mse": reading.mse, **how}


def _how(reading: PairReading) -> Row:
    return {"method": reading.method, "refined": reading.refined}


class NarrowingReport(NarrowingWriter):
    """Writer of the accuracy of a method: ``metrics.json``, ``per_pair.csv`` and Bland-Altman plots.

    Args:
        output_dir: see :class:`NarrowingWriter`.
        settings: see :class:`NarrowingWriter`.
        registration: see :class:`NarrowingWriter`.
        weights: see :class:`NarrowingWriter`.
        quality: see :class:`NarrowingWriter`.
        repeats: repeats of each real pair, with both radiographs slightly repositioned.
        frame: range of that repositioning.
        placed: repositioning of the moving frames of synthetic pairs: neither bone keeps its place.
        seed: random seed of all motions and of the intervals.
        samples: number of bootstrap samples of the intervals.
    """

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        registration: Registration,
        weights: NetworkWeights,
        quality: PairQuality,
        repeats: int = 6,
        frame: FrameMotion | None = None,
        placed: FrameMotion | None = None,
        seed: int = 0,
        samples: int = 1000,
    ) -> None:
        self.frame, self.placed = frame or FrameMotion(), placed or FrameMotion(translation_mm=1.0, rotation_deg=3.0)
        motions = {"frame": vars(self.frame), "placed": vars(self.placed), "repeats": repeats, "frame_seed": seed}
        super().__init__(output_dir, {**settings, **motions}, registration, weights, quality)
        self.repeats, self.seed, self.samples = repeats, seed, samples

    def measure(self, real: Dataset[dict[str, Any]], synthetic: Dataset[dict[str, Any]]) -> None:
        """Measure the pairs and write the figures."""
        self.reserve()
        found = {
            "real": narrowing_of_real_pairs(self._real(real), samples=self.samples, seed=self.seed),
            "synthetic": narrowing_of_synthetic_pairs(self._synthetic(synthetic), samples=self.samples, seed=self.seed),
        }
        tables = [measured.per_image.assign(pairs=kind) for kind, measured in found.items()]
        plots = {name: figure for measured in found.values() for name, figure in measured.plots.items()}
        write_measured(self.output_dir, "per_pair.csv", pd.concat(tables), plots)
        write_figures(self.output_dir / METRICS, self._whole(found))

    def _whole(self, found: Mapping[str, Measured]) -> Row:
        figures = {kind: {**measured.figures, "worst": measured.worst[:10]} for kind, measured in found.items()}
        widths = {"masks_jsn_mm": f"difference of the {VERTICAL}"}
        return {
            "settings": self.settings,
            "definitions": widths,
            "figures": figures,
            "command": command_line(),
            "machine": machine("cpu"),
        }

    def _real(self, pairs: Dataset[dict[str, Any]]) -> pd.DataFrame:
        random = np.random.RandomState(self.seed)
        rows: list[Row] = []
        for pair in _each(pairs, "measuring real pairs"):
            known = {"masks_jsn_mm": float(pair["masks_jsn"])}
            names = {name: str(pair[name]) for name in ("fixed_name", "moving_name")}
            frames = [pair, *(_placed(pair, self.frame, random) for _ in range(self.repeats))]
            rows += [{**self._row(placed), **names, **known, "repeat": row} for row, placed in enumerate(frames)]
        return pd.DataFrame(rows)

    def _synthetic(self, pairs: Dataset[dict[str, Any]]) -> pd.DataFrame:
        random = np.random.RandomState(self.seed)
        rows = []
        for pair in _each(pairs, "measuring synthetic pairs"):
            placed = {**pair, "moving": _moved(pair["moving"], pair["spacing"], self.placed, random)}
            rows.append({**self._row(placed), "true_jsn_mm": float(pair["jsn"])})
        return pd.DataFrame(rows)

    def _row(self, pair: Mapping[str, Any]) -> Row:
        reading = read_pair(self.registration, pair["image"], pair["moving"], float(pair["spacing"]))
        names = {name: str(pair[name]) for name in _NAMES}
        plausible = self.quality(pair, reading)["plausible"]
        return {**names, "jsn_mm": reading.jsn_mm, "mse": reading.mse, **_how(reading), "plausible": plausible}


def _placed(pair: Mapping[str, Any], frame: FrameMotion, random: np.random.RandomState) -> Row:
    """Reposition both radiographs of a pair."""
    return {**pair, **{key: _moved(pair[key], pair["spacing"], frame, random) for key in ("image", "moving")}}


def _moved(image: Tensor, spacing: Tensor, frame: FrameMotion, random: np.random.RandomState) -> Tensor:
    """Move the frame of a radiograph with its masks, (3, H, W)."""
    motion = frame.sample(1, random).inverse()
    shown, masks = (
        warp(image[None, part], motion, spacing, mode)[0]
        for part, mode in ((slice(0, 1), "bicubic"), (slice(1, None), "bilinear"))
    )
    return torch.cat([shown.clamp(0.0, 1.0), masks])


class PairQuality:
    """Assessment of pairs of radiographs and of their registration.

    Args:
        plausibility: path of the ranges of plausible images (:class:`bundle.quality.PlausibilityReference`).
        detectable: path of the smallest detectable changes (:class:`bundle.measurement.DetectableChange`).

    Raises:
        InputError: a file cannot be read.
    """

    def __init__(self, plausibility: str, detectable: str) -> None:
        self.reference = PlausibilityReference.read(plausibility)
        self.detectable = DetectableChange.read(detectable)

    def __call__(self, pair: Mapping[str, Any], reading: PairReading) -> dict[str, Any]:
        """Assess a pair (:class:`bundle.registration.RadiographPairs`) and its registration.

        Returns:
            ``plausible``: whether nothing is flagged, and ``plausibility``: the ``plausibility_score``, ``flagged`` and
            ``reasons`` of the ``fixed`` and the ``moving`` radiograph and of the ``registration``;
            ``smallest_detectable_change_mm`` and ``exceeds``, None if a bone was not found.
        """
        spacing = float(pair["spacing"])
        radiographs = {"fixed": pair["image"], "moving": pair["moving"]}
        verdicts = {name: self.reference.judge(measure(image.cpu(), spacing)) for name, image in radiographs.items()}
        verdicts["registration"] = judge_registration(reading, float(pair["masks_jsn"]))
        plausibility = {name: verdict.described() for name, verdict in verdicts.items()}
        plausible = not any(verdict.flagged for verdict in verdicts.values())
        limit = round(self.detectable.of(str(pair["finger"])), 3)
        exceeds = replace(reading, smallest_detectable_change_mm=limit).exceeds
        change = {"smallest_detectable_change_mm": limit, "exceeds": exceeds}
        return {"plausible": plausible, "plausibility": plausibility, **change}
