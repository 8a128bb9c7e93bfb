"""The page of phantoms that shows what the reading room exports."""

from __future__ import annotations

from pathlib import Path

from bundle.face import Joint, separate
from bundle.io import bundle_version, write_bytes
from bundle.reading_room import OpenedJoint, exported_page

WIDTHS_MM = (2.2, 1.8, 1.4, 1.0, 0.6)
"""Joint spaces of the phantoms."""


def write_example_page(folder: Path) -> None:
    """Write ``joints.html`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    joints = [(f"phantom {seed}", Joint.phantom(seed, width)) for seed, width in enumerate(WIDTHS_MM)]
    opened = [(name, OpenedJoint.of(separate(joint))) for name, joint in joints]
    page = exported_page(opened, "Phantoms", bundle_version())
    write_bytes(folder / "joints.html", page.encode())
