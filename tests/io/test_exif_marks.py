"""Marks and landmarks of a photograph with an EXIF orientation are those of the picture as displayed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bundle.hands import hand_items
from bundle.hands.data import read_hand
from bundle.io.frames import JointFrame
from bundle.io.loading import open_joints
from PIL import Image
from tests.hands.conftest import write_hands
from tests.hands.hand_drawings import CODES

STORED_BY = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a picture is stored that is displayed upright by its EXIF orientation."""


def save(path: Path, displayed: Image.Image, orientation: int) -> Path:
    """Save a picture as a camera does that was rotated."""
    exif, step = Image.Exif(), STORED_BY[orientation]
    exif[274] = orientation
    (displayed if step is None else displayed.transpose(step)).save(path, exif=exif, quality=100)
    return path


@pytest.mark.parametrize("orientation", STORED_BY)
def test_a_mark_lies_where_the_displayed_picture_shows_the_joint(tmp_path: Path, orientation: int) -> None:
    pixels = np.full((500, 700), 40, np.uint8)
    pixels[115:126, 415:426] = 240
    path = save(tmp_path / "hand.jpg", Image.fromarray(pixels), orientation)
    marks = tmp_path / "hand.csv"
    marks.write_text("name,x,y,tip_x,tip_y\nindex,420,120,420,20\n")
    known = {"finger": "unknown", "side": "unknown", "lower": "", "upper": "", "spacing": 0.1}
    item = {"name": "hand", "joint": "hand", "image": str(path), "points": str(marks), **known}
    files, (joint,) = open_joints(item)
    frame = JointFrame.from_json(joint["frame"]).cut(torch.from_numpy(files.radiograph.intensity)[None])[0]
    bright = torch.nonzero(frame > 0.6).float().mean(dim=0)
    assert torch.allclose(bright, torch.full((2,), 127.5), atol=1.0)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_landmarks_lie_where_the_displayed_picture_shows_them(tmp_path: Path, orientation: int) -> None:
    folder = write_hands(tmp_path, 4)
    for path in folder.glob("*.png"):
        save(path, Image.open(path), orientation)
    item = hand_items(folder, "held_out")[0]
    columns, rows = np.rint(item["points"]).astype(int).T
    np.testing.assert_allclose(read_hand(item)[0].numpy()[rows, columns], CODES, atol=0.03)
