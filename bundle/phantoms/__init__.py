"""Procedural radiographs of finger joints with known layers."""

from __future__ import annotations

from bundle.phantoms.parameters import NATIVE, PhantomParameters
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import destroyed, reframed, retake, sample_parameters
from bundle.phantoms.surfaces import TrueSurfaces, true_axis, true_joint_space, true_surfaces, with_joint_space

__all__ = [
    "NATIVE",
    "Phantom",
    "PhantomParameters",
    "TrueSurfaces",
    "destroyed",
    "reframed",
    "render",
    "retake",
    "sample_parameters",
    "true_axis",
    "true_joint_space",
    "true_surfaces",
    "with_joint_space",
]
