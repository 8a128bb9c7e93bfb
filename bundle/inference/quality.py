"""Assessment of a separated joint: uncertainty of the separation and plausibility of the input."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from bundle.physics import union
from bundle.quality import (
    SIGNS,
    Calibration,
    FlipInferer,
    PlausibilityReference,
    bone_disagreement,
    measure,
    overlap_signs,
)
from bundle.workflow import GeneratorWeights

_log = logging.getLogger("bundle.inference")


class JointQuality:
    """Assessment of separated joints.

    Args:
        plausibility: path of the ranges of plausible images (:class:`bundle.quality.PlausibilityReference`).
        uncertainty: path of the calibration (:class:`bundle.quality.Calibration`).
        inferer: inferer of the separation; without flipping no uncertainty is estimated.
        weights: weights of the generator; expected errors are given only for the calibrated ones.

    Raises:
        InputError: a file cannot be read.
    """

    def __init__(self, plausibility: str, uncertainty: str, inferer: FlipInferer, weights: GeneratorWeights) -> None:
        self.inferer = inferer
        self.reference = PlausibilityReference.read(plausibility)
        calibration = Calibration.read(uncertainty)
        known = calibration.separator == weights.source
        self.calibration = calibration if known else None
        if inferer.flips and not known:
            _log.warning(
                f"Expected errors are calibrated for {calibration.separator}, not for {weights.source}: only the "
                "disagreement is given. Run configs/jobs/calibrate.yaml."
            )

    def __call__(self, joint: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        """Assess a joint, for ``quality.jsonl``.

        Args:
            joint: item with ``image`` (3, H, W), ``name``, ``joint`` and ``spacing``.
            output: output with ``answer``, the layers (3, H, W) before postprocessing, and, if the mirror image was
                separated as well, ``deviation`` (:func:`bundle.inference.separate_batch`).

        Returns:
            ``name, joint, plausibility_score`` (usually at most 1), ``flagged``, ``reasons``, and in intensity, null
            where unknown: ``expected_overlap_rmse`` of the bones in their overlap, ``overlap_rmse_upper``, which 9 of
            10 joints do not exceed, ``bone_disagreement``, the standard deviation of the two predictions, and the
            predictors of the error (:func:`bundle.quality.overlap_signs`): ``overlap_disagreement``,
            ``overlap_bone_intensity`` and ``overlap_area_mm2``; and how the layers were computed: ``runtime``,
            ``precision``, ``flips`` (:meth:`bundle.quality.FlipInferer.described`).
        """
        verdict = self.reference.judge(measure(joint["image"].cpu(), float(joint["spacing"])))
        if verdict.flagged:
            _log.warning(f"{joint['name']} is implausible: {'; '.join(verdict.reasons)}")
        identity = {"name": str(joint["name"]), "joint": str(joint["joint"])}
        return {**identity, **verdict.described(), **self._uncertainty(joint, output), **self.inferer.described()}

    def _uncertainty(self, joint: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, float | None]:
        errors = dict.fromkeys(("expected_overlap_rmse", "overlap_rmse_upper"), math.nan)
        if output.get("deviation") is None:
            return dict.fromkeys((*errors, "bone_disagreement", *SIGNS))
        layers, deviation = (output[key][None].detach().cpu() for key in ("answer", "deviation"))
        masks = joint["image"][None, 1:].cpu()
        found = overlap_signs(layers, deviation, masks, float(joint["spacing"]))
        signs = {name: float(value) for name, value in found.items()}
        if self.calibration is not None:
            expected, upper = self.calibration.expected(signs), self.calibration.upper(signs)
            errors = {"expected_overlap_rmse": float(expected), "overlap_rmse_upper": float(upper)}
        values = {**errors, "bone_disagreement": float(bone_disagreement(deviation, union(masks))), **signs}
        return {name: round(value, 5) if math.isfinite(value) else None for name, value in values.items()}


def quality_label(line: Mapping[str, Any]) -> str:
    """Return the montage label of a joint: its name and, if assessed, its expected error and plausibility."""
    if "flagged" not in line:
        return str(line["name"])
    expected = line["expected_overlap_rmse"]
    error = "" if expected is None else f", expected error in the overlap {expected:.3f}"
    flag = f", IMPLAUSIBLE: {'; '.join(line['reasons'])}" if line["flagged"] else ""
    return f"{line['name']}{error}{flag}"
