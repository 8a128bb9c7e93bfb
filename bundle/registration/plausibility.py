"""Plausibility of the registration of a pair of radiographs, judged as :mod:`bundle.quality.plausibility` judges
images.
"""

from __future__ import annotations

import math

from bundle.joint import LOWER, UPPER
from bundle.quality import PlausibilityReference, Property, Range, Verdict
from bundle.registration.narrowing import PairReading

PROPERTIES: dict[str, Property] = {
    "likeness": Property("", "the bones of the two radiographs differ after alignment", None, 0.05),
    "turn": Property(" degrees", None, "the hand has rotated too far", 1.0),
    "bend": Property(" degrees", None, "the bones have rotated too far relative to each other", 1.0),
    "glide": Property(" mm", None, "the bones have moved too far sideways relative to each other", 0.2),
    "growth": Property("", None, "the size of a bone differs too much", 0.02),
    "change": Property(" mm", None, "the joint space has changed too much", 0.2),
    "against_masks": Property(" mm", None, "the masks give another narrowing", 0.2),
}
"""Measured properties of a registration."""

_NONE = -math.inf

REFERENCE = PlausibilityReference(
    {
        "likeness": Range(0.85, 0.4, 1.0),
        "turn": Range(0.0, _NONE, 12.0),
        "bend": Range(0.0, _NONE, 20.0),
        "glide": Range(0.0, _NONE, 2.5),
        "growth": Range(0.0, _NONE, 0.1),
        "change": Range(0.0, _NONE, 2.0),
        "against_masks": Range(0.0, _NONE, 1.5),
    },
    {"datalist": "LS_K1_all_train"},
    PROPERTIES,
)
"""Plausible ranges of the registration of two radiographs of a joint.

They include what the network found in 94 pairs of the public training joints, one per joint: likeness of at least 0.54,
turn up to 6 and bend up to 12 degrees, glide up to 1.4 mm, growth up to 0.034, change up to 0.7 mm, and difference to
the masks up to 0.95 mm.
"""


def measure_registration(reading: PairReading, masks_jsn: float = math.nan) -> dict[str, float]:
    """Measure :data:`PROPERTIES` of a registration; NaN if a bone was not found.

    Args:
        reading: measurement of a pair.
        masks_jsn: narrowing by the masks of both radiographs in mm; NaN without masks.
    """
    scale, degrees, x, _ = reading.bones.parameters()[0].double().unbind(-1)
    return {
        "likeness": reading.likeness,
        "turn": abs(float(degrees.mean())),
        "bend": abs(float(degrees[LOWER] - degrees[UPPER])),
        "glide": abs(float(x[LOWER] - x[UPPER])),
        "growth": float(scale.log().abs().max()),
        "change": abs(reading.jsn_mm),
        "against_masks": abs(reading.jsn_mm - masks_jsn),
    }


def judge_registration(reading: PairReading, masks_jsn: float = math.nan) -> Verdict:
    """Judge the plausibility of a registration; without both bones it is implausible.

    For the arguments see :func:`measure_registration`.
    """
    if not reading.found:
        return Verdict(math.inf, [f"the {bone} bone was not found" for bone in reading.missing])
    return REFERENCE.judge(measure_registration(reading, masks_jsn))
