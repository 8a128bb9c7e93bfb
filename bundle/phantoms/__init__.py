"""Procedural radiographs of finger joints with known layers."""

from __future__ import annotations

from bundle.phantoms.parameters import NATIVE
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import retake, sample_parameters

__all__ = ["NATIVE", "Phantom", "render", "retake", "sample_parameters"]
