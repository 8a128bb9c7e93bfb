"""Physics of radiographs: image formation, masks, motion of bones, noise texture, synthesis (Eq. 1, 4 to 6 and 13)."""

from __future__ import annotations

from bundle.physics.continuation import CONTINUED_MM
from bundle.physics.harmonic import (
    GROWTH_MM,
    OWNERSHIP_RANGE_MM,
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
    growth_limit,
    overlap,
    signed_distance,
    union,
    visible_region,
)
from bundle.physics.motion import ContinuedBones, MotionRange, RigidMotion, move
from bundle.physics.noise_texture import TissueNoise, sampled_on_device, share_noise_texture
from bundle.physics.partial_volume import clear_outlines
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
    "CONTINUED_MM",
    "GROWTH_MM",
    "OWNERSHIP_RANGE_MM",
    "REACH",
    "ContinuedBones",
    "MotionRange",
    "RigidMotion",
    "SeparatedBones",
    "SyntheticJoints",
    "TissueNoise",
    "attenuation",
    "attenuation_shares",
    "blur",
    "bone_radiographs",
    "by_pixel_size",
    "clear_outlines",
    "continue_to_border",
    "exclusive",
    "grow",
    "grown",
    "growth_limit",
    "intensity",
    "laplace_fill",
    "move",
    "overlap",
    "partition",
    "reconstruct",
    "sample",
    "sampled_on_device",
    "separate",
    "separation_shares",
    "share_noise_texture",
    "shares_by_distance",
    "signed_distance",
    "support",
    "synthesize",
    "union",
    "visible_region",
]
