"""A folder of joints separated, measured and written."""

from __future__ import annotations

from bundle.inference.quality import JointQuality
from bundle.inference.results import REJECTED, LayerWriter, Results, remaining, run_remaining, writable

__all__ = ["REJECTED", "JointQuality", "LayerWriter", "Results", "remaining", "run_remaining", "writable"]
