"""Smallest detectable change (SDC) of the joint space by finger, the reference of every reported change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bundle.base import read_json
from bundle.errors import InputError


@dataclass(frozen=True)
class DetectableChange:
    """Smallest detectable change by finger: ``1.96 sqrt(2)`` times the standard deviation within joints.

    A smaller change of a joint between two radiographs is within the variation of the measurement in 95 % of the cases
    (Bruynesteyn et al., Annals of the Rheumatic Diseases 2005). ``models/detectable_change.json`` contains that over
    the visits of the public joints, an upper limit, because true changes between visits are part of the variation. It
    was derived from measured joint spaces; changes by registration are compared with it as well.

    Attributes:
        fingers: smallest detectable change of each finger in mm.
    """

    fingers: Mapping[str, float]

    @classmethod
    def read(cls, path: str | Path) -> DetectableChange:
        """Read the table that ``scripts/write_detectable_change.py`` writes.

        Raises:
            InputError: the file cannot be read, or states no lengths above 0.
        """
        try:
            content = read_json(path)["fingers"]
            fingers = {str(finger): float(found["detectable_mm"]) for finger, found in content.items()}
            if not fingers or not all(0.0 < length < math.inf for length in fingers.values()):
                raise ValueError("a length is not above 0")
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            msg = (
                f"{path}: not the smallest detectable changes by finger ({type(error).__name__}: {error}). Restore the "
                "file, or run scripts/write_detectable_change.py."
            )
            raise InputError(msg) from error
        return cls(fingers)

    def of(self, finger: str) -> float:
        """Return the smallest detectable change of a finger in mm; for an unknown finger the largest of all."""
        return self.fingers.get(finger, max(self.fingers.values()))
