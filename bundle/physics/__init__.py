"""What a radiograph is: image formation, masks, motion of bones, noise texture and synthesis (Eq. 1, 4 to 6 and 13)."""

from __future__ import annotations

from bundle.physics.continuation import CONTINUED_MM
from bundle.physics.harmonic import (
    CLAIMED_MM,
    GROWTH_MM,
    laplace_fill,
    separate,
    separation_shares,
    shares_by_distance,
    support,
)
from bundle.physics.masks import (
    continue_to_border,
    exclusive,
    grow,
    grown,
    overlap,
    signed_distance,
    union,
    visible_region,
)
from bundle.physics.motion import ContinuedBones, MotionRange, RigidMotion, move
from bundle.physics.noise_texture import TissueGrain, drawn_on_device, share_grain
from bundle.physics.radiograph import (
    attenuation,
    attenuation_shares,
    bone_radiographs,
    intensity,
    partition,
    reconstruct,
)
from bundle.physics.sampling import REACH, blur, by_pixel_size, sample
from bundle.physics.synthesis import SeparatedBones, SyntheticJoints, synthesize

__all__ = [
    "CLAIMED_MM",
    "CONTINUED_MM",
    "GROWTH_MM",
    "REACH",
    "ContinuedBones",
    "MotionRange",
    "RigidMotion",
    "SeparatedBones",
    "SyntheticJoints",
    "TissueGrain",
    "attenuation",
    "attenuation_shares",
    "blur",
    "bone_radiographs",
    "by_pixel_size",
    "continue_to_border",
    "drawn_on_device",
    "exclusive",
    "grow",
    "grown",
    "intensity",
    "laplace_fill",
    "move",
    "overlap",
    "partition",
    "reconstruct",
    "sample",
    "separate",
    "separation_shares",
    "share_grain",
    "shares_by_distance",
    "signed_distance",
    "support",
    "synthesize",
    "union",
    "visible_region",
]
