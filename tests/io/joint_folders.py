"""Folders and lists of small joints in the public layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = 32
Entry = dict[str, Any]


def write_joint(root: Path, folder: str, stem: str, common_rows: int = 0) -> Entry:
    """A joint in the public layout, with masks that share ``common_rows`` rows of 20 pixels."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    entry = {
        "image": f"{folder}/{stem}.jpg",
        "upper": f"{folder}/{stem}_mask_upper.bmp",
        "lower": f"{folder}/{stem}_mask_lower.bmp",
        "background": f"background/{stem}.jpg",
    }
    upper, lower = np.zeros((2, SIZE, SIZE), np.uint8)
    upper[: 16 + common_rows, 6:26], lower[16:, 6:26] = 255, 255
    Image.fromarray(upper // 2 + lower // 3).convert("RGB").save(root / entry["image"])
    Image.fromarray(upper).save(root / entry["upper"])
    Image.fromarray(lower).save(root / entry["lower"])
    return entry


def write_list(root: Path, name: str, entries: Any) -> None:
    (root / name).write_text(json.dumps(entries))


def read_list(root: Path, name: str) -> list[Entry]:
    return json.loads((root / name).read_text())


def names_only(folder: str, stem: str) -> Entry:
    return {key: f"{folder}/{stem}{end}" for key, end in (("image", ".png"), ("lower", "_l.png"), ("upper", "_u.png"))}


GOOD = names_only("j", "a")


def spoil(root: Path) -> None:
    """Make four of the eight joints unusable, each in another way."""
    cases = root / "cases"
    (cases / "00054_L_13" / "one.jpg").unlink()
    Image.new("L", (SIZE, SIZE)).save(cases / "00086_R_11" / "one_mask_upper.bmp")
    Image.new("L", (SIZE + 1, SIZE), 90).save(cases / "00111_L_5" / "one.jpg")
    truncated = cases / "00307_R_8" / "two.jpg"
    truncated.write_bytes(truncated.read_bytes()[:-40])


REASONS = {
    "00054_L_13_one": "no such file",
    "00086_R_11_one": "the mask is empty",
    "00111_L_5_one": "33 x 32 pixels, not 32 x 32",
    "00307_R_8_two": "truncated",
}
