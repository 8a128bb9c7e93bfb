"""What inference says of each joint besides its layers: how sure the split is, and whether to trust it."""

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
    """Judges joints that were separated.

    Args:
        plausibility: file of the ranges of trusted images (:class:`bundle.quality.PlausibilityReference`).
        uncertainty: file of the calibration (:class:`bundle.quality.Calibration`).
        inferer: that separates them; without answers to mirror images nothing is said of uncertainty.
        weights: of the generator; for others than those calibrated no expected error is given.

    Raises:
        InputError: a file cannot be read.
    """

    def __init__(self, plausibility: str, uncertainty: str, inferer: FlipInferer, weights: GeneratorWeights) -> None:
        self.reference = PlausibilityReference.read(plausibility)
        calibration = Calibration.read(uncertainty)
        known = calibration.separator == weights.source
        self.calibration = calibration if known else None
        if inferer.flips and not known:
            _log.warning(
                f"Expected errors are known for {calibration.separator}, not for {weights.source}: only its "
                "disagreement is given; calibrate it by configs/jobs/calibrate.yaml"
            )

    def __call__(self, joint: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        """What there is to say of a joint, for ``quality.jsonl``.

        Args:
            joint: with ``image`` (3, H, W), ``name``, ``joint`` and ``spacing``.
            output: with ``answer``, its layers (3, H, W) before any postprocessing, and where the mirror image was
                separated, too, ``deviation`` (:func:`bundle.inference.separate_batch`).

        Returns:
            ``name, joint, plausibility_score`` (up to 1 is usual), ``flagged``, ``reasons``, and in intensity, null
            where they are not known: ``expected_overlap_rmse`` of the bones where they overlap,
            ``overlap_rmse_upper``, which 9 of 10 joints do not exceed, ``bone_disagreement``, the standard deviation of
            the two answers, and what the error is expected from (:func:`bundle.quality.overlap_signs`):
            ``overlap_disagreement``, ``overlap_bone_intensity`` and ``overlap_area_mm2``.
        """
        verdict = self.reference.judge(measure(joint["image"].cpu(), float(joint["spacing"])))
        if verdict.flagged:
            _log.warning(f"{joint['name']} should not be trusted: {'; '.join(verdict.reasons)}")
        identity = {"name": str(joint["name"]), "joint": str(joint["joint"])}
        return {**identity, **verdict.described(), **self._uncertainty(joint, output)}

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
    """A joint's name with what :class:`JointQuality` says of it, if anything, in a line for its montage."""
    if "flagged" not in line:
        return str(line["name"])
    expected = line["expected_overlap_rmse"]
    error = "" if expected is None else f", expected error in the overlap {expected:.3f}"
    flag = f", NOT TRUSTED: {'; '.join(line['reasons'])}" if line["flagged"] else ""
    return f"{line['name']}{error}{flag}"
