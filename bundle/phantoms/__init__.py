"""Procedural radiographs of finger joints with known layers."""

from __future__ import annotations

from bundle.phantoms.phantom import (
    EXTENT_RANGE,
    FINGERS,
    NATIVE,
    Phantom,
    draw_parameters,
    render,
    retake,
)

__all__ = [
    "EXTENT_RANGE",
    "FINGERS",
    "NATIVE",
    "Phantom",
    "draw_parameters",
    "render",
    "retake",
]
