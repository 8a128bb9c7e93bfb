"""Joints in radiographs of whole hands."""

from __future__ import annotations

from bundle.hands.recentring import Recentred, Recentring

__all__ = ["Recentred", "Recentring"]
