"""Whether what a method has found of a pair of radiographs should be trusted, as :mod:`bundle.quality.plausibility`
judges images.
"""

from __future__ import annotations

import math

from bundle.joint import LOWER, UPPER
from bundle.quality import PlausibilityReference, Property, Range, Verdict
from bundle.registration.narrowing import PairReading

PROPERTIES: dict[str, Property] = {
    "likeness": Property("", "the bones of the two radiographs do not look alike where they were found", None, 0.05),
    "turn": Property(" degrees", None, "the hand has turned too far", 1.0),
    "bend": Property(" degrees", None, "the bones have turned too far against each other", 1.0),
    "glide": Property(" mm", None, "the bones have moved too far sideways against each other", 0.2),
    "growth": Property("", None, "a bone differs too much in size", 0.02),
    "change": Property(" mm", None, "the joint space has changed too much", 0.2),
    "against_masks": Property(" mm", None, "the masks say another narrowing", 0.2),
}
"""What is looked at of a registration."""

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
"""What registrations of two radiographs of a joint keep to.

Wider than in 94 pairs of the public training joints, one a joint, in which the network found a likeness of at least
0.54, turns up to 6 and bends up to 12 degrees, glides up to 1.4 mm, growths up to 0.034, changes up to 0.7 mm, and up
to 0.95 mm more or less than the masks say.
"""


def measure_registration(reading: PairReading, masks_jsn: float = math.nan) -> dict[str, float]:
    """Measure :data:`PROPERTIES` of a reading; NaN where a bone was not found.

    Args:
        reading: of a pair.
        masks_jsn: narrowing by the masks of both radiographs in mm; NaN where they have none.
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
    """Whether a reading should be trusted; where a bone was not found it is not.

    Arguments are those of :func:`measure_registration`.
    """
    if not reading.found:
        return Verdict(math.inf, [f"the {bone} bone was not found" for bone in reading.missing])
    return REFERENCE.judge(measure_registration(reading, masks_jsn))
