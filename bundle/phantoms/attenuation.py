"""Attenuation of each phantom layer at positions in mm, with trabeculae and density variation."""

from __future__ import annotations

import numpy as np
from bundle.joint import MCP
from bundle.phantoms.anatomy import floor_rise, lower_depth, phalanx_profile, upper_base, upper_sides
from bundle.phantoms.parameters import Array, LowerBone, SoftTissue, UpperBone
from scipy.ndimage import map_coordinates

_LATTICE, _PITCH = MCP.pixels, MCP.spacing_mm
"""Points per side and pitch in mm of the periodic lattice of the random textures, independent of the image size."""


def chord(depth: Array, radius: Array | float) -> Array:
    """X-ray path through an elliptic limb at a depth inside its outline, relative to the path through its centre."""
    return np.sqrt(1.0 - (1.0 - (depth / radius).clip(0.0, 1.0)) ** 2)


def smooth_step(value: Array) -> Array:
    """Evaluate the smooth step from 0 at 0 to 1 at 1."""
    inside = value.clip(0.0, 1.0)
    return inside * inside * (3.0 - 2.0 * inside)


class Texture:
    """Periodic random textures of mean 0 and standard deviation 1, sampled at positions in mm."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._mesh = 0.8 * _ridges(_smooth_noise(rng, 2.2, 2.0)) + 0.6 * _ridges(_smooth_noise(rng, 1.6, 1.3))
        self._streaks = _ridges(_smooth_noise(rng, 10.0, 1.1))
        self._blotch = _smooth_noise(rng, 7.0, 5.0)
        self._mottle = 0.9 * _smooth_noise(rng, 18.0, 14.0) + 0.45 * _smooth_noise(rng, 22.0, 4.0)

    def trabeculae(self, bone: UpperBone | LowerBone, u: Array, v: Array) -> Array:
        """Contrast of a bone's trabeculae and density variation, with mean 0."""
        return _sample(bone.streaks * self._streaks + bone.mesh * self._mesh + bone.blotch * self._blotch, u, v)

    def mottle(self, u: Array, v: Array) -> Array:
        """Density variation of soft tissue."""
        return _sample(self._mottle, u, v)

    def mesh(self, u: Array, v: Array) -> Array:
        """Trabecular mesh."""
        return _sample(self._mesh, u, v)


def _smooth_noise(rng: np.random.Generator, along: float, across: float) -> Array:
    """Periodic Gaussian noise smoothed with sigma ``along`` and ``across`` the bone, in lattice points."""
    spectrum = np.fft.rfft2(rng.standard_normal((_LATTICE, _LATTICE)))
    rows, columns = np.fft.fftfreq(_LATTICE)[:, None], np.fft.rfftfreq(_LATTICE)[None]
    low_pass = np.exp(-2.0 * (np.pi * along * rows) ** 2) * np.exp(-2.0 * (np.pi * across * columns) ** 2)
    smooth = np.fft.irfft2(spectrum * low_pass, s=(_LATTICE, _LATTICE))
    return (smooth - smooth.mean()) / smooth.std()


def _ridges(noise: Array) -> Array:
    """Bright lines along the zero crossings of smooth noise: a trabecular mesh."""
    lines = np.exp(-((noise / 0.55) ** 2))
    return (lines - lines.mean()) / lines.std()


def _sample(lattice: Array, u: Array, v: Array) -> Array:
    return map_coordinates(lattice, np.stack([v, u]) / _PITCH, order=1, mode="grid-wrap")


def upper_attenuation(bone: UpperBone, u: Array, v: Array, texture: Texture) -> Array:
    """Compute the attenuation of the phalanx: cortical shell, cancellous bone, and the bright articular floor."""
    sides, base = upper_sides(bone, u, v), upper_base(bone, u, v)
    half = np.interp(-v, *phalanx_profile(bone, 1)[:2])
    pattern = texture.trabeculae(bone, 0.6 * bone.shaft * bone.width * u / half, v)
    rise = floor_rise(bone, u)
    above = base - rise
    closed = smooth_step(above / 0.3 + 0.5)
    body = _shaft(bone, sides, half, v, pattern) * (closed + (1.0 - closed) * bone.rim * chord(base, 1.2))
    band = closed * np.exp(-((above.clip(min=0.0) / bone.band_height) ** 2))
    second = np.exp(-(((above - bone.double_height) / 0.2) ** 2))
    band = (band + max(bone.double, 0.0) * closed * second) * (0.3 + 0.7 * smooth_step(2.0 * rise / bone.floor))
    return (body + bone.band * band * (1.0 + 0.4 * pattern) * chord(sides, 2.0)) * chord(base, 0.5)


def _shaft(bone: UpperBone, sides: Array, half: Array, v: Array, pattern: Array) -> Array:
    """Elliptic tube: X-ray path through its shell and its cancellous bone."""
    shell = bone.shell_base + (bone.shell_shaft - bone.shell_base) * smooth_step((-v - bone.flare) / 6.0)
    core = chord(sides - shell, half - shell)
    spongy = bone.spongy * (1.0 + 0.6 * smooth_step((v + 5.0) / 4.0))
    return bone.cortex * (chord(sides, half) - 0.9 * core) * (1.0 + 0.25 * pattern) + spongy * core * (1.0 + pattern)


def lower_attenuation(bone: LowerBone, u: Array, v: Array, texture: Texture) -> Array:
    """Compute the attenuation of the metacarpal: thin shell, head, and the two cortices of the shaft."""
    depth = lower_depth(bone, u, v)
    across = chord(bone.width / 2 - np.abs(u), bone.width / 2)
    plateau = bone.head * (bone.limb + (1.0 - bone.limb) * across) + _shaft_cortices(bone, u, v)
    spread = ((u - bone.patch_u) / 1.6) ** 2 + ((v - bone.patch_v) / 1.8) ** 2
    plateau += bone.patch * np.exp(-spread)
    edge = bone.edge * np.exp(-((depth - bone.shell) ** 2) / (2 * (0.6 * bone.shell) ** 2))
    pattern = texture.trabeculae(bone, u, v + 11.0)
    return (plateau * (1.0 + pattern) + edge) * chord(depth, 0.6)


def _shaft_cortices(bone: LowerBone, u: Array, v: Array) -> Array:
    """The shaft projected over the head: two ridges, sharp outside and fading inside, with attenuation between them."""
    half = bone.width / 2
    below = v - bone.ridge_start
    outwards = bone.ridge_slant * below + bone.ridge_bow * (below - 2.0) ** 2
    left, right = bone.inset_left * half + outwards + u, bone.inset_right * half + outwards - u
    between = smooth_step(left / 0.4 + 0.5) * smooth_step(right / 0.4 + 0.5)
    ridges = bone.ridge_left * _ridge(bone, left) + bone.ridge_right * _ridge(bone, right)
    return between * (bone.body * smooth_step(below / 4.0 + 0.5) + ridges * smooth_step(below / 3.5))


def _ridge(bone: LowerBone, depth: Array) -> Array:
    return np.exp(-depth.clip(min=0.0) / bone.ridge_width)


def soft_attenuation(soft: SoftTissue, u: Array, v: Array, texture: Texture) -> Array:
    """Compute the attenuation of everything without a mask: tissue between the skin outlines, and other bones."""
    left, right = u + soft.left + soft.left_slant * v, soft.right + soft.right_slant * v - u
    tissue = soft.attenuation * chord(left, soft.thickness) * chord(right, soft.thickness)
    tissue *= (1.0 + soft.ascent * v / 10.0) * (1.0 + soft.mottle * texture.mottle(u, v))
    return soft.background + tissue.clip(min=0.0) + _other_bones(soft, u, v, texture)


def _other_bones(soft: SoftTissue, u: Array, v: Array, texture: Texture) -> Array | float:
    if max(soft.sesamoid, soft.neighbour) <= 0.0:
        return 0.0
    pattern = 1.0 + 0.15 * texture.mesh(u + 3.0, v + 3.0)
    size = soft.sesamoid_size
    sesamoid = _ellipse(u - soft.sesamoid_u, v - soft.sesamoid_v, size, 1.2 * size)
    neighbour = _ellipse(u - soft.neighbour_u, v - soft.neighbour_v, 4.5, 6.5)
    return pattern * (max(soft.sesamoid, 0.0) * chord(sesamoid, 1.0) + max(soft.neighbour, 0.0) * chord(neighbour, 1.5))


def _ellipse(u: Array, v: Array, across: float, along: float) -> Array:
    """Depth inside an ellipse in mm, near its outline."""
    level = np.hypot(u / across, v / along).clip(min=1e-6)
    steep = np.hypot(u / across**2, v / along**2).clip(min=1e-6)
    return (1.0 - level) * level / steep
