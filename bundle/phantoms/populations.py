"""Populations of phantoms by joint type: parameter means, and frequencies of other bones in the frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bundle.joint import MCP, PIP, JointType

Means = Mapping[str, Mapping[str, float]]
"""Parameter means by group (``upper``, ``lower``, ``soft``, ``posture``, ``detector``) and name."""


@dataclass(frozen=True)
class Population:
    """The population of joints of one type from which phantoms are sampled.

    Attributes:
        common: means for all fingers; default: those of the parameter classes.
        fingers: means by finger, which override the common ones.
        seen: probability of a neighbouring bone and of a sesamoid in the frame, by finger.
    """

    common: Means
    fingers: Mapping[str, Means]
    seen: Mapping[str, Mapping[str, float]]

    def means(self, finger: str) -> dict[str, dict[str, float]]:
        """Return the means of a finger by group and name."""
        given = self.fingers[finger]
        return {group: {**self.common.get(group, {}), **given.get(group, {})} for group in {**self.common, **given}}


_MCP_FINGERS: dict[str, Means] = {
    "small": {
        "upper": {"width": 12.9, "shaft": 0.54, "spongy": 0.12, "cortex": 1.05, "band": 0.65},
        "lower": {"width": 13.0, "height": 8.4, "neck": 0.86, "head": 0.34, "body": 0.06},
        "soft": {"attenuation": 0.325, "right": 10.6, "right_slant": 0.18},
    },
    "ring": {
        "upper": {"width": 13.6, "shaft": 0.6, "spongy": 0.16, "cortex": 1.15, "band": 0.62},
        "lower": {"width": 13.0, "height": 7.4, "neck": 0.94, "head": 0.38, "body": 0.07},
        "soft": {"attenuation": 0.34},
    },
    "middle": {
        "upper": {"width": 14.7, "shaft": 0.635, "spongy": 0.16, "cortex": 1.9, "band": 0.92},
        "lower": {"width": 15.3, "height": 8.6, "neck": 0.98, "head": 0.46},
        "soft": {"attenuation": 0.36},
    },
    "index": {
        "upper": {"width": 15.0, "shaft": 0.63, "spongy": 0.24, "cortex": 1.6, "band": 0.85},
        "lower": {"width": 15.4, "height": 9.2, "neck": 0.98, "head": 0.54},
        "soft": {"attenuation": 0.35},
    },
    "thumb": {
        "upper": {"width": 14.0, "shaft": 0.63, "spongy": 0.22, "cortex": 1.6, "band": 1.1, "concavity": 0.6},
        "lower": {"width": 14.5, "height": 7.0, "neck": 0.84, "head": 0.74, "body": 0.03},
        "soft": {"attenuation": 0.37, "left": 10.4, "left_slant": 0.12, "right": 14.0},
    },
}
"""Estimated from 823 annotated frames of the public data."""

_MCP_SEEN = {
    "small": {"neighbour": 0.5, "sesamoid": 0.1},
    "ring": {"neighbour": 0.6, "sesamoid": 0.0},
    "middle": {"neighbour": 0.2, "sesamoid": 0.0},
    "index": {"neighbour": 0.1, "sesamoid": 0.1},
    "thumb": {"neighbour": 0.0, "sesamoid": 0.9},
}

_PIP_COMMON: Means = {
    "upper": {
        "width": 11.6,
        "shaft": 0.66,
        "base": 0.86,
        "flare": 2.6,
        "concavity": 0.25,
        "rounding": 1.2,
        "floor": 1.0,
        "floor_width": 0.7,
        "band_height": 0.8,
        "shell_shaft": 0.65,
        "cortex": 1.2,
    },
    "lower": {
        "width": 10.8,
        "height": 4.6,
        "fullness": 2.5,
        "neck": 0.8,
        "condyle_left": 4.0,
        "condyle_right": 4.0,
        "head": 0.45,
        "ridge_start": 2.6,
        "patch": 0.06,
        "patch_v": 2.4,
    },
    "soft": {"left": 10.2, "right": 10.2, "left_slant": 0.05, "right_slant": 0.05, "thickness": 6.5, "ascent": 0.1},
}
"""Slender bones in a narrow finger: a flat head with two condyles below a shallow base, skin on both sides."""

_PIP_FINGERS: dict[str, Means] = {
    "small": {"upper": {"width": 10.2}, "lower": {"width": 9.4}, "soft": {"left": 9.2, "right": 9.2}},
    "ring": {},
    "middle": {"upper": {"width": 12.4}, "lower": {"width": 11.6}, "soft": {"left": 10.8, "right": 10.8}},
    "index": {"upper": {"width": 12.0}, "lower": {"width": 11.2}},
}
"""Typical sizes of adult hands, as in :data:`bundle.joint.PIP`."""

_NOTHING_ELSE = {"neighbour": 0.0, "sesamoid": 0.0}

POPULATIONS = {
    MCP.name: Population({}, _MCP_FINGERS, _MCP_SEEN),
    PIP.name: Population(_PIP_COMMON, _PIP_FINGERS, dict.fromkeys(PIP.fingers, _NOTHING_ELSE)),
}
"""Populations by name of the :class:`bundle.joint.JointType`."""


def population(joint_type: JointType) -> Population:
    """Return the population of a joint type."""
    return POPULATIONS[joint_type.name]
