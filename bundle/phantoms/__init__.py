"""Procedural radiographs of finger joints with known layers."""

from __future__ import annotations

from bundle.phantoms.parameters import NATIVE
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import draw_parameters, retake

__all__ = ["NATIVE", "Phantom", "draw_parameters", "render", "retake"]
